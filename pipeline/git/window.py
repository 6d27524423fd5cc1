"""The last few objects of each kind, with which new ones are compared."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from pipeline.git.delta import Ends, shared_ends

_EACH: Final = 4
_KEY_BYTES: Final = 300
_ITEM_BYTES: Final = 250
"""Memory of a key and of an item, without their bytes."""

_ALIKE: Final = 0.6
"""Share of an object that, if it is at the ends of another, ends the search."""


class HasBody(Protocol):
    """What is compared."""

    @property
    def body(self) -> bytes:
        """Its bytes."""


T = TypeVar("T", bound=HasBody)


class Window(Generic[T]):
    """The last four items of each key; keys that were not used for the longest time go first.

    Args:
        most_bytes: of memory, for bodies and everything else.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._items: OrderedDict[str | bytes, list[tuple[T, int]]] = OrderedDict()
        self._held_bytes = 0

    def of(self, key: str | bytes) -> Sequence[T]:
        """The items of a key, the last one first."""
        return [item for item, _ in reversed(self._items.get(key, ()))]

    def add(self, key: str | bytes, item: T, more_bytes: int = 0) -> None:
        """Add an item, whose memory is that of its body and some more bytes."""
        if key not in self._items:
            self._items[key] = []
            self._held_bytes += _key_bytes(key)
        items = self._items[key]
        items.append((item, _ITEM_BYTES + len(item.body) + more_bytes))
        self._held_bytes += items[-1][1]
        if len(items) > _EACH:
            self._held_bytes -= items.pop(0)[1]
        self._items.move_to_end(key)
        while self._held_bytes > self._most_bytes:
            oldest, items = self._items.popitem(last=False)
            self._held_bytes -= _key_bytes(oldest) + sum(size_bytes for _, size_bytes in items)


def _key_bytes(key: str | bytes) -> int:
    return _KEY_BYTES + sys.getsizeof(key)


def most_alike(items: Iterable[T], body: bytes) -> tuple[T, Ends] | None:
    """The item that shares most bytes with a body at both ends, or the first one that shares ``_ALIKE`` of it."""
    best: tuple[T, Ends] | None = None
    for item in items:
        ends = shared_ends(item.body, body)
        if best is None or ends.size_bytes > best[1].size_bytes:
            best = item, ends
        if ends.size_bytes > _ALIKE * len(body):
            break
    return best
