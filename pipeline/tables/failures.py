"""Exceptions of the JVM as errors of our own: one sentence, and whether trying again may help."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from pyspark.errors import PySparkException, PythonException, UnknownException
from pyspark.errors.exceptions.captured import convert_exception

from pipeline.model.errors import PipelineError
from pipeline.storage.errors import CANNOT_BE_READ, WHAT_TO_DO, StorageUnavailable, StoredFileDamaged
from pipeline.storage.hdfs_failures import DATA_LATER
from pipeline.tables.iceberg import JavaObject
from pipeline.tables.masters.errors import LESS_OR_MORE
from pipeline.tables.masters.executors import why_ended
from pipeline.tables.masters.jvm import why_died

_REMOTE = "org.apache.hadoop.ipc.RemoteException"
_UNNAMED = {"EOFException", "IOException"}
"""From a server these mean that it cannot answer now; raised here, they may be about a file."""

_TALKERS = ("org.apache.hadoop.ipc.Client", "org.apache.hadoop.hdfs.DataStreamer")
"""Classes whose exceptions are about a connection, to the NameNode or to DataNodes."""

_HDFS_CLIENT = ("org.apache.hadoop.ipc.", "org.apache.hadoop.hdfs.")
_HADOOP = "org.apache.hadoop."

_GONE = {"FileNotFoundException", "NotFoundException"}
_DAMAGED = {
    "AvroRuntimeException",
    "ChecksumException",
    "InvalidAvroMagicException",
    "ParquetDecodingException",
    "ZstdIOException",
}
_DAMAGED_WORDS = ("is not a Parquet file", "could not read page", "don't know what type")
"""Words of exceptions that have no class of their own."""

_READERS = re.compile(
    r"^org\.apache\.(?:(?:iceberg|parquet)\.|spark\.sql\.execution\.datasources\.parquet\.|.*\.avro\.)"
    r".*(?:Reader|Decoder|Decompressor|Parser|DataFileStream|Dictionary|Puffin|PositionDelete|DeleteLoader|Bitmap)"
)
"""Classes that decode files. Any exception raised inside them is about the file that they read."""

_NOT_OF_A_FILE = {"OutOfMemoryError", "InterruptedException", "InterruptedIOException", "ClosedByInterruptException"}

_OF_VALUES = {
    "ArithmeticException",
    "DateTimeException",
    "DateTimeParseException",
    "IllegalArgumentException",
    "IllegalFormatException",
    "NumberFormatException",
    "PatternSyntaxException",
    "StackOverflowError",
    "UnknownFormatConversionException",
    "UnsupportedOperationException",
    "ZoneRulesException",
}
"""Java's own exceptions of values and expressions, which Spark passes on without a name of its list. The stack
overflows on expressions that are nested thousands of times."""

_BELOW_ROOT = r"/[^\s,;'\"<>]*\.(?:parquet|avro|json|puffin|text)\b"
"""A file's path below the archive's root, as we and Iceberg write it: nothing in it needs quoting."""


_STOPPED = "Cannot call methods on a stopped SparkContext"

_AUTHORITY = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?")
_JAVA_QUOTES = re.compile(r"[^\w/\-!.~'()*,;:$&+=@]")
"""Characters that a Java URI percent-encodes; letters of any alphabet are not among them."""

_EXECUTOR_LOST = re.compile(r"ExecutorLostFailure \(executor \S+ exited .*?\) Reason:\s*(.{,300})")
_RAISED = re.compile(r"^([A-Za-z_][\w.]*): (.+)$", re.MULTILINE)
_UNREADABLE = re.compile(rf"(?P<path>.+?){re.escape(CANNOT_BE_READ)}(?P<problem>.*){re.escape(WHAT_TO_DO)}")


class SparkFailed(PipelineError):
    """Spark, or Iceberg in it, failed; the log has the stack trace."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(kind, problem)
        self.kind, self.problem = kind, problem

    def __str__(self) -> str:
        return f"Spark failed with {self.kind}: {self.problem}"


