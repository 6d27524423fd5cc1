"""Git objects as rows of the landed tables: tuples in the order of the table's columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.model.commit import parse_commit
from pipeline.model.tables import extension
from pipeline.model.tag import parse_tag
from pipeline.model.text import text_of

BINARY_PROBE_BYTES = 8000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[object, ...]


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else EPOCH + timedelta(seconds=seconds)


def _extra(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs]


def commit_row(bucket: int, network: int, oid: bytes, data: bytes) -> Row:
    """A row of ``commits``."""
    c = parse_commit(data)
    return (
        bucket,
        network,
        oid,
        c.tree,
        c.parents,
        c.author_name,
        c.author_email,
        _time(c.author_time),
        c.author_offset,
        c.committer_name,
        c.committer_email,
        _time(c.committer_time),
        c.committer_offset,
        c.message,
        c.encoding,
        c.signature,
        _extra(c.extra),
        c.raw,
    )


def tag_row(bucket: int, network: int, oid: bytes, data: bytes) -> Row:
    """A row of ``tags``."""
    t = parse_tag(data)
    return (
        bucket,
        network,
        oid,
        t.target,
        t.target_type,
        t.name,
        t.tagger_name,
        t.tagger_email,
        _time(t.tagger_time),
        t.tagger_offset,
        t.message,
        t.signature,
        _extra(t.extra),
        t.raw,
    )


def blob_names(name: bytes | None) -> tuple[str, str]:
    """``name`` and ``ext`` of a blob whose name in a tree is known, or is not."""
    text = text_of(name or b"")
    return text, extension(text)


def is_binary(data: bytes) -> bool:
    """Git's own rule: a NUL byte among the first 8,000."""
    return b"\0" in data[:BINARY_PROBE_BYTES]
