"""What commits and tags share: header lines, people, and text for bytes that are not UTF-8.

Parsing here never raises. The codecs rebuild what they parsed and compare, so a part that is understood wrongly costs
a copy of the raw bytes and never a byte of the object.
"""

from __future__ import annotations

from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache
from typing import Final, NamedTuple

OID_BYTES: Final = 20
LAST_SECOND: Final = 253402300799  # 9999-12-31T23:59:59Z, the last second that Python and Spark both can hold

# Codecs that turn bytes into bytes, exist on one platform only, or do not leave ASCII header text as it is.
_UNFIT_CODECS: Final = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec", "mbcs"}
)
_TEXT_CODECS: Final = frozenset(aliases.values()) - _UNFIT_CODECS


class Person(NamedTuple):
    """An author, committer or tagger. ``time`` is epoch seconds UTC, ``offset`` minutes east of UTC.

    A part that cannot be read is "" or None.
    """

    name: str
    email: str
    time: int | None
    offset: int | None


NOBODY: Final = Person("", "", None, None)


def parse_oid(text: str) -> bytes | None:
    """The 20 bytes of 40 hexadecimal digits, else None."""
    try:
        oid = bytes.fromhex(text)
    except ValueError:
        return None
    return oid if len(oid) == OID_BYTES else None


def parse_person(text: str) -> Person:
    """Read ``Name <email> 1234567890 +0100``, the value of an author, committer or tagger line."""
    who, dated, when = text.rpartition("> ")
    if not dated:
        who, when = text.removesuffix(">"), ""
    name, opened, email = who.partition(" <")
    if not opened:
        name, _, email = who.partition("<")
    seconds, _, zone = when.partition(" ")
    time = int(seconds) if seconds.isascii() and seconds.isdecimal() and len(seconds) <= 12 else None
    if time is not None and time > LAST_SECOND:
        time = None
    return Person(name, email, time, parse_offset(zone))


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
    """Text for people from bytes held as Latin-1, by the declared encoding when Python knows it.

    Bytes that do not fit, and NUL, become U+FFFD.
    """
    codec = normalize_encoding(encoding or "").lower()
    codec = aliases.get(codec, codec)
    raw = text.encode("latin-1")
    try:
        readable = raw.decode(codec if codec in _TEXT_CODECS else "utf-8", "replace")
    except ValueError:  # a few stateful codecs raise although told to replace
        readable = raw.decode("utf-8", "replace")
    return readable.replace("\0", "\ufffd")