class OutOfMemory(SparkFailed):
    """The driver, which still runs, had too little memory for what it was asked for."""

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__("OutOfMemoryError", problem)
        self.args, self.place = (problem, place), place

    def at(self, place: str) -> OutOfMemory:
        """The same error with its place, in words."""
        return OutOfMemory(self.problem, place)

    def __str__(self) -> str:
        return f"the driver ran out of memory. {self.problem}{self.place and f'. It was at {self.place}'}"


class ExecutorsLost(SparkFailed):
    """So many executors ended while they ran one task that Spark gave it up."""

    def __init__(self, reason: str) -> None:
        super().__init__("ExecutorLostFailure", reason)
        self.args = (reason,)

    def __str__(self) -> str:
        return (
            f"executors ended while they ran a task, again and again; the last: {self.problem}. If they lack memory, "
            "raise spark.executor.memory for Java, or spark.executor.memoryOverhead for Python, in [spark.conf], or "
            "let tasks hold fewer rows at once"
        )


MEMORY_OF_PYTHON = (
    "Let fewer rows come to the driver, free memory on its machine, or, where it runs in YARN, raise "
    "spark.driver.memoryOverhead in [spark.conf]"
)


def is_of_query(error: BaseException | None) -> bool:
    """Whether Spark blames a query, such as one that divides by zero, or a function in it, not a machine or file.

    Args:
        error: raised by PySpark, or by Py4J beside it, as by ``toLocalIterator``.
    """
    if isinstance(error, PythonException):
        return True
    if isinstance(error, PySparkException) and _is_named(error):
        return True
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    chain = list(_causes(java))
    return any(_is_named(convert_exception(cause)) for cause in chain) or bool(
        chain and _simple(str(chain[-1].getClass().getName())) in _OF_VALUES
    )


def _is_named(error: BaseException) -> bool:
    """Whether an exception is one of PySpark's own kinds, with a condition of Spark's list."""
    return (
        isinstance(error, PySparkException) and not isinstance(error, UnknownException) and bool(error.getCondition())
    )


@contextmanager
def plain_failures(where: str) -> Iterator[None]:
    """Turn exceptions of the JVM into readable errors whose type says whether to try again.

    Args:
        where: the archive's root, for messages about HDFS.

    Raises:
        NoResources: Spark was ended because it had lost all executors.
        StorageUnavailable: HDFS did not answer Spark, or had no space or no DataNode.
        StoredFileDamaged: a file cannot be decoded, or is gone.
        DriverDied: the driver's JVM ended, or was killed.
        OutOfMemory: it goes on, but had no memory left for this.
        ExecutorsLost: a task ended one executor after the other.
        SparkFailed: anything else.
    """
    try:
        yield
    except PipelineError:
        raise
    except PythonException as error:
        raise _of_worker(str(error), where) from error
    except Exception as error:
        ended = why_ended()
        if ended is not None:
            raise ended from error
        java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
        died = why_died(wait=java is None and _is_silence(error))
        if died is not None:
            logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it would log whatever it cannot send from here on
            raise died from error
        if java is None and isinstance(error, MemoryError):
            raise OutOfMemory(f"Python has no memory left. {MEMORY_OF_PYTHON}") from error
        if java is None and type(error).__module__.startswith("py4j."):
            raise SparkFailed(
                type(error).__name__, f"{error}; if its Java process ended, its last output is above"
            ) from error
        if java is None:
            raise
        chain = list(_causes(java))
        away = next((cause for cause in reversed(chain) if _is_away(cause)), None)
        if away is not None and where.startswith("hdfs://"):
            raise StorageUnavailable(where, f"HDFS failed Spark: {_first_line(away)}") from error
        path = _own_file(chain, where)
        damaged = next((cause for cause in reversed(chain) if _is_damaged(cause, path)), None)
        if damaged is not None:
            raise StoredFileDamaged(path, _first_line(damaged)) from error
        if any(_simple(str(cause.getClass().getName())) == "OutOfMemoryError" for cause in chain):
            raise OutOfMemory(f"Java: {_first_line(chain[-1])}. {LESS_OR_MORE}") from error
        lost = _EXECUTOR_LOST.search(str(chain[-1].getMessage()))
        if lost is not None:
            raise ExecutorsLost(lost[1].rstrip(". ")) from error
        raise SparkFailed(chain[-1].getClass().getSimpleName(), _first_line(chain[-1])) from error


