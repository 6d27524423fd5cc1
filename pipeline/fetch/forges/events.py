"""Files of events, an hour each, in the format of GH Archive: which repositories they say to have changed.

A file may be made by anybody: nothing in it costs more memory or time than the limits here.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO

from pipeline.fetch.forges.cursor import BadPage
from pipeline.fetch.forges.hours import end_of
from pipeline.fetch.forges.items import BadItem, number, part_of, text, when

EXPANSION = 16
"""Most bytes, inflated, that a byte of a file may become on average."""

LONGEST_LINE = 4 << 20
"""Bytes of a line; a longer one is counted and passed over."""

MOST_LINES = 5_000_000
"""Lines of a file; real ones have less than a million."""

MOST_REPOSITORIES = 1_000_000
"""Repositories of a file."""

MOST_MEMBERS = 100_000
"""Parts of a file that are compressed by themselves."""

_TYPES = ("PushEvent", "CreateEvent", "DeleteEvent", "PublicEvent")
"""Events after which refs differ from what they were, or can be read at last."""

_WORDS = tuple(f'"{name}"'.encode() for name in _TYPES)
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Changed:
    """A repository that some events name. ``id``: 0 if they do not say it; ``name``: its path at that time."""

    id: int
    name: str


def read_events(file: BinaryIO, hour: int, largest: int) -> tuple[dict[Changed, datetime], dict[str, int]]:
    """The repositories that changed, and when they last did; and lines that cannot be used, counted by reason.

    Args:
        file: compressed by gzip, or not.
        hour: no time is later than its end.
        largest: most bytes, inflated.

    Raises:
        BadPage: it is damaged, or exceeds a limit.
    """
    end = end_of(hour)
    found: dict[Changed, datetime] = {}
    bad: Counter[str] = Counter()
    for count, line in enumerate(_lines(_inflated(file, largest)), 1):
        if count > MOST_LINES:
            raise BadPage(f"it has more than {MOST_LINES:,} lines")
        if line is None:
            bad["long line"] += 1
        elif any(word in line for word in _WORDS):
            try:
                event = _event(line)
            except BadItem as error:
                bad[str(error)] += 1
                continue
            if event is not None:
                changed, moment = event
                found[changed] = max(min(moment, end), found.get(changed, moment.min.replace(tzinfo=UTC)))
                if len(found) > MOST_REPOSITORIES:
                    raise BadPage(f"it names more than {MOST_REPOSITORIES:,} repositories")
    return found, dict(sorted(bad.items()))


def _event(line: bytes) -> tuple[Changed, datetime] | None:
    """What changed, and when; None if an event says nothing of the kind."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        raise BadItem("bad line") from None
    if not isinstance(event, dict):
        raise BadItem("no object")
    if event.get("type") not in _TYPES:
        return None
    repository, moment = part_of(event, "repo"), when(event, "created_at")
    name = text(repository, "name")
    if name is None:
        raise BadItem("no repository")
    if moment is None:
        raise BadItem("no time")
    return Changed(number(repository, "id") or number(part_of(event, "payload"), "repository_id") or 0, name), moment


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes | None]:
    """The lines; None for each that is too long, of which no more is kept than its limit."""
    rest, is_long = b"", False
    for piece in pieces:
        first, *others = piece.split(b"\n")
        rest += first
        if len(rest) > LONGEST_LINE:
            rest, is_long = b"", True
        if others:
            yield None if is_long else rest
            yield from others[:-1]
            rest, is_long = others[-1], False
    if rest or is_long:
        yield None if is_long else rest


def _inflated(file: BinaryIO, largest: int) -> Iterator[bytes]:
    """The file's bytes, a piece at a time."""
    size = 0
    for piece in _pieces(file):
        size += len(piece)
        if size > largest:
            raise BadPage(f"it exceeds {largest:,} bytes, decompressed")
        yield piece


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    read = partial(file.read, _PIECE)
    data = read()
    if not data.startswith(_GZIP):
        while data:
            yield data
            data = read()
        return
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof:
            try:
                piece = member.decompress(data, _PIECE)
            except zlib.error:
                raise BadPage("it cannot be decompressed") from None
            yield piece
            data = member.unconsumed_tail or (b"" if member.eof else read())
            if not data and not piece and not member.eof:
                raise BadPage("it ends too early")
        data = member.unused_data or read()
        if not data.strip(b"\0"):
            return
    raise BadPage(f"it has more than {MOST_MEMBERS:,} parts")
