"""What the JVM raises, as errors of our own family: one sentence, and whether trying again may help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import PipelineError
from pipeline.storage.errors import StorageUnavailable
from pipeline.storage.hdfs_failures import DATA_LATER
from pipeline.tables.iceberg import JavaObject

_REMOTE = "org.apache.hadoop.ipc.RemoteException"
_NOT_ALONE = {"EOFException", "IOException"}
"""Said by a server they mean that it can not now; raised here, they may be about a file."""


class SparkFailed(PipelineError):
    """Spark, or Iceberg in it, could not do something; the log has its stack trace."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(kind, problem)
        self.kind, self.problem = kind, problem

    def __str__(self) -> str:
        return f"Spark failed with {self.kind}: {self.problem}"


@contextmanager
def told_plainly(where: str) -> Iterator[None]:
    """Turn exceptions of the JVM into errors that a person can read and a type that says whether to try again.

    Args:
        where: the archive's root, for what Spark says of HDFS.

    Raises:
        StorageUnavailable: HDFS did not answer Spark, or had no room or no DataNode.
        SparkFailed: anything else.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
        if java is None:
            raise
        chain = list(_causes(java))
        away = next((cause for cause in reversed(chain) if _is_away(cause)), None)
        if away is not None:
            raise StorageUnavailable(where, f"HDFS failed Spark: {_first_line(away)}") from error
        raise SparkFailed(chain[-1].getClass().getSimpleName(), _first_line(chain[-1])) from error


def _causes(java: JavaObject | None) -> Iterator[JavaObject]:
    """An exception, then what caused it."""
    while java is not None:
        yield java
        java = java.getCause()


def _is_away(cause: JavaObject) -> bool:
    """Whether it is what the HDFS client raises when servers are away; by its class, never by its words."""
    name = str(cause.getClass().getName())
    if name == _REMOTE:
        return _simple(cause.getClassName()) in DATA_LATER
    return _simple(name) in DATA_LATER - _NOT_ALONE


def _simple(name: str) -> str:
    return name.rpartition(".")[2].rpartition("$")[2]


def _first_line(cause: JavaObject) -> str:
    return str(cause.getMessage()).strip().partition("\n")[0][:300]
