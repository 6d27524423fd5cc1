"""What the archive must hold: for every night and origin, the state that its last good visit saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from pipeline.rules.origins import next_due
from tests.soak.world import State

GONE_AFTER = 5


@dataclass
class KnownOrigin:
    """One origin in the model; ``due`` is None if it is not visited."""

    due: date | None
    failures: int = 0
    state: State | None = None


@dataclass
class Model:
    """Follows the visits of each night, and predicts them and how they end.

    Attributes:
        origins: origins by repository name.
        nights: by night, what can be restored as of it.
        taken: repositories that were taken down; nothing of them may be readable as of any night.
    """

    origins: dict[str, KnownOrigin] = field(default_factory=dict)
    nights: dict[date, dict[str, State]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def add(self, name: str) -> None:
        self.origins[name] = KnownOrigin(date.min)

    def stop(self, name: str) -> None:
        """Pause or opt out."""
        self.origins[name].due = None

    def resume(self, name: str) -> None:
        self.origins[name].due = date.min

    def take_down(self, name: str) -> None:
        self.stop(name)
        self.taken.add(name)
        self.origins[name].state = None
        for known in self.nights.values():
            known.pop(name, None)

    def is_archived(self, name: str) -> bool:
        """Whether a visit has succeeded."""
        return name in self.origins and self.origins[name].state is not None

    def is_due(self, name: str) -> bool:
        """Whether it is visited, now or later."""
        return name in self.origins and self.origins[name].due is not None

    def due(self, night: date) -> set[str]:
        """Origins that must be visited."""
        return {name for name, origin in self.origins.items() if origin.due is not None and origin.due <= night}

    def finish(self, night: date, shown: Mapping[str, State], visits: Mapping[str, str]) -> list[str]:
        """Add a night's visits, status by name; return what is wrong with them."""
        wrong = [f"{name} was visited, or not, by mistake" for name in self.due(night) ^ visits.keys()]
        for name, status in visits.items():
            origin = self.origins[name]
            there = name in shown
            if (status in ("full", "unchanged")) is not there or (not there and status != "not_found"):
                wrong.append(f"{name} is {'there' if there else 'gone'}, its visit says {status}")
            if there:
                origin.state, origin.failures = shown[name], 0
            else:
                origin.failures += 1
            if origin.due is not None:
                origin.due = next_due(night, failures=origin.failures, gone=origin.failures >= GONE_AFTER)
        self.nights[night] = {name: o.state for name, o in self.origins.items() if o.state is not None}
        return wrong
