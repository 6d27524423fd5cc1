"""What one fetch task knows of one network while it visits its origins one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.fetch.known import Known
from pipeline.fetch.plan import PlannedOrigin, offers_for
from pipeline.plan.fetch import FetchPlan, Ref, plan_fetch


@dataclass(slots=True)
class NetworkState:
    """Archived objects of the network, those of this task included.

    Attributes:
        landed: ids that this task has landed for the network.
        peeled: annotated tags to what they finally point at, as far as refs showed them.
    """

    network: int
    origins: dict[str, PlannedOrigin]
    known: Known
    landed: set[bytes] = field(default_factory=set)
    peeled: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def begin(cls, network: int, origins: Iterable[PlannedOrigin], known: Known) -> NetworkState:
        """The state before the first visit of the task."""
        state = cls(network, {o.url: o for o in origins}, known)
        for origin in state.origins.values():
            state.peeled.update(origin.peeled)
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

    def finished(self, url: str, refs: Mapping[bytes, Ref], fresh: set[bytes], peeled: Mapping[bytes, bytes]) -> None:
        """An origin's objects are all in: its refs now serve as common ground for its forks."""
        self.origins[url] = replace(self.origins[url], refs=refs)
        self.landed |= fresh
        self.peeled.update(peeled)
