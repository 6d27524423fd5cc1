"""What one fetch task knows of one network while it visits its origins one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.fetch.bucket_plan import PlannedOrigin, offers_for
from pipeline.fetch.known import Known
from pipeline.rules.negotiation import FetchPlan, Ref, plan_fetch


@dataclass(slots=True)
class NetworkState:
    """Archived objects of the network, those of this task included.

    Attributes:
        landed: ids that this task has landed for the network.
        tags: annotated tags to what they point at: those that refs of earlier nights showed finally, others one step.
        taken_down: ids that must not be landed; they count as archived.
    """

    network: int
    origins: dict[str, PlannedOrigin]
    known: Known
    landed: set[bytes] = field(default_factory=set)
    tags: dict[bytes, bytes] = field(default_factory=dict)
    taken_down: frozenset[bytes] = frozenset()

    @classmethod
    def begin(
        cls, network: int, origins: Iterable[PlannedOrigin], known: Known, taken_down: frozenset[bytes] = frozenset()
    ) -> NetworkState:
        """The state before the first visit of the task."""
        state = cls(network, {o.url: o for o in origins}, known, taken_down=taken_down)
        for origin in state.origins.values():
            state.tags.update(origin.peeled)
        return state

    def decide(self, url: str, advertised: Mapping[bytes, bytes], *, alone: bool) -> FetchPlan:
        """What to ask an origin for; ``alone`` asks for a pack that needs nothing from outside."""
        tips = {ref.target for o in self.origins.values() for ref in o.refs.values() if ref.target is not None}
        offers = () if alone else offers_for(self.origins[url], list(self.origins.values()))
        return plan_fetch(advertised, tips, offers)

    def which_archived(self, oids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that need not be landed again."""
        asked = set(oids)
        here = asked & self.landed
        return here | self.known.which(self.network, asked - here)

    def finished(self, url: str, refs: Mapping[bytes, Ref], fresh: set[bytes], tags: Mapping[bytes, bytes]) -> None:
        """An origin's objects are all in: its refs now serve as common ground for its forks.

        Args:
            url: the origin.
            refs: as they stand.
            fresh: ids landed for it.
            tags: the annotated tags among them and what they point at, one step.
        """
        self.origins[url] = replace(self.origins[url], refs=refs)
        self.landed |= fresh
        self.tags.update(tags)
