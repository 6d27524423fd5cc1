"""How far the archive lags behind its origins, from the table ``origins``, read batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.origin import OriginState
from pipeline.model.tables import ORIGINS
from pipeline.model.visit import ENDED_WELL
from pipeline.read.stored import StoredTables
from pipeline.storage.interface import Storage

AGES = {"up to 1 day": 1, "2 to 7 days": 7, "8 to 30 days": 30, "longer": None}
"""Ages of visits that are counted together, and the last day of each."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The active origins after a night.

    Attributes:
        ages: those whose last visit ended well, by its age; keys as in ``AGES``, all of them.
        failing: those whose last visit did not end well.
        never: those without a visit.
        due: those that are still due, whatever their last visit: they were added, deferred, or nobody came to them.
        longest_nights: nights that the longest of them has been due, 0 for one that is due since this night.
    """

    ages: dict[str, int]
    failing: int
    never: int
    due: int
    longest_nights: int


def freshness(storage: Storage, night: date) -> Freshness:
    """Count the active origins as they are now. A URL that an earlier version wrote twice counts twice until mended.

    Args:
        night: from which ages count.

    Raises:
        NotAnArchive: there are no tables.
        StoredFileDamaged: a file cannot be read.
    """
    columns = ["last_status", "last_visit", "next_due"]
    tables = StoredTables.newest(storage, ())
    return freshness_of(tables.visible(ORIGINS.name, columns, {"state": str(OriginState.ACTIVE)}), night)


def freshness_of(active: Iterable[pa.RecordBatch], night: date) -> Freshness:
    """Count active origins, from their columns ``last_status``, ``last_visit`` and ``next_due``."""
    ages: Counter[int] = Counter()
    failing = never = due = longest = 0
    for batch in active:
        status = batch.column("last_status")
        well = pc.fill_null(pc.is_in(status, pa.array(ENDED_WELL)), fill_value=False)
        never += status.null_count
        failing += len(batch) - status.null_count - pc.sum(well).as_py() if len(batch) else 0
        days = _days(night, pc.cast(batch.filter(well).column("last_visit"), pa.date32(), safe=False))
        ages.update(dict(zip(*_counted(days), strict=True)))
        since = _days(night, batch.column("next_due"))
        late = since.filter(pc.fill_null(pc.greater_equal(since, 0), fill_value=False))
        due += len(late)
        longest = max(longest, pc.max(late).as_py() or 0)
    return Freshness(_by_age(ages), failing, never, due, longest)


def _days(night: date, dates: pa.Array) -> pa.Array:
    """Days from dates to the night."""
    return pc.subtract(pa.scalar(night, pa.date32()).cast(pa.int32()), dates.cast(pa.int32()))


def _counted(values: pa.Array) -> tuple[list[int], list[int]]:
    counted = pc.value_counts(values)
    return counted.field("values").to_pylist(), counted.field("counts").to_pylist()


def _by_age(days: Counter[int]) -> dict[str, int]:
    found = dict.fromkeys(AGES, 0)
    for age, count in days.items():
        found[next(name for name, last in AGES.items() if last is None or age <= last)] += count
    return found
