"""SQL functions over git's objects, in every session that reads the archive; docs/sql.md is for those who call them.

Null in, null out, and none of them raises. Those that are expressions of Spark's own functions need no Python worker.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.functions import arrow_udf

from pipeline.model.tables import OID, spark_type
from pipeline.model.tree import entries_before_damage
from pipeline.night.language import language_of
from pipeline.tables.iceberg import jvm_of

BINARY_WITHIN: Final = 8000
"""Bytes among which a NUL makes a file binary: git's own rule."""

_TEXT = r"replace(make_valid_utf8(CAST(content AS STRING)), '\u0000', '\uFFFD')"
_LINES = r"""
    octet_length(content) - octet_length(replace(CAST(content AS STRING), '\n', ''))
    + CAST(octet_length(content) > 0 AND substring(content, -1) <> X'0A' AS INT)
"""
_SWHID = """
    CASE WHEN octet_length(oid) = 20 THEN 'swh:1:' || CASE
        WHEN kind IN ('blob', 'file', 'symlink') THEN 'cnt'
        WHEN kind = 'tree' THEN 'dir'
        WHEN kind IN ('commit', 'submodule') THEN 'rev'
        WHEN kind = 'tag' THEN 'rel'
    END || ':' || lower(hex(oid)) END
"""
_EXPRESSIONS: Final = MappingProxyType(
    {
        "git_text": ("content BINARY", "STRING", _TEXT),
        "line_count": ("content BINARY", "BIGINT", _LINES),
        "swhid": ("kind STRING, oid BINARY", "STRING", _SWHID),
    }
)
"""By name: parameters, type and body."""

_ENTRIES = pa.list_(pa.struct([("mode", pa.int32()), ("name", pa.binary()), ("oid", OID)]))


def tree_entries(contents: pa.Array) -> pa.Array:
    """The entries of trees, in the order written, modes as in ``files``; of a malformed one those before the damage."""
    trees = [
        None if body is None else [(mode & 0x7FFFFFFF, name, oid) for mode, name, oid in entries_before_damage(body)]
        for body in contents.to_pylist()
    ]
    return pa.array(trees, _ENTRIES)


def language(names: pa.Array, contents: pa.Array) -> pa.Array:
    """The languages of files, by their names or paths; null for binaries."""
    files = zip(names.to_pylist(), contents.to_pylist(), strict=True)
    return pa.array([_language(name, content) for name, content in files], pa.string())


def _language(name: str | None, content: bytes | None) -> str | None:
    if name is None or content is None or b"\0" in content[:BINARY_WITHIN]:
        return None
    return language_of(name.rpartition("/")[2], content)


_IN_PYTHON: Final[MappingProxyType[str, tuple[Callable[..., pa.Array], str]]] = MappingProxyType(
    {"tree_entries": (tree_entries, spark_type(_ENTRIES)), "language": (language, "string")}
)
"""By name: a function from Arrow arrays to one, and its type."""

FUNCTIONS: Final = frozenset({*_EXPRESSIONS, *_IN_PYTHON})
"""Names of all functions; they compute only from their arguments."""


def register_functions(spark: SparkSession) -> None:
    """Make the functions known to a session, once."""
    identifier = getattr(jvm_of(spark), "org.apache.spark.sql.catalyst.FunctionIdentifier")
    known = spark._jsparkSession.sessionState().functionRegistry()
    missing = {name for name in FUNCTIONS if not known.functionExists(identifier(name))}
    for name in missing & _EXPRESSIONS.keys():
        parameters, type_, body = _EXPRESSIONS[name]
        spark.sql(f"CREATE TEMPORARY FUNCTION {name}({parameters}) RETURNS {type_} RETURN {body}")
    for name in missing & _IN_PYTHON.keys():
        function, type_ = _IN_PYTHON[name]
        spark.udf.register(name, arrow_udf(function, type_))  # type: ignore[call-overload]
