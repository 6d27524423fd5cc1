"""SQL functions over git's objects, in every session that reads the archive; docs/sql.md is for those who call them.

Null in, null out, and none of them raises. They run in Spark's Python workers (decision 35).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.functions import arrow_udf

from pipeline.model.rows import BINARY_PROBE_BYTES
from pipeline.model.tables import OID, spark_type
from pipeline.model.text import text_of
from pipeline.model.tree import entries_before_damage
from pipeline.night.language import count_lines, language_of
from pipeline.rules.generated import is_generated
from pipeline.rules.language_types import language_type
from pipeline.rules.vendored import is_vendored

_SWHID: Final = MappingProxyType(
    {
        "blob": "cnt",
        "file": "cnt",
        "symlink": "cnt",
        "tree": "dir",
        "commit": "rev",
        "submodule": "rev",
        "tag": "rel",
    }
)
"""The words of Software Heritage for kinds of objects, and of entries in ``files``."""


def tree_entries(content: bytes) -> list[tuple[int, bytes, bytes]]:
    """Mode as in ``files``, name and id of a tree's entries, in its order; of a malformed one those before the damage.

    >>> tree_entries(b"100644 a\\0" + b"x" * 20 + b"cut")
    [(33188, b'a', b'xxxxxxxxxxxxxxxxxxxx')]
    """
    return [(mode & 0x7FFFFFFF, name, oid) for mode, name, oid in entries_before_damage(content)]


def language(name: str, content: bytes) -> str | None:
    """The language of a file by its name or path and its content; None for a binary, or if none is recognised."""
    return None if b"\0" in content[:BINARY_PROBE_BYTES] else language_of(name.rpartition("/")[2], content)


def swhid(kind: str, oid: bytes) -> str | None:
    """The core identifier of an object (SWHID 1.1); None for a kind that has none, or an id that has not 20 bytes.

    >>> swhid("file", bytes(20))
    'swh:1:cnt:0000000000000000000000000000000000000000'
    """
    word = _SWHID.get(kind)
    return f"swh:1:{word}:{oid.hex()}" if word and len(oid) == 20 else None


_ENTRIES: Final = pa.list_(pa.struct([("mode", pa.int32()), ("name", pa.binary()), ("oid", OID)]))
_FUNCTIONS: Final[MappingProxyType[str, tuple[Callable[..., object], pa.DataType]]] = MappingProxyType(
    {
        "git_text": (text_of, pa.string()),
        "is_generated": (is_generated, pa.bool_()),
        "is_vendored": (is_vendored, pa.bool_()),
        "language": (language, pa.string()),
        "language_type": (language_type, pa.string()),
        "line_count": (count_lines, pa.int64()),
        "swhid": (swhid, pa.string()),
        "tree_entries": (tree_entries, _ENTRIES),
    }
)
"""By their names in SQL; and the types that they return."""

FUNCTIONS: Final = frozenset(_FUNCTIONS)
"""Their names; they compute only from their arguments."""


def register_functions(spark: SparkSession) -> None:
    """Make the functions known to a session, once."""
    for name, (function, type_) in _FUNCTIONS.items():
        if not spark.catalog.functionExists(name):
            spark.udf.register(name, arrow_udf(_on_arrays(function, type_), spark_type(type_)))  # type: ignore[call-overload]


def _on_arrays(function: Callable[..., object], type_: pa.DataType) -> Callable[..., pa.Array]:
    """The function, called for each row of some arrays in which no value is null."""

    def called(*columns):  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN202 - PySpark infers more from annotations
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return pa.array([None if None in row else function(*row) for row in rows], type_)

    return called