def _is_silence(error: Exception) -> bool:
    """Whether the JVM did not answer."""
    return isinstance(error, ConnectionError | EOFError) or type(error).__module__.startswith("py4j.")


def _of_worker(traceback: str, where: str) -> PipelineError:
    """The error that ended a Python worker, from the last line of its traceback."""
    raised = _RAISED.findall(traceback)
    kind, words = raised[-1] if raised else ("PythonException", traceback.strip().partition("\n")[0])
    match _simple(kind), _UNREADABLE.match(words):
        case "StoredFileDamaged", re.Match() as match:
            return StoredFileDamaged(match["path"], match["problem"])
        case "StorageUnavailable", _:
            return StorageUnavailable(where, f"a Python worker failed: {words}")
        case name, _:
            return SparkFailed(name, words[:300])


def _causes(java: JavaObject | None) -> Iterator[JavaObject]:
    """An exception, then its causes."""
    while java is not None:
        yield java
        java = java.getCause()


def _is_away(cause: JavaObject) -> bool:
    """Whether the HDFS client raised it because servers are down; judged by class and place, never by its words."""
    name = str(cause.getClass().getName())
    if name == _REMOTE:
        return _simple(cause.getClassName()) in DATA_LATER
    if _simple(name) not in DATA_LATER:
        return False
    if name.startswith(_HADOOP):
        return True
    raisers = _TALKERS if _simple(name) in _UNNAMED else _HDFS_CLIENT
    return any(str(frame.getClassName()).startswith(raisers) for frame in cause.getStackTrace())


def _is_damaged(cause: JavaObject, own_file: str) -> bool:
    """Whether readers of Parquet or Avro raised it because a file is broken, or one of ours is missing."""
    name, message = _simple(str(cause.getClass().getName())), str(cause.getMessage())
    if name in _GONE:
        return bool(own_file)
    if name in _DAMAGED or any(words in message for words in _DAMAGED_WORDS):
        return True
    return name not in _NOT_OF_A_FILE and any(
        _READERS.match(str(frame.getClassName())) for frame in cause.getStackTrace()
    )


def _own_file(chain: Iterable[JavaObject], where: str) -> str:
    return named_file("\n".join(str(cause.getMessage()) for cause in chain), where)


def named_file(text: str, where: str) -> str:
    """The URI of the first file of the archive that a text names; "" if there is none.

    It is found by the archive's root, which may contain any characters. Java writes file:/x, file:///x and /x for the
    same file, with or without percent-encoding.

    Args:
        where: the archive's root as storage has it, without percent-encoding of our own.
    """
    root = _AUTHORITY.sub("", where)
    spelled = {root, _JAVA_QUOTES.sub(lambda odd: quote(odd[0]), root), quote(root)}
    roots = "|".join(re.escape(text) for text in sorted(spelled))
    found = re.search(rf"(?<![\w/.-])(?:(?:file|hdfs):(?://[^/\s]*)?)?(?:{roots})({_BELOW_ROOT})", text)
    return "" if found is None else f"{where}{found[1]}"


def _simple(name: str) -> str:
    return name.rpartition(".")[2].rpartition("$")[2]


def _first_line(cause: JavaObject) -> str:
    words = str(cause.getMessage() or cause.getClass().getSimpleName())
    if words.startswith(_STOPPED):
        return "the cluster ended the application, or Spark's Java process did; see its page or its log"
    return words.strip().partition("\n")[0][:300]
