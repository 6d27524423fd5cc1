"""A reader for Avro files as Iceberg writes them, so that one damaged file is one finding, without a JVM.

``edited_avro`` replaces single values of a file, and keeps all others and the header as they are.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipeline.model.errors import CheckFailed

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MOST_BLOCK_BYTES = 256 << 20
"""Limit for one block, inflated: a manifest has 8 MB."""


class AvroDamaged(CheckFailed):
    """The bytes are not an Avro file, or not one that we can read."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"not an Avro file: {self.why}"


class _Cursor:
    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise AvroDamaged("it ends too early")
        found = self.data[self.at : end]
        self.at = end
        return found

    def long(self) -> int:
        value = shift = 0
        data, at = self.data, self.at
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        self.at = at
        return (value >> 1) ^ -(value & 1)

    def bytes(self) -> bytes:
        return self.take(self.long())


_Read = Callable[[_Cursor], Any]

_PLAIN: dict[str, _Read] = {
    "null": lambda cursor: None,
    "boolean": lambda cursor: cursor.take(1) != b"\0",
    "int": _Cursor.long,
    "long": _Cursor.long,
    "float": lambda cursor: struct.unpack("<f", cursor.take(4))[0],
    "double": lambda cursor: struct.unpack("<d", cursor.take(8))[0],
    "bytes": _Cursor.bytes,
    "string": lambda cursor: cursor.bytes().decode(),
}


def read_avro(data: bytes) -> list[dict[str, Any]]:
    """The records of a file.

    Raises:
        AvroDamaged: the file cannot be read.
    """
    with _damage():
        return list(_records(data))


def avro_blocks(data: bytes) -> list[bytes]:
    """The uncompressed bytes of a file, texts as UTF-8: for a search that need not know its records.

    Raises:
        AvroDamaged: the file cannot be read.
    """
    with _damage():
        cursor = _Cursor(data)
        header = _header(cursor)
        return [*header.values(), *(block for _, block in _blocks(cursor, header))]


def edited_avro(data: bytes, edits: Mapping[str, Callable[[Any], Any]]) -> bytes:
    """The same file with some texts and whole numbers replaced.

    Args:
        edits: by the name of a record's field, what gives its new value; called in the order of the file.

    Raises:
        AvroDamaged: the file cannot be read.
    """
    with _damage():
        cursor = _Cursor(data)
        header = _header(cursor)
        sync = data[cursor.at : cursor.at + SYNC_BYTES]
        out = bytearray(data[: cursor.at + SYNC_BYTES])
        copy = _copier(json.loads(header["avro.schema"]), {}, edits)
        for count, block in _blocks(cursor, header):
            inner, edited = _Cursor(block), bytearray()
            for _ in range(count):
                copy(inner, edited)
            if inner.at != len(inner.data):
                raise AvroDamaged("bytes are left over in a block")
            packed = _deflated(header.get("avro.codec", b"null"), bytes(edited))
            out += _long(count) + _long(len(packed)) + packed + sync
        return bytes(out)


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError, zlib.error) as error:
        raise AvroDamaged(str(error) or type(error).__name__) from error


def _records(data: bytes) -> Iterator[dict[str, Any]]:
    cursor = _Cursor(data)
    header = _header(cursor)
    read = _reader(json.loads(header["avro.schema"]), {})
    for count, block in _blocks(cursor, header):
        inner = _Cursor(block)
        for _ in range(count):
            yield read(inner)
        if inner.at != len(inner.data):
            raise AvroDamaged("bytes are left over in a block")


def _header(cursor: _Cursor) -> dict[str, bytes]:
    if cursor.take(len(MAGIC)) != MAGIC:
        raise AvroDamaged("wrong magic bytes")
    header: dict[str, bytes] = _map(_PLAIN["bytes"])(cursor)
    return header


def _blocks(cursor: _Cursor, header: dict[str, bytes]) -> Iterator[tuple[int, bytes]]:
    """Number of records and inflated bytes of each block."""
    sync = cursor.take(SYNC_BYTES)
    codec = header.get("avro.codec", b"null")
    while cursor.at < len(cursor.data):
        count, block = cursor.long(), cursor.bytes()
        if cursor.take(SYNC_BYTES) != sync:
            raise AvroDamaged("a block does not end where it must")
        yield count, _inflated(codec, block)


def _inflated(codec: bytes, block: bytes) -> bytes:
    if codec == b"null":
        return block
    if codec != b"deflate":
        raise AvroDamaged(f"unknown codec {codec!r}")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflater.decompress(block, MOST_BLOCK_BYTES)
    if not inflater.eof:
        raise AvroDamaged("a block is truncated or too large")
    return found


def _reader(schema: Any, named: dict[str, _Read]) -> _Read:  # noqa: ANN401 - JSON
    if isinstance(schema, list):
        return _union([_reader(choice, named) for choice in schema])
    if isinstance(schema, str):
        return _PLAIN[schema] if schema in _PLAIN else named[schema]
    kind = schema["type"]
    if kind in _COMPOUND:
        return _COMPOUND[kind](schema, named)
    return _reader(kind, named)


