"""Which earlier object a new one of a pack is a delta of: one of the last few of the same name."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.git.delta import MOST_BYTES, make_delta, shared_ends
from pipeline.model.objects import BLOB, TREE, ObjectType

DEEPEST: Final = 50
"""Longest chain of deltas, as in git's own packs."""

_TRIED: Final = 4
_HELD_BYTES: Final = 64 << 20
_SMALLEST: Final = 50
_ALIKE: Final = 0.9
"""Share of an object that, if it is at the ends of another, ends the search."""


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
    """The last objects of each name, at most 64 MiB; names that were not used for the longest time go first."""

    def __init__(self) -> None:
        self._bases: OrderedDict[tuple[ObjectType, str | bytes], deque[_Base]] = OrderedDict()
        self._held_bytes = 0

    def delta(self, type_: ObjectType, name: str, body: bytes) -> Delta | None:
        """The object as a delta, None if it is smaller whole."""
        bases = self._bases.get(_key(type_, name, body)) if _SMALLEST <= len(body) <= MOST_BYTES else None
        best, ends = None, None
        for base in reversed(bases or ()):
            if base.depth < DEEPEST:
                found = shared_ends(base.body, body)
                if ends is None or found.size_bytes > ends.size_bytes:
                    best, ends = base, found
                if found.size_bytes > _ALIKE * len(body):
                    break
        if best is None or ends is None:
            return None
        data = make_delta(best.body, body, ends, tree=type_ is TREE)
        return Delta(best.offset, best.depth + 1, data) if len(data) < len(body) // 2 else None

    def remember(self, type_: ObjectType, name: str, body: bytes, offset: int, depth: int) -> None:
        """Make an object a base for later ones; ``depth`` is 0 if it is whole."""
        if type_ not in (BLOB, TREE) or not _SMALLEST <= len(body) <= MOST_BYTES:
            return
        key = _key(type_, name, body)
        bases = self._bases.setdefault(key, deque())
        bases.append(_Base(body, offset, depth))
        self._held_bytes += len(body)
        if len(bases) > _TRIED:
            self._held_bytes -= len(bases.popleft().body)
        self._bases.move_to_end(key)
        while self._held_bytes > _HELD_BYTES:
            self._held_bytes -= sum(len(base.body) for base in self._bases.popitem(last=False)[1])


def _key(type_: ObjectType, name: str, body: bytes) -> tuple[ObjectType, str | bytes]:
    """Versions of a directory mostly keep their first entry."""
    return type_, body[: body.find(b"\0")] if type_ is TREE else name
