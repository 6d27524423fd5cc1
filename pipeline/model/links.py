"""What commits and tags point at, read as git itself reads it (``commit.c``, ``tag.c``).

Only this module reads these lines, so completeness, reachability and the columns ``tree``, ``parents`` and ``target``
cannot differ. Nothing here raises; reading ends at the first line that git does not accept.
"""

from __future__ import annotations

import re
from binascii import Error, unhexlify
from typing import Final, NamedTuple

from pipeline.model.objects import BY_WORD, ObjectType

OID_BYTES: Final = 20
_DIGITS: Final = 2 * OID_BYTES
_LINE_END: Final = 0x0A
_SMALLEST_TAG_BYTES: Final = 64
_WHOLE_TAG: Final = re.compile(rb"object [0-9a-fA-F]{40}\ntype (blob|tree|commit|tag)\ntag [^\n]*+\n")


class CommitLinks(NamedTuple):
    """``end`` is the end of the lines that were read; 0 without a tree, since git then reads no parents either."""

    tree: bytes | None
    parents: list[bytes]
    end: int


class TagLink(NamedTuple):
    """``end`` is the end of the first line, 0 without a target."""

    target: bytes | None
    end: int


def parse_oid(digits: bytes) -> bytes | None:
    """The 20 bytes of exactly 40 hexadecimal digits of either case, else None."""
    if len(digits) != _DIGITS:
        return None
    try:
        return unhexlify(digits)
    except Error:
        return None


def commit_links(raw: bytes) -> CommitLinks:
    """Tree and parents of a commit's body: whole lines of a word, a blank and an id, up to the first other line."""
    tree = _id_of(raw, b"tree ", 0)
    parents: list[bytes] = []
    if tree is None:
        return CommitLinks(None, parents, 0)
    at = len(b"tree \n") + _DIGITS
    while (parent := _id_of(raw, b"parent ", at)) is not None:
        parents.append(parent)
        at += len(b"parent \n") + _DIGITS
    return CommitLinks(tree, parents, at)


def tag_link(raw: bytes) -> TagLink:
    """What a tag's body points at, by its first line."""
    target = _id_of(raw, b"object ", 0)
    return TagLink(target, 0 if target is None else len(b"object \n") + _DIGITS)


def tagged(raw: bytes) -> tuple[bytes, ObjectType] | None:
    """Id and type of what a tag points at; None where git reads no tag, and so no target."""
    found = _WHOLE_TAG.match(raw) if len(raw) >= _SMALLEST_TAG_BYTES else None
    target = tag_link(raw).target
    return None if found is None or target is None else (target, BY_WORD[found[1]])


def _id_of(raw: bytes, word: bytes, at: int) -> bytes | None:
    start = at + len(word)
    end = start + _DIGITS
    if not raw.startswith(word, at) or len(raw) <= end or raw[end] != _LINE_END:
        return None
    return parse_oid(raw[start:end])