def _record(schema: dict[str, Any], named: dict[str, _Read]) -> _Read:
    fields: list[tuple[str, _Read]] = []

    def read(cursor: _Cursor) -> dict[str, Any]:
        return {name: field(cursor) for name, field in fields}

    named[schema["name"]] = read
    fields.extend((field["name"], _reader(field["type"], named)) for field in schema["fields"])
    return read


def _union(choices: list[_Read]) -> _Read:
    def read(cursor: _Cursor) -> Any:  # noqa: ANN401 - any of the choices
        chosen = cursor.long()
        if not 0 <= chosen < len(choices):
            raise AvroDamaged("a value of no known type")
        return choices[chosen](cursor)

    return read


def _counts(cursor: _Cursor) -> Iterator[int]:
    """Number of items in each block of an array or map."""
    while count := cursor.long():
        if count < 0:
            count = -count
            cursor.long()
        if count > len(cursor.data):
            raise AvroDamaged("more items than bytes")
        yield count


def _array(item: _Read) -> _Read:
    return lambda cursor: [item(cursor) for count in _counts(cursor) for _ in range(count)]


def _fixed(schema: dict[str, Any], named: dict[str, _Read]) -> _Read:
    size = int(schema["size"])
    named[schema["name"]] = lambda cursor: cursor.take(size)
    return named[schema["name"]]


def _map(value: _Read) -> _Read:
    text = _PLAIN["string"]
    return lambda cursor: {text(cursor): value(cursor) for count in _counts(cursor) for _ in range(count)}


_COMPOUND: dict[str, Callable[[dict[str, Any], dict[str, _Read]], _Read]] = {
    "record": _record,
    "array": lambda schema, named: _array(_reader(schema["items"], named)),
    "map": lambda schema, named: _map(_reader(schema["values"], named)),
    "fixed": _fixed,
}


_Copy = Callable[[_Cursor, bytearray], None]
_Edits = Mapping[str, Callable[[Any], Any]]


def _copier(schema: Any, named: dict[str, _Copy], edits: _Edits, field: str = "") -> _Copy:  # noqa: ANN401 - JSON
    """What copies a value from one place to another, and replaces those of edited fields."""
    if isinstance(schema, list):
        return _copied_union([_copier(choice, named, edits, field) for choice in schema])
    kind = schema if isinstance(schema, str) else schema["type"]
    if not isinstance(kind, str):
        return _copier(kind, named, edits, field)
    if kind == "record":
        return _copied_record(schema, named, edits)
    if kind in ("array", "map"):
        keys = [_as_it_is(_PLAIN["string"])] if kind == "map" else []
        return _copied_items([*keys, _copier(schema["values" if keys else "items"], named, edits)])
    if kind == "fixed":
        named[schema["name"]] = _as_it_is(_fixed(schema, {}))
    if field in edits and kind in ("string", "int", "long"):
        return _edited(kind, edits[field])
    return _as_it_is(_PLAIN[kind]) if kind in _PLAIN else named[kind if kind != "fixed" else schema["name"]]


def _as_it_is(read: _Read) -> _Copy:
    def copy(cursor: _Cursor, out: bytearray) -> None:
        began = cursor.at
        read(cursor)
        out += cursor.data[began : cursor.at]

    return copy


def _edited(kind: str, edit: Callable[[Any], Any]) -> _Copy:
    def copy(cursor: _Cursor, out: bytearray) -> None:
        value = edit(_PLAIN[kind](cursor))
        if kind == "string":
            text = value.encode()
            out += _long(len(text)) + text
        else:
            out += _long(value)

    return copy


def _copied_record(schema: dict[str, Any], named: dict[str, _Copy], edits: _Edits) -> _Copy:
    fields: list[_Copy] = []

    def copy(cursor: _Cursor, out: bytearray) -> None:
        for field in fields:
            field(cursor, out)

    named[schema["name"]] = copy
    fields.extend(_copier(field["type"], named, edits, field["name"]) for field in schema["fields"])
    return copy


def _copied_union(choices: list[_Copy]) -> _Copy:
    def copy(cursor: _Cursor, out: bytearray) -> None:
        chosen = cursor.long()
        if not 0 <= chosen < len(choices):
            raise AvroDamaged("a value of no known type")
        out += _long(chosen)
        choices[chosen](cursor, out)

    return copy


def _copied_items(parts: list[_Copy]) -> _Copy:
    """For arrays, whose items have one part, and maps, whose items have two."""

    def copy(cursor: _Cursor, out: bytearray) -> None:
        for count in _counts(cursor):
            out += _long(count)
            for _ in range(count):
                for part in parts:
                    part(cursor, out)
        out += _long(0)

    return copy


def _long(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _deflated(codec: bytes, block: bytes) -> bytes:
    if codec == b"null":
        return block
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(block) + deflater.flush()
