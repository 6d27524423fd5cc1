"""Tombstones: what was taken down. Readers skip it until no file holds it any more, and it never comes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pipeline.model.tables import BY_OBJECT, BY_ORIGIN

TAKEDOWNS = "takedowns"
"""The table with one row per tombstone."""

ORIGIN, NETWORK, OBJECT, ANYWHERE = "origin", "network", "object", "anywhere"
"""Kinds of rows: an origin; a network with all that it has; an object of a network; an object of any network."""

PENDING = "pending."
"""Table properties with this prefix name takedowns whose rows may still be in files."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A row of ``takedowns``; its non-null columns determine its kind. ``takedown`` names the request."""

    takedown: str
    kind: str
    at: datetime
    bucket: int | None = None
    network: int | None = None
    oid: bytes | None = None
    url: str | None = None
    reason: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Hidden:
    """What readers must skip. Objects of ``anywhere`` are skipped in every network."""

    urls: frozenset[str] = frozenset()
    networks: frozenset[int] = frozenset()
    objects: frozenset[tuple[int, bytes]] = frozenset()
    anywhere: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.urls or self.networks or self.objects or self.anywhere)

    def touches(self, table: str) -> bool:
        """Whether a table may have rows to skip."""
        if table in BY_ORIGIN:
            return bool(self.urls)
        return table in BY_OBJECT and bool(self.networks or self.objects or self.anywhere)


def hidden(found: Iterable[Tombstone]) -> Hidden:
    """What these tombstones hide, whether or not files still hold it."""
    urls, networks, objects, anywhere = set(), set(), set(), set()
    for stone in found:
        if stone.kind == ORIGIN and stone.url is not None:
            urls.add(stone.url)
        elif stone.kind == NETWORK and stone.network is not None:
            networks.add(stone.network)
        elif stone.kind == OBJECT and stone.network is not None and stone.oid is not None:
            objects.add((stone.network, stone.oid))
        elif stone.kind == ANYWHERE and stone.oid is not None:
            anywhere.add(stone.oid)
    return Hidden(frozenset(urls), frozenset(networks), frozenset(objects), frozenset(anywhere))
