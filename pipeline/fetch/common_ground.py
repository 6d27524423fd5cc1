"""Ids that are archived according to the refs of a network's origins, in little memory however many refs there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.fetch.bucket_plan import PlannedOrigin
from pipeline.rules.negotiation import MAX_OFFERS, Ref

_TAGS = b"refs/tags/"


class CommonGround:
    """Ids that refs point at.

    Attributes:
        tips: all of these ids.
    """

    def __init__(self) -> None:
        self.tips: set[bytes] = set()
        self._heads: dict[str, dict[bytes, None]] = {}
        self._tags: dict[str, dict[bytes, None]] = {}

    def note(self, url: str, name: bytes, ref: Ref) -> None:
        """Record a ref of an origin. The first ones in the order of names are offered: HEAD comes before all others."""
        if ref.target is None:
            return
        self.tips.add(ref.target)
        offered = (self._tags if name.startswith(_TAGS) else self._heads).setdefault(url, {})
        if len(offered) < MAX_OFFERS:
            offered[ref.target] = None

    def forget(self, url: str) -> None:
        """Stop offering ids of an origin; what its refs pointed at is still archived."""
        self._heads.pop(url, None)
        self._tags.pop(url, None)

    def offers_for(self, origin: PlannedOrigin, network: Iterable[PlannedOrigin]) -> Iterator[bytes]:
        """Ids to name as common ground: the origin's own HEAD and branches first, then the network's, tags last."""
        ranked = sorted(network, key=lambda other: (other.url != origin.url, other.fork_of is not None, other.url))
        for offered in (self._heads, self._tags):
            for other in ranked:
                yield from offered.get(other.url, ())
