"""Structs in Thrift's compact protocol, as in Parquet's footers and page headers: read, changed, written again.

A struct is a dictionary of its fields by number, in order; a field is a pair of its type and its value. Values are
numbers, bytes, lists (``Items``) and structs; of booleans only the type counts. What Parquet does not use is no
struct here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple


class Kind(IntEnum):
    """A type of the protocol; a boolean field has its value as its type."""

    TRUE = 1
    FALSE = 2
    BYTE = 3
    I16 = 4
    I32 = 5
    I64 = 6
    DOUBLE = 7
    BINARY = 8
    LIST = 9
    STRUCT = 12


class Field(NamedTuple):
    """A field of a struct."""

    kind: Kind
    value: Any


class Items(NamedTuple):
    """The values of a list, which have one type."""

    kind: Kind
    values: list[Any]


Struct = dict[int, Field]

_NUMBERS = (Kind.I16, Kind.I32, Kind.I64)
_MANY = 15
"""A list of fewer items has their number in its first byte, and so has a field that is so far behind the one before."""


def read_struct(data: bytes) -> Struct:
    """The struct that the bytes begin with.

    Raises:
        ValueError, IndexError, RecursionError: they are none, or it has a set, a map or a list of booleans.
    """
    return _Reader(data).struct()


def write_struct(struct: Struct) -> bytes:
    """The bytes of a struct."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> Struct:
        found: Struct = {}
        number = 0
        while first := self._byte():
            step, kind = first >> 4, Kind(first & 15)
            number = number + step if step else self._number()
            found[number] = Field(kind, self._value(kind))
        return found

    def _value(self, kind: Kind) -> Any:  # noqa: ANN401 - whatever the type says
        if kind in (Kind.TRUE, Kind.FALSE):
            return None
        if kind in _NUMBERS:
            return self._number()
        if kind is Kind.STRUCT:
            return self.struct()
        if kind is Kind.LIST:
            first = self._byte()
            count, items = first >> 4, Kind(first & 15)
            if items in (Kind.TRUE, Kind.FALSE):
                raise ValueError("a list of booleans")
            count = self._varint() if count == _MANY else count
            return Items(items, [self._value(items) for _ in range(count)])
        size = {Kind.BYTE: 1, Kind.DOUBLE: 8}.get(kind)
        return self._bytes(self._varint() if size is None else size)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        begin, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise ValueError("the bytes end inside a value")
        return self._data[begin : self._at]

    def _varint(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 0x80:
            found |= (byte & 0x7F) << shift
            shift += 7
        return found | byte << shift

    def _number(self) -> int:
        found = self._varint()
        return found >> 1 ^ -(found & 1)


def _put_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in struct.items():
        step = number - before
        if 0 < step <= _MANY:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _put_number(out, number)
        _put(out, kind, value)
        before = number
    out.append(0)


def _put(out: bytearray, kind: Kind, value: Any) -> None:  # noqa: ANN401 - whatever the type says
    if kind in (Kind.TRUE, Kind.FALSE):
        return
    if kind in _NUMBERS:
        _put_number(out, value)
    elif kind is Kind.STRUCT:
        _put_struct(out, value)
    elif kind is Kind.LIST:
        count = len(value.values)
        out.append(min(count, _MANY) << 4 | value.kind)
        if count >= _MANY:
            _put_varint(out, count)
        for item in value.values:
            _put(out, value.kind, item)
    else:
        if kind is Kind.BINARY:
            _put_varint(out, len(value))
        out += value


def _put_varint(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _put_number(out: bytearray, number: int) -> None:
    _put_varint(out, number << 1 if number >= 0 else (-number << 1) - 1)
