"""What commits and tags share: header lines and people.

Parsing here never raises. The codecs rebuild what they parsed and compare, so a part that is parsed wrongly costs
a copy of the raw bytes and never a byte of the object.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from pipeline.model.text import text_of

LAST_SECOND: Final = 253402300799  # 9999-12-31T23:59:59Z, the last second that both Python and Spark can hold

MOST_HEADER_LINES: Final = 4096
MOST_HEADER_BYTES: Final = 4 << 20
"""Longest headers that are read whole: a few bytes of pack can become millions of lines. Of longer ones, only the
first lines are read."""

MOST_TEXT_BYTES: Final = 1 << 20
"""Bytes that are read of a message, and of the first lines of long headers: text may take three times its bytes, in
addition to ``raw``."""

_FIRST_LINES: Final = 4


class Person(NamedTuple):
    """An author, committer or tagger. ``time`` is epoch seconds UTC, ``offset`` minutes east of UTC.

    A part that cannot be read is "" or None.
    """

    name: str
    email: str
    time: int | None
    offset: int | None


NOBODY: Final = Person("", "", None, None)


class Body(NamedTuple):
    """An object's body after its links.

    Attributes:
        head: header lines without the last line end.
        message: what follows the blank line.
        whole: there is a blank line, and ``head`` and ``message`` omit nothing of the body.
    """

    head: bytes
    message: memoryview
    whole: bool


def split_body(raw: bytes, at: int) -> Body:
    """Split a commit or tag; its links end at ``at``, which is just after a line end or 0."""
    view = memoryview(raw)
    end = raw.find(b"\n\n", max(at - 1, 0))
    whole = end >= 0
    message = view[end + 2 :] if whole else view[len(raw) :]
    end = max(end, at) if whole else len(raw)
    if end - at > MOST_HEADER_BYTES or raw.count(b"\n", at, end) > MOST_HEADER_LINES:
        whole = False
        last = at
        for _ in range(_FIRST_LINES):
            found = raw.find(b"\n", last, end)
            if found < 0:
                break
            last = found + 1
        end = min(max(last - 1, at), at + MOST_TEXT_BYTES)
    if len(message) > MOST_TEXT_BYTES:
        whole, message = False, message[:MOST_TEXT_BYTES]
    return Body(raw[at:end], message, whole)


def parse_person(text: str) -> Person:
    """Read ``Name <email> 1234567890 +0100``, the value of an author, committer or tagger line."""
    who, dated, when = text.rpartition("> ")
    if not dated:
        who, when = text.removesuffix(">"), ""
    name, opened, email = who.partition(" <")
    if not opened:
        name, _, email = who.partition("<")
    seconds, _, zone = when.partition(" ")
    time = int(seconds) if len(seconds) <= 12 and seconds.isascii() and seconds.isdecimal() else None
    if time is not None and time > LAST_SECOND:
        time = None
    return Person(name, email, time, parse_offset(zone) if len(zone) == 5 else None)


def format_person(person: Person) -> str:
    """The inverse of ``parse_person`` for a person whose time and offset are known."""
    name, email, time, offset = person
    return f"{name} <{email}> {time} {format_offset(offset)}"


@lru_cache(maxsize=1024)
def parse_offset(zone: str) -> int | None:
    """Minutes east of UTC for ``+hhmm`` or ``-hhmm``, else None."""
    digits = zone[1:]
    if len(zone) != 5 or zone[0] not in "+-" or not (digits.isascii() and digits.isdecimal()) or digits[2] > "5":
        return None
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return -minutes if zone[0] == "-" else minutes


@lru_cache(maxsize=1024)
def format_offset(offset: int | None) -> str:
    """``+hhmm`` or ``-hhmm``; "" when unknown."""
    if offset is None:
        return ""
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}{minutes:02}"


def unfold(lines: list[str]) -> list[tuple[str, str]]:
    """Header lines as (name, value) pairs in order; a line that starts with a space continues the value before it."""
    headers: list[tuple[str, str]] = []
    name = ""
    value: list[str] = []
    for line in lines:
        if line.startswith(" ") and value:
            value.append(line[1:])
            continue
        if value:
            headers.append((name, "\n".join(value)))
        name, _, first = line.partition(" ")
        value = [first]
    if value:
        headers.append((name, "\n".join(value)))
    return headers


def fold(name: str, value: str) -> str:
    """One header as git writes it, with its line end."""
    return f"{name} {value.replace(chr(10), chr(10) + ' ')}\n"


def take_single(headers: list[tuple[str, str]], name: str) -> str | None:
    """Remove the header of that name and return its value; None, and nothing removed, unless there is exactly one."""
    found = [header for header in headers if header[0] == name]
    if len(found) != 1:
        return None
    headers.remove(found[0])
    return found[0][1]


def decoded(text: str, encoding: str | None) -> str:
    """``text_of`` for bytes held as Latin-1."""
    return text_of(text.encode("latin-1"), encoding)
