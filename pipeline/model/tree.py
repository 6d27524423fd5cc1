"""Entries of a git tree object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from pipeline.model.errors import PipelineError

FORMAT_BITS: Final = 0o170000
TREE_FORMAT: Final = 0o040000
FILE_FORMAT: Final = 0o100000
SYMLINK_FORMAT: Final = 0o120000

Kind = Literal["tree", "blob", "symlink", "gitlink"]

# The second branch matches the rest of a malformed tree, so findall never searches further and stays linear. Git reads
# any number of digits (get_mode in tree-walk.c).
_ENTRY: Final = re.compile(rb"([0-7]++) ([^\0]++)\0(.{20})|.+", re.DOTALL)
_READ_AT_ONCE_BYTES: Final = 1 << 20
_KEPT_DIGITS: Final = 11


class MalformedTree(PipelineError):
    """The bytes are not a tree: cut off, or an entry lacks its octal mode or name."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes

    def __str__(self) -> str:
        return f"a tree of {self.size_bytes} bytes is cut off or has an entry without octal mode or name"


class _Modes(dict[bytes, int]):
    """Mode digits to number; computes unusual ones without caching them, since anybody may invent more.

    Git shifts the digits into 32 bits, so only the last eleven count.
    """

    def __missing__(self, digits: bytes) -> int:
        return int(digits[-_KEPT_DIGITS:], 8) & 0xFFFFFFFF


_MODES: Final = _Modes({b"%o" % mode: mode for mode in (0o40000, 0o100644, 0o100755, 0o120000, 0o160000, 0o100664)})


def iter_entries(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield mode, name and 20-byte id of each entry, in the order written.

    Modes and names are not checked: modes that git no longer writes (0100664), names that occur twice or have a slash.

    Raises:
        MalformedTree: at the first bad entry; the entries before it have been yielded.
    """
    modes = _MODES
    for digits, name, oid in _parts(raw):
        if not oid:
            raise MalformedTree(len(raw))
        yield modes[digits], name, oid


def _parts(raw: bytes) -> Iterable[tuple[bytes, bytes, bytes]]:
    """Digits, name and id of each entry, all empty where the damage begins; one at a time for a large tree."""
    if len(raw) <= _READ_AT_ONCE_BYTES:
        return _ENTRY.findall(raw)
    return (found.groups(b"") for found in _ENTRY.finditer(raw))  # type: ignore[misc]


def entries_before_damage(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """``iter_entries`` for archived trees, which may be malformed: stops where the damage begins."""
    try:
        yield from iter_entries(raw)
    except MalformedTree:
        return


def kind_of(mode: int) -> Kind:
    """What git takes an entry with this mode for: anything but a directory, file or symbolic link is a submodule."""
    return _KINDS.get(mode & FORMAT_BITS, "gitlink")


_KINDS: Final[dict[int, Kind]] = {TREE_FORMAT: "tree", FILE_FORMAT: "blob", SYMLINK_FORMAT: "symlink"}
