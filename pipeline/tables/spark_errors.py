"""Errors of Spark and Iceberg as errors of this package, where they say what to do: they come as Java stack traces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j has no types
from pyspark.errors import PySparkException

from pipeline.errors import CheckFailed
from pipeline.storage.errors import StorageUnavailable

_AWAY = re.compile(
    r"java\.net\.(Connect|NoRouteToHost|SocketTimeout|UnknownHost)Exception"
    r"|org\.apache\.hadoop\.(net\.ConnectTimeout|hdfs\.BlockMissing|hdfs\.server\.namenode\.SafeMode"
    r"|ipc\.Standby|ipc\.Retriable)Exception"
)
_DAMAGE = re.compile(
    r"org\.apache\.parquet\.io\.ParquetDecodingException|com\.github\.luben\.zstd\.ZstdIOException"
    r"|\S+ is not a Parquet file|could not read page|org\.apache\.hadoop\.fs\.ChecksumException"
    r"|org\.apache\.iceberg\.exceptions\.NotFoundException|java\.io\.FileNotFoundException"
    r"|org\.apache\.avro\.AvroRuntimeException|don't know what type"
)
_FILE = re.compile(r"(?:hdfs|file):/[^\s,:]*(?::\d+)?[^\s,:]*\.(?:parquet|avro|json)\b")


class StoredFileDamaged(CheckFailed):
    """A file of the archive can not be decoded, or is gone. ``path`` is its URI where Spark names it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return (
            f"{self.path or 'a stored file, named in the log,'} can not be read: {self.problem}. If it is a landed "
            "file, delete the manifest of its bucket and run the load again; if it belongs to a table, bring it back "
            "from a copy"
        )


@contextmanager
def spark_errors() -> Iterator[None]:
    """Raise ours in place of Spark's; what is not known passes as it is.

    Raises:
        StoredFileDamaged: a file can not be decoded, or is gone.
        StorageUnavailable: HDFS did not answer Spark, or lacks a block at the moment.
    """
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        text = str(error)
        file = _FILE.search(text)
        path = file.group() if file else ""
        if found := _AWAY.search(text):
            raise StorageUnavailable(path, f"Spark was not given it ({_line(text, found)})") from error
        if found := _DAMAGE.search(text):
            raise StoredFileDamaged(path, _line(text, found)) from error
        raise


def _line(text: str, found: re.Match[str]) -> str:
    """The rest of the line of a stack trace."""
    return text[found.start() :].partition("\n")[0].strip()
