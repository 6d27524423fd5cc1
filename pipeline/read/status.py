"""What the archive holds, in numbers, and what is known about one origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.model.layout import Load
from pipeline.model.signal import SignalCounts, SignalKind
from pipeline.model.tables import ALL, OBJECT_TABLES, ORIGINS, REFS, VISITS
from pipeline.read.one_origin import RANKED, OriginNotFound, last_changes, rank
from pipeline.read.promises import lost_promises
from pipeline.read.signals import recent_signals
from pipeline.read.stored import StoredTables
from pipeline.storage.interface import Storage

_SHOWN_VISITS = 20


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """The archive's current state.

    Attributes:
        nights: sealed nights, oldest first.
        origins: number of origins by state.
        last_visits: number of origins by the status of their last visit; "never" for none.
        objects: rows by object table; an object of two networks counts twice. Taken-down rows count until they are
            removed from the tables.
        raw_bytes: size of all blobs, stored or not.
        stored_bytes: size of the live Parquet files of all tables, in the current snapshots only.
        report: where the newest night's report is; None if it has none, such as one of an earlier version.
        unpromised: hosts with too many origins for ``schedule.greatest_age_nights``, as the newest night found.
        signals: what visits of the newest thirty nights say about the signals before them, by kind.
    """

    nights: tuple[date, ...]
    origins: dict[str, int]
    last_visits: dict[str, int]
    objects: dict[str, int]
    raw_bytes: int
    stored_bytes: int
    report: str | None
    unpromised: tuple[str, ...] = ()
    signals: dict[SignalKind, SignalCounts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastVisit:
    """A visit to an origin; ``error`` is a code, ``detail`` a sentence."""

    night: date
    status: str
    error: str | None
    detail: str | None
    started_at: datetime
    duration_s: float
    pack_bytes: int
    objects: int


@dataclass(frozen=True, slots=True)
class CurrentRef:
    """A ref of an origin; ids in hexadecimal. ``since`` is the night of its last change."""

    name: str
    target: str | None
    symref: str | None
    since: date


@dataclass(frozen=True, slots=True)
class OriginStatus:
    """What is known about one origin; visits newest first, at most twenty."""

    url: str
    fork_of: str | None
    state: str
    added_at: datetime
    next_due: date | None
    failures: int
    visits: tuple[PastVisit, ...]
    refs: tuple[CurrentRef, ...]


def archive_status(storage: Storage, today: date) -> ArchiveStatus:
    """Read the current state of all tables: ``origins`` and the sizes of ``blobs``, the other counts from metadata.

    Raises:
        NotAnArchive: there are no tables.
        StoredFileDamaged: a file cannot be read.
    """
    tables = StoredTables.newest(storage, [table.name for table in ALL])
    rows = one_row_a_url(tables, ("state", "last_status"))
    sizes = (pc.sum(batch.column("size")).as_py() or 0 for batch in tables.visible("blobs", ["size"]))
    books = {table.name: tables.summary(table.name) for table in ALL}
    return ArchiveStatus(
        nights=tuple(tables.nights),
        origins=_counts(rows.column("state").to_pylist()),
        last_visits=_counts(status or "never" for status in rows.column("last_status").to_pylist()),
        objects={table.name: live_rows(books[table.name]) for table in OBJECT_TABLES},
        raw_bytes=sum(sizes),
        stored_bytes=sum(book.get("total-files-size", 0) for book in books.values()),
        report=report_of(storage, tables.nights[-1]) if tables.nights else None,
        unpromised=tuple(each.host or "no host" for each in lost_promises(storage, today).named),
        signals=recent_signals(storage, today),
    )


def report_of(storage: Storage, night: date) -> str | None:
    """The URI of a night's report; None if it has none."""
    path = Load.of_night(night).report
    return None if storage.stat(path) is None else storage.uri(path)


def origins_list(storage: Storage) -> list[dict[str, Any]]:
    """The current rows of ``origins``, one per URL, by URL.

    Raises:
        NotAnArchive: there are no tables.
        StoredFileDamaged: a file cannot be read.
    """
    rows = one_row_a_url(StoredTables.newest(storage, ()), ORIGINS.column_names)
    found: list[dict[str, Any]] = rows.sort_by("url").to_pylist()
    return found


def origin_row(storage: Storage, url: str) -> dict[str, Any]:
    """The current row of one origin.

    Raises:
        OriginNotFound: there is none with this URL.
        NotAnArchive: there are no tables.
        StoredFileDamaged: a file cannot be read.
    """
    found: list[dict[str, Any]] = one_row_a_url(StoredTables.newest(storage, ()), ORIGINS.column_names, url).to_pylist()
    if not found:
        raise OriginNotFound(url)
    return found[0]


def origin_status(storage: Storage, url: str) -> OriginStatus:
    """Read one origin: its current row, last visits and refs.

    Raises:
        OriginNotFound: there is none with this URL.
        NotAnArchive: there are no tables.
        StoredFileDamaged: a file cannot be read.
    """
    tables = StoredTables.newest(storage, (VISITS.name, REFS.name))
    found = one_row_a_url(tables, ORIGINS.column_names, url).to_pylist()
    if not found:
        raise OriginNotFound(url)
    (row,) = found
    columns = list(PastVisit.__dataclass_fields__)
    visits = list(tables.rows(VISITS.name, columns, {"origin": url}, row["bucket"]))
    visits.sort(key=itemgetter("started_at"), reverse=True)
    refs = last_changes(tables, {"origin": url}, row["bucket"])
    return OriginStatus(
        url=url,
        fork_of=row["fork_of"],
        state=row["state"],
        added_at=row["added_at"],
        next_due=row["next_due"],
        failures=row["failures"] or 0,
        visits=tuple(PastVisit(**visit) for visit in visits[:_SHOWN_VISITS]),
        refs=tuple(
            CurrentRef(ref["name"], _hex(ref["target"]), ref["symref"], ref["night"])
            for ref in sorted(refs, key=itemgetter("name"))
        ),
    )


def one_row_a_url(tables: StoredTables, columns: Sequence[str], url: str | None = None) -> pa.Table:
    """Rows of ``origins`` as readers see them, one per URL, the same one as ``tables.doubles`` chooses.

    Args:
        url: only this one; None for all.
    """
    read = list(dict.fromkeys([*columns, "url", *RANKED]))
    schema = pa.schema([ORIGINS.arrow_schema.field(name) for name in read])
    batches = tables.visible(ORIGINS.name, read, {} if url is None else {"url": url})
    rows = pa.Table.from_batches(batches, schema)
    if pc.count_distinct(rows.column("url")).as_py() < len(rows):
        best: dict[str, dict[str, Any]] = {}
        for row in sorted(rows.to_pylist(), key=rank):
            best.setdefault(row["url"], row)
        rows = pa.Table.from_pylist(list(best.values()), schema)
    return rows.select(list(columns))


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def live_rows(book: Mapping[str, int]) -> int:
    """Rows of a table without deleted ones, from the counts of ``StoredTables.summary``."""
    return book.get("total-records", 0) - book.get("total-position-deletes", 0)


def _hex(oid: bytes | None) -> str | None:
    return None if oid is None else oid.hex()
