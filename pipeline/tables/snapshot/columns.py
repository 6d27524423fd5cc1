"""The columns of a table as Arrow has them, from the schema in its metadata.

Types by the Iceberg specification, appendix C, "JSON serialization": a word, or an object with its parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

_WORDS: Final[Mapping[str, pa.DataType]] = MappingProxyType(
    {
        "boolean": pa.bool_(),
        "int": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"),
        "string": pa.string(),
        "binary": pa.binary(),
        "unknown": pa.null(),
        "variant": pa.struct([("metadata", pa.binary()), ("value", pa.binary())]),
    }
)
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")


def arrow_columns(schema: Mapping[str, Any]) -> pa.Schema:
    """The columns of a schema, in its order.

    Raises:
        ValueError: a type that none of ours has.
        KeyError, TypeError: it is no schema.
    """
    return pa.schema([(field["name"], _type(field["type"])) for field in schema["fields"]])


def _type(of: str | Mapping[str, Any]) -> pa.DataType:
    if isinstance(of, str):
        if decimal := _DECIMAL.fullmatch(of):
            return pa.decimal128(int(decimal[1]), int(decimal[2]))
        if of not in _WORDS:
            raise ValueError(f"unknown type {of}")
        return _WORDS[of]
    match of["type"]:
        case "struct":
            return pa.struct([(field["name"], _type(field["type"])) for field in of["fields"]])
        case "list":
            return pa.list_(_type(of["element"]))
        case "map":
            return pa.map_(_type(of["key"]), _type(of["value"]))
    raise ValueError(f"unknown type {of['type']}")
