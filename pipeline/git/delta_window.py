"""Which earlier object a new one of a pack is a delta of: one of the last few of the same name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.git.delta import MOST_BYTES, make_delta
from pipeline.git.window import Window, most_alike
from pipeline.model.objects import BLOB, TREE, ObjectType

DEEPEST: Final = 50
"""Longest chain of deltas, as in git's own packs."""

_HELD_BYTES: Final = 64 << 20
_SMALLEST: Final = 50


class Delta(NamedTuple):
    """An object as a delta of the one at an offset of the pack; ``depth`` counts the deltas down to a whole object."""

    offset: int
    depth: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Base:
    body: bytes
    offset: int
    depth: int


class DeltaWindow:
    """The last four objects of each name, in at most 64 MiB of memory."""

    def __init__(self) -> None:
        self._bases: Window[_Base] = Window(_HELD_BYTES)

    def delta(self, type_: ObjectType, name: str, body: bytes) -> Delta | None:
        """The object as a delta, None if it is smaller whole."""
        if not _SMALLEST <= len(body) <= MOST_BYTES:
            return None
        bases = self._bases.of(_key(type_, name, body))
        best = most_alike((base for base in bases if base.depth < DEEPEST), body)
        if best is None:
            return None
        base, ends = best
        data = make_delta(base.body, body, ends, tree=type_ is TREE)
        return Delta(base.offset, base.depth + 1, data) if len(data) < len(body) // 2 else None

    def remember(self, type_: ObjectType, name: str, body: bytes, offset: int, depth: int) -> None:
        """Make an object a base for later ones; ``depth`` is 0 if it is whole."""
        if type_ in (BLOB, TREE) and _SMALLEST <= len(body) <= MOST_BYTES:
            self._bases.add(_key(type_, name, body), _Base(body, offset, depth))


def _key(type_: ObjectType, name: str, body: bytes) -> str | bytes:
    """The name of a blob; a directory's first entry, which its versions mostly keep."""
    return body[: body.find(b"\0")] if type_ is TREE else name
