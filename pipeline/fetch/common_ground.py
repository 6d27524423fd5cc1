"""Ids that are archived according to the refs of a network's origins, in little memory however many refs there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.rules.negotiation import MAX_OFFERS, Ref

_TAGS = b"refs/tags/"


@dataclass(slots=True)
class _Offered:
    """The first ids that branches and HEADs, and tags, were noted with."""

    heads: dict[bytes, None] = field(default_factory=dict)
    tags: dict[bytes, None] = field(default_factory=dict)

    def note(self, name: bytes, target: bytes) -> None:
        ids = self.tags if name.startswith(_TAGS) else self.heads
        if len(ids) < MAX_OFFERS:
            ids[target] = None


class CommonGround:
    """Ids that refs of a network point at.

    Attributes:
        tips: all of these ids.
    """

    def __init__(self) -> None:
        self.tips: set[bytes] = set()
        self._root, self._forks = _Offered(), _Offered()

    def note(self, name: bytes, ref: Ref, *, of_root: bool) -> None:
        """Record a ref. The first ones in the order of names are offered: HEAD comes before all others."""
        if ref.target is not None:
            self.tips.add(ref.target)
            (self._root if of_root else self._forks).note(name, ref.target)

    def renew_root(self) -> None:
        """Offer only those refs of the root that are noted from now on; what others pointed at is still archived."""
        self._root = _Offered()

    def offers(self, own: Mapping[bytes, Ref]) -> Iterator[bytes]:
        """Ids to name as common ground: an origin's own HEAD and branches first, then the root's and forks', tags last.

        Args:
            own: the origin's refs as of its last good visit.
        """
        mine = _Offered()
        for name in sorted(own):
            target = own[name].target
            if target is not None:
                mine.note(name, target)
        groups = (mine, self._root, self._forks)
        for offered in groups:
            yield from offered.heads
        for offered in groups:
            yield from offered.tags
