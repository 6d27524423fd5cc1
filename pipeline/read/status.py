"""What the archive holds, in numbers, and what is known about one origin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from pyspark.sql import functions as F

from pipeline.errors import UsageError
from pipeline.model.tables import ALL, OBJECT_TABLES
from pipeline.read.archive import Archive
from pipeline.tables.doubles import one_row_a_url
from pipeline.tables.iceberg import IcebergTable, full_name
from pipeline.tables.refs import current_refs
from pipeline.tables.tombstones import current

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
    """

    nights: tuple[date, ...]
    origins: dict[str, int]
    last_visits: dict[str, int]
    objects: dict[str, int]
    raw_bytes: int
    stored_bytes: int


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


class OriginNotFound(UsageError):
    """The archive does not know this URL."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return f"{self.url} is not an origin of this archive; add it first, or check its spelling"


def archive_status(archive: Archive) -> ArchiveStatus:
    """Read the current state of all tables. ``origins`` is scanned; the other counts come from Iceberg's metadata.

    Raises:
        NotAnArchive: there are no tables.
    """
    sealed = tuple(archive.nights())
    spark = archive.spark
    rows = one_row_a_url(current(spark, "origins")).groupBy("state", "last_status").count().collect()
    origins: dict[str, int] = {}
    visits: dict[str, int] = {}
    for row in rows:
        status = row["last_status"] or "never"
        origins[row["state"]] = origins.get(row["state"], 0) + row["count"]
        visits[status] = visits.get(status, 0) + row["count"]
    raw = current(spark, "blobs").agg(F.sum("size").alias("raw")).collect()[0]["raw"]
    books = {table.name: _summary(archive, table.name) for table in ALL}
    return ArchiveStatus(
        nights=sealed,
        origins=origins,
        last_visits=visits,
        objects={table.name: _live_rows(books[table.name]) for table in OBJECT_TABLES},
        raw_bytes=raw or 0,
        stored_bytes=sum(book.get("total-files-size", 0) for book in books.values()),
    )


def origin_status(archive: Archive, url: str) -> OriginStatus:
    """Read one origin: its current row, last visits and refs.

    Raises:
        OriginNotFound: there is none with this URL.
        NotAnArchive: there are no tables.
    """
    archive.nights()
    spark = archive.spark
    found = one_row_a_url(current(spark, "origins").where(F.col("url") == url)).toArrow().to_pylist()
    if not found:
        raise OriginNotFound(url)
    row = found[0]
    mine = (F.col("bucket") == row["bucket"]) & (F.col("origin") == url)
    visits = spark.table(full_name("visits")).where(mine).orderBy(F.col("started_at").desc()).limit(_SHOWN_VISITS)
    return OriginStatus(
        url=url,
        fork_of=row["fork_of"],
        state=row["state"],
        added_at=row["added_at"],
        next_due=row["next_due"],
        failures=row["failures"] or 0,
        visits=tuple(PastVisit(**v) for v in visits.select(*PastVisit.__dataclass_fields__).toArrow().to_pylist()),
        refs=tuple(
            CurrentRef(r["name"], _hex(r["target"]), r["symref"], r["night"])
            for r in current_refs(spark.table(full_name("refs")).where(mine)).orderBy("name").collect()
        ),
    )


def _summary(archive: Archive, table: str) -> dict[str, int]:
    current = IcebergTable(archive.spark, table).current()
    if current is None:
        return {}
    return {key: int(value) for key, value in current.summary.items() if key.startswith("total-")}


def _live_rows(book: dict[str, int]) -> int:
    return book.get("total-records", 0) - book.get("total-position-deletes", 0)


def _hex(oid: bytes | None) -> str | None:
    return None if oid is None else bytes(oid).hex()
