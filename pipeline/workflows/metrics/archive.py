"""The metrics of an archive, from its files alone: nothing here starts Spark or needs the lease."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime

from pipeline.context.workplace import Workplace
from pipeline.maintain.loads import LoadState, landing_left, load_states
from pipeline.maintain.stored_stats import stored_stats
from pipeline.model.host_counts import OTHER
from pipeline.model.layout import LEASE, newest_possible
from pipeline.model.night_summary import NightSummary
from pipeline.model.signal import SignalCounts, SignalKind, SignalsByKind
from pipeline.model.tables import ALL
from pipeline.read.freshness import AGES, Freshness, freshness
from pipeline.read.signals import recent_signals
from pipeline.read.status import live_rows
from pipeline.read.stored import StoredTables
from pipeline.rules.compaction import COMPACTED_TABLES, BucketStats, gain_bytes, overdue
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StorageUnavailable
from pipeline.storage.interface import Storage
from pipeline.storage.lease import GRACE_S
from pipeline.storage.lease_record import LeaseRecord, read_lease
from pipeline.storage.space import archive_space
from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.known import Labels, Values
from pipeline.workflows.metrics.shared import by_code, by_host, by_status, scratch_values

logger = logging.getLogger(__name__)

DAY_S = 86_400


def archive_values(place: Workplace, today: date) -> tuple[Values, list[Exception]]:
    """What is known about the archive now, and why something is left out: every part is found without the others.

    A storage that does not answer is asked only once: each further call would take as long to fail.

    Args:
        today: UTC; ages of origins count from it, and nights after tomorrow do not count.
    """
    storage, config = place.storage, place.config
    parts: Mapping[str, Callable[[], Values]] = {
        "scratch": lambda: scratch_values(config.fetch.scratch_folder),
        "loads": lambda: _of_loads(storage, today),
        "lease": lambda: lease_values(read_lease(storage, LEASE), time.time()),
        "signals": lambda: signal_values(recent_signals(storage, today)),
        "tables": lambda: _of_tables(storage),
        "compaction": lambda: _of_compaction(storage, config.maintain.small_files),
        "origins": lambda: freshness_values(freshness(storage, today)),
        "space": lambda: _of_space(place),
    }
    values: Values = {}
    errors: list[Exception] = []
    for name, find in parts.items():
        try:
            values |= find()
        except Exception as error:
            logger.warning("the metrics of %s are left out: %s", name, error)
            errors.append(error)
            if isinstance(error, StorageUnavailable):
                break
    if not errors:
        values[known.COLLECTED] = {(): time.time()}
    return values, errors


def night_values(summary: NightSummary, completed_at: float) -> Values:
    """The metrics of a complete night.

    Args:
        completed_at: seconds since 1970 UTC.
    """
    return {
        known.NIGHT_DATE: {(): midnight(summary.night)},
        known.NIGHT_COMPLETED: {(): completed_at},
        known.NIGHT_VISITS: by_status(summary.origins),
        known.NIGHT_ERRORS: by_code(summary.errors),
        known.NIGHT_HOSTS: by_host(summary.hosts),
        known.NIGHT_HOST_SECONDS: {
            (host,): seconds for host, seconds in (summary.host_seconds or {OTHER: 0.0}).items()
        },
        known.NIGHT_OBJECTS: {(): summary.objects},
        known.NIGHT_RECEIVED: {(): summary.wire_bytes},
        known.NIGHT_RAW: {(): summary.raw_bytes},
        known.NIGHT_STORED: {(): summary.stored_bytes},
        known.NIGHT_FILES: {(): summary.files},
        known.NIGHT_STAGES: {(stage,): seconds for stage, seconds in summary.seconds.items() if stage != "nightly"},
        known.NIGHT_DAMAGED: {(): len(summary.damaged)},
        known.NIGHT_LEFT_OUT: {(): len(summary.left_out)},
    }


def midnight(night: date) -> float:
    """A night's date as a time: 00:00 UTC, in seconds since 1970 UTC."""
    return datetime.combine(night, datetime.min.time(), UTC).timestamp()


def lease_values(record: LeaseRecord | None, now: float) -> Values:
    """Whether the archive is held, and for how long. A lease that the next run would take over holds nothing.

    Args:
        record: with its last renewal.
    """
    held = record is not None and not record.is_over(now, GRACE_S)
    age = max(now - record.acquired_at, 0.0) if record is not None and held else 0.0
    return {known.LEASE_HELD: {(): held}, known.LEASE_AGE: {(): age}}


