"""Git objects as rows of their tables, and back: the one place that knows which part of an object is in which column.

A row is a tuple in the order of its table's columns, with values that Arrow accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from pipeline.model.commit import Commit, build_commit, parse_commit
from pipeline.model.errors import CheckFailed
from pipeline.model.objects import BLOB, COMMIT, TAG, TREE, ObjectType
from pipeline.model.tables import COMMITS, CONTENTS, EXTRA, OID, OIDS, TAGS, TIME, TREES, Table, extension
from pipeline.model.tag import Tag, build_tag, parse_tag
from pipeline.model.text import text_of

BINARY_PROBE_BYTES = 8000

Row = tuple[object, ...]
Cells = Mapping[str, Any]
"""Values of a row by column, as Arrow or Spark gives them."""

Record = TypeVar("Record", Commit, Tag)

_SECOND: Final = 1_000_000


class TreeRow(NamedTuple):
    """A row of ``trees``."""

    bucket: int
    network: int
    oid: bytes
    at_head: bool
    content: bytes


class BlobRow(NamedTuple):
    """A row of ``blobs``."""

    bucket: int
    network: int
    oid: bytes
    sha256: bytes | None
    size: int
    name: str
    ext: str
    is_binary: bool
    stored: str


class ContentRow(NamedTuple):
    """A row of ``contents``."""

    bucket: int
    network: int
    oid: bytes
    size: int
    ext: str
    name: str
    at_head: bool
    content: bytes


def commit_row(bucket: int, network: int, oid: bytes, body: bytes) -> Row:
    """A row of ``commits``."""
    return _row(bucket, network, oid, parse_commit(body), _COMMIT_TIMES)


def committer_time(row: Row) -> int | None:
    """That of a row of ``commits``: microseconds since 1970, UTC; None if it has none."""
    time = row[_COMMITTER_TIME]
    assert time is None or isinstance(time, int)
    return time


def tag_row(bucket: int, network: int, oid: bytes, body: bytes) -> Row:
    """A row of ``tags``."""
    return _row(bucket, network, oid, parse_tag(body), _TAG_TIMES)


def _row(bucket: int, network: int, oid: bytes, record: Commit | Tag, times: tuple[int, ...]) -> Row:
    row: list[Any] = [bucket, network, oid, *record]
    for at in times:
        if row[at] is not None:
            row[at] *= _SECOND
    return tuple(row)


def _times(table: Table) -> tuple[int, ...]:
    return tuple(at for at, column in enumerate(table.columns) if column.type == TIME)


_COMMITTER_TIME: Final = COMMITS.column_names.index("committer_time")
_COMMIT_TIMES: Final = _times(COMMITS)
_TAG_TIMES: Final = _times(TAGS)


def blob_names(name: bytes | None) -> tuple[str, str]:
    """``name`` and ``ext`` of a blob; ``name`` is its name in a tree, None if unknown."""
    text = text_of(name or b"")
    return text, extension(text)


def is_binary(data: bytes) -> bool:
    """Git's own rule: a NUL byte among the first 8,000."""
    return b"\0" in data[:BINARY_PROBE_BYTES]


@dataclass(frozen=True, slots=True)
class Codec:
    """How objects of one type are stored.

    Attributes:
        table: the table that holds their bytes.
        columns: the columns that ``body`` needs.
        body: the exact bytes of an object; raises CheckFailed if they cannot be rebuilt from the cells.
    """

    type: ObjectType
    table: Table
    columns: tuple[str, ...]
    body: Callable[[Cells], bytes]


def _of_record(
    type_: ObjectType, table: Table, record: Callable[..., Record], build: Callable[[Record], bytes]
) -> Codec:
    """For a table that has the fields of a record, in their order, behind the id."""
    columns = table.columns[table.column_names.index("oid") + 1 :]
    readers = [(column.name, _READERS.get(column.type)) for column in columns]

    def body(cells: Cells) -> bytes:
        try:
            return build(record(*[cells[name] if read is None else read(cells[name]) for name, read in readers]))
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckFailed(str(error)) from error

    return Codec(type_, table, tuple(column.name for column in columns), body)


def _content(cells: Cells) -> bytes:
    content = cells["content"]
    if content is None:
        raise CheckFailed("there is no content")
    return bytes(content)


def _bytes(cell: bytes | bytearray | None) -> bytes | None:
    return None if cell is None else bytes(cell)


def _ids(cells: list[bytes]) -> list[bytes]:
    return [bytes(oid) for oid in cells]


def _seconds(cell: datetime | int | None) -> int | None:
    """Spark is asked for seconds, since its datetimes would be in the machine's time zone; Arrow's are in UTC."""
    return int(cell.timestamp()) if isinstance(cell, datetime) else cell


def _pairs(cells: list[Cells] | None) -> list[tuple[str, str]]:
    return [(pair["key"], pair["value"]) for pair in cells or ()]


_READERS: Final[Mapping[object, Callable[[Any], Any]]] = {OID: _bytes, OIDS: _ids, TIME: _seconds, EXTRA: _pairs}

CODECS: Final = MappingProxyType(
    {
        codec.table.name: codec
        for codec in (
            _of_record(COMMIT, COMMITS, Commit, build_commit),
            _of_record(TAG, TAGS, Tag, build_tag),
            Codec(TREE, TREES, ("content",), _content),
            Codec(BLOB, CONTENTS, ("content",), _content),
        )
    }
)
"""Codecs by table; blobs last."""
