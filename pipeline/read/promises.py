"""Hosts that the newest night could not promise ``schedule.greatest_age_nights`` to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pipeline.context.archive import named_loads
from pipeline.model.host import host_of
from pipeline.model.layout import newest_possible
from pipeline.model.night_summary import NightSummary, Unpromised
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage


@dataclass(frozen=True, slots=True)
class LostPromises:
    """``count`` hosts, of which those with most origins for what a night visits are ``named``, these first."""

    named: Sequence[Unpromised] = ()
    count: int = 0

    def lost(self, url: str) -> bool | None:
        """Whether the host of an origin lost the promise; None if that is not known, as it is not named."""
        if (host_of(url) or "") in {each.host for each in self.named}:
            return True
        return None if self.count > len(self.named) else False


def lost_promises(storage: Storage, today: date) -> LostPromises:
    """The hosts; none before the first night. Nights after today, which an earlier version allowed, are ignored.

    Raises:
        StoredFileDamaged: the night's summary cannot be read.
    """
    newest = newest_possible(today)
    for load in reversed([each for each in named_loads(storage) if each.is_night and each.night <= newest]):
        try:
            summary = read_document(storage, load.night_summary, NightSummary.model_validate_json)
        except FileMissing:
            continue
        return LostPromises(summary.unpromised, max(summary.unpromised_hosts, len(summary.unpromised)))
    return LostPromises()
