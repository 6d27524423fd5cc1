"""What tells that an origin changed before a visit finds it, and how often it was right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class SignalKind(StrEnum):
    """How it was told.

    ``pushed``: by people or programs, with `pipeline origins pushed`; ``updated``: a listing has another time of
    change; ``committed``: it has, but that time is the newest commit's; ``fingerprint``: it has another fingerprint of
    the refs; ``head``: it has another id of HEAD; ``event``: a file of events names it.
    """

    PUSHED = "pushed"
    UPDATED = "updated"
    COMMITTED = "committed"
    FINGERPRINT = "fingerprint"
    HEAD = "head"
    EVENT = "event"


class SignalCounts(BaseModel):
    """What visits found of one kind.

    ``right``, ``wrong``: visits before which such a signal came, by whether they found a change; ``changes``: visits
    that found a change of which this kind could have told; ``told``: those of them of which it did.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    right: int = 0
    wrong: int = 0
    changes: int = 0
    told: int = 0

    @property
    def precision(self) -> float | None:
        """The part of its signals that were right; None without any."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """The part of the changes of which it told; None without any."""
        return self.told / self.changes if self.changes else None


SignalsByKind = Mapping[SignalKind, SignalCounts]
"""Counts of the kinds of which there is something to count."""


def sum_signals(parts: Iterable[SignalsByKind]) -> dict[SignalKind, SignalCounts]:
    """The counts of all parts together, in the order of ``SignalKind``."""
    every = list(parts)
    return {
        kind: SignalCounts(
            right=sum(each.right for each in found),
            wrong=sum(each.wrong for each in found),
            changes=sum(each.changes for each in found),
            told=sum(each.told for each in found),
        )
        for kind in SignalKind
        if (found := [part[kind] for part in every if kind in part])
    }


@dataclass(frozen=True, slots=True)
class SignalSource:
    """A forge that tells of changes.

    Attributes:
        forge: its name in ``listings``.
        looked_at: when the last pass began that was to find all changes since the one before; None if none did.
        by_commits: whether the times that it lists are those of the newest commits.
        below: of files of events: what the URLs that they can name begin with; None for a listing.
    """

    forge: str
    looked_at: datetime | None
    by_commits: bool = False
    below: str | None = None
