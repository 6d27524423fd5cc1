"""What one fetch task knows about a network while it visits the network's origins one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.fetch.archived import ArchivedIds
from pipeline.fetch.bucket_plan import PlannedOrigin
from pipeline.fetch.common_ground import CommonGround
from pipeline.fetch.planned_refs import PlannedRefs
from pipeline.rules.negotiation import FetchPlan, Ref, plan_fetch
from pipeline.storage.errors import StoredFileDamaged


@dataclass(slots=True)
class NetworkState:
    """Archived objects of the network, including those of this task.

    Attributes:
        planned: refs as the plan has them.
        taken_down: ids that must not be landed; they count as archived.
        landed: ids that this task has landed for the network.
        tags: annotated tags to targets: final targets for tags that refs of earlier nights showed, else direct ones.
    """

    network: int
    origins: Mapping[str, PlannedOrigin]
    known: ArchivedIds
    planned: PlannedRefs
    taken_down: frozenset[bytes] = frozenset()
    landed: set[bytes] = field(default_factory=set)
    tags: dict[bytes, bytes] = field(default_factory=dict)
    _ground: CommonGround | None = None

    def refs_before(self, url: str) -> dict[bytes, Ref]:
        """The refs of an origin's last good visit. The first call reads those of the whole network, and their targets.

        Raises:
            StoredFileDamaged: they cannot be read.
        """
        ground, is_planned, found = CommonGround(), False, {}
        for row in self.planned.of(self.network, None if self._ground is None else url):
            is_planned |= row.url == url
            if row.name is None:
                continue
            ground.note(row.url, row.name, row.ref)
            if row.peeled is not None and row.ref.target is not None:
                self.tags[row.ref.target] = row.peeled
            if row.url == url:
                found[row.name] = row.ref
        if not is_planned:
            raise StoredFileDamaged(", ".join(self.planned.paths) or "the plan", f"it has no refs for {url}")
        self._ground = self._ground or ground
        return found

    def decide(self, url: str, advertised: Mapping[bytes, bytes], *, alone: bool) -> FetchPlan:
        """What to request from an origin; with ``alone``, a pack that needs no other objects."""
        ground = self._ground or CommonGround()
        offers = () if alone else ground.offers_for(self.origins[url], self.origins.values())
        return plan_fetch(advertised, ground.tips, offers)

    def which_archived(self, oids: Iterable[bytes]) -> set[bytes]:
        """The ids that need not be landed again."""
        asked = set(oids)
        here = asked & self.landed
        return here | self.known.which(self.network, asked - here)

    def finished(self, url: str, refs: Mapping[bytes, Ref], fresh: set[bytes], tags: Mapping[bytes, bytes]) -> None:
        """Record that all objects of an origin have landed: its refs are now common ground for its forks.

        Args:
            url: the origin.
            refs: its current refs.
            fresh: ids landed for it.
            tags: the annotated tags among them and their direct targets.
        """
        if self._ground is not None:
            self._ground.forget(url)
            for name, ref in sorted(refs.items()):
                self._ground.note(url, name, ref)
        self.landed |= fresh
        self.tags.update(tags)
