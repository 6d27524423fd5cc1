"""Files besides the tables: ``archive.json``, the loads and the lease. Read without Spark."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from pipeline.context.archive import check_place, find_archive
from pipeline.maintain.doctor.finding import Finding, ok, settings_failure, warning
from pipeline.model.layout import RUNS, Load, newest_possible
from pipeline.read.promises import lost_promises
from pipeline.storage.interface import Storage
from pipeline.storage.lease import GRACE_S
from pipeline.storage.lease_record import LeaseRecord

SHOWN = 5


def check_archive(storage: Storage) -> Finding:
    """Check that there is an archive of a known format, and that it is one of this place.

    Raises:
        ArchiveIsOlder, ArchiveFormatUnknown, StoredFileDamaged: as in ``find_archive``.
        ArchiveIsCopy, ArchiveMoved: as in ``check_place``.
    """
    info = find_archive(storage)
    check_place(storage)
    if info is None:
        return settings_failure("archive", f"there is no archive at {storage.root_uri}", "create it: pipeline init")
    return ok("archive", f"format {info.format}, {info.buckets} buckets, made {info.created_at:%Y-%m-%d}")


def check_loads(storage: Storage, today: date) -> Iterator[Finding]:
    """Unfinished loads, future nights, and folders in ``runs/`` that belong to no load."""
    names = [entry.path.rpartition("/")[2] for entry in storage.list(RUNS) if entry.is_dir]
    loads = {name: load for name in names if (load := Load.named(name)) is not None}
    strange = [name for name in names if name not in loads]
    if strange:
        yield warning("loads", f"{RUNS}/ has {_some(strange)}, which belong to no load", f"move them out of {RUNS}/")
    future = [name for name, load in loads.items() if load.night > newest_possible(today)]
    if future:
        yield warning(
            "loads",
            f"{_some(future)} is dated after today, {today}; an earlier version allowed that",
            f"run pipeline doctor --mend, and move it out of {RUNS}/",
        )
    unfinished = [name for name, load in loads.items() if storage.stat(load.finished) is None]
    if unfinished:
        yield warning("loads", f"unfinished: {_some(unfinished)}", "run it again: pipeline nightly")
    if not (strange or future or unfinished):
        yield ok("loads", f"{len(loads)}, all finished")


def check_promise(storage: Storage, today: date) -> Finding:
    """Whether the newest night could promise every host the greatest age."""
    lost = lost_promises(storage, today)
    if not lost.count:
        return ok("greatest age", "no host has too many origins for it")
    named = [f"{each.host or 'no host'} ({each.origins:,} origins, {each.nights:,.0f} nights)" for each in lost.named]
    hosts = _some(named, lost.count)
    return warning(
        "greatest age",
        f"schedule.greatest_age_nights does not hold for {hosts}",
        "give nights more, raise schedule.shares.oldest, promise less, or let fewer of them become origins",
    )


def judge_lease(record: LeaseRecord | None, now: float) -> Finding:
    """Who holds the archive."""
    if record is None:
        return ok("lease", "nobody holds the archive")
    if record.is_over(now, GRACE_S):
        return ok("lease", f"{record.owner} held the archive and is most likely gone; the next run takes it over")
    return ok("lease", f"held by {record.owner}, since {(now - record.acquired_at) / 60:,.0f} min")


def _some(names: list[str], count: int | None = None) -> str:
    shown = names[:SHOWN]
    rest = (len(names) if count is None else count) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
