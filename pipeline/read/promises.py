"""Hosts that the newest night could not promise ``schedule.greatest_age_nights`` to."""

from __future__ import annotations

from pipeline.context.archive import named_loads
from pipeline.model.night_summary import NightSummary, Unpromised
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage


def unpromised_hosts(storage: Storage) -> tuple[Unpromised, ...]:
    """The hosts, those with most origins for what a night visits first; none before the first night.

    Raises:
        StoredFileDamaged: the night's summary cannot be read.
    """
    for load in reversed([each for each in named_loads(storage) if each.is_night]):
        try:
            return read_document(storage, load.night_summary, NightSummary.model_validate_json).unpromised
        except FileMissing:
            continue
    return ()