def signal_values(signals: SignalsByKind) -> Values:
    """What visits say about signals, of every kind."""
    kinds = {str(kind): signals.get(kind, SignalCounts()) for kind in SignalKind}
    found: dict[Labels, float] = {}
    changes: dict[Labels, float] = {}
    for kind, counts in kinds.items():
        found |= {(kind, "right"): counts.right, (kind, "wrong"): counts.wrong}
        changes |= {(kind, "yes"): counts.told, (kind, "no"): counts.changes - counts.told}
    return {known.SIGNALLED_VISITS: found, known.CHANGED_VISITS: changes}


def freshness_values(fresh: Freshness) -> Values:
    """Lag and backlog of the active origins."""
    days = {name: "more" if last is None else str(last) for name, last in AGES.items()}
    return {
        known.ORIGINS_FRESH: {(days[name],): count for name, count in fresh.ages.items()},
        known.ORIGINS_FAILING: {(): fresh.failing},
        known.ORIGINS_NEVER: {(): fresh.never},
        known.ORIGINS_DUE: {(): fresh.due},
        known.ORIGINS_LONGEST: {(): fresh.longest_nights * DAY_S},
    }


def compaction_values(stats: Mapping[str, Iterable[BucketStats]], small_files: int) -> Values:
    """What compaction would gain and has to do, by table.

    Args:
        small_files: those of a bucket that are left alone.
    """
    gain: dict[Labels, float] = {}
    buckets: dict[Labels, float] = {}
    size: dict[Labels, float] = {}
    for table, found in stats.items():
        every = list(found)
        late = [bucket for bucket in every if overdue(bucket, most_files=small_files)]
        gain[table,] = sum(map(gain_bytes, every))
        buckets[table,] = len(late)
        size[table,] = sum(bucket.size_bytes for bucket in late)
    return {known.COMPACTION_GAIN: gain, known.COMPACTION_OVERDUE: buckets, known.COMPACTION_OVERDUE_BYTES: size}


def _of_loads(storage: Storage, today: date) -> Values:
    states = load_states(storage)
    left = [found for state in states if (found := landing_left(storage, state)) is not None]
    return {
        known.LOADS_UNFINISHED: {(): sum(not state.complete for state in states)},
        known.LANDING_FILES: {(): sum(rubbish.files for rubbish in left)},
        known.LANDING_BYTES: {(): sum(rubbish.size_bytes for rubbish in left)},
        **_of_newest_night(storage, states, newest_possible(today)),
    }


def _of_newest_night(storage: Storage, states: Iterable[LoadState], newest: date) -> Values:
    """Of nights up to the newest that a run may have: later ones, which an earlier version allowed, stay newest."""
    complete = [s.load for s in states if s.complete and s.load.is_night and s.load.night <= newest]
    if not complete:
        return {}
    path = max(complete, key=lambda load: load.night).night_summary
    entry = storage.stat(path)
    if entry is None:
        raise FileMissing(path)
    return night_values(read_document(storage, path, NightSummary.model_validate_json), entry.modified_at)


def _of_tables(storage: Storage) -> Values:
    names = [table.name for table in ALL]
    tables = StoredTables.newest(storage, names)
    books = {name: tables.summary(name) for name in names}
    return {
        known.NIGHTS: {(): len(tables.nights)},
        known.TABLE_FILES: {(name,): book.get("total-data-files", 0) for name, book in books.items()},
        known.TABLE_BYTES: {(name,): book.get("total-files-size", 0) for name, book in books.items()},
        known.TABLE_ROWS: {(name,): live_rows(book) for name, book in books.items()},
    }


def _of_compaction(storage: Storage, small_files: int) -> Values:
    there = StoredTables.newest(storage, ()).storage
    return compaction_values({table: stored_stats(there, table) for table in COMPACTED_TABLES}, small_files)


def _of_space(place: Workplace) -> Values:
    space = archive_space(place.storage, place.config.hdfs)
    if space is None:
        return {}
    return {known.STORAGE_FREE: {(): space.free_bytes}, known.STORAGE_SIZE: {(): space.total_bytes}}
