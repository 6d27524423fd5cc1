"""Publish: make a load's landed files part of the tables, all or nothing that a reader of nights can see."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from pyspark.sql import SparkSession

from pipeline.errors import CheckFailed
from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.model.tables import LANDED
from pipeline.storage.documents import read_document
from pipeline.storage.interface import Storage
from pipeline.tables.audit import audit
from pipeline.tables.iceberg import DIGEST_PROPERTY, LOAD_PROPERTY, IcebergTable, NewFile
from pipeline.tables.landed import MovingFile, digest, locate, move
from pipeline.tables.origins import apply_visits
from pipeline.tables.recall import reopen_takedowns
from pipeline.tables.rewrite import see, until_committed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TableCounts:
    """What a load brought to one table, and the buckets that it went to."""

    files: int
    rows: int
    size_bytes: int
    raw_bytes: int
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PublishSummary:
    """What a load brought; tables that got nothing are missing. ``buckets`` are those with any file."""

    tables: Mapping[str, TableCounts]
    buckets: tuple[int, ...]


class LoadChanged(CheckFailed):
    """A table has the load already, made of other files."""

    def __init__(self, load: str, table: str) -> None:
        super().__init__(load, table)
        self.load, self.table = load, table

    def __str__(self) -> str:
        return (
            f"{self.table} has the load {self.load} already, made of other files than the manifests name: they were "
            "rewritten after publishing began. Nothing was changed; put the old manifests back"
        )


def publish(
    spark: SparkSession,
    storage: Storage,
    load: Load,
    manifests: Sequence[Manifest],
    run_id: str,
    check_lease: Callable[[], None],
) -> PublishSummary:
    """Audit a load, move its files to their tables' folders and register them; then bring ``origins`` up to date.

    May be called again after a crash at any point, and then does what is left. Each table takes the load in one commit
    that carries the load's name and a digest of all its files, by which a rerun knows it; the audit precedes the first
    of them, so a rerun that finds one need not repeat it. Only files that a manifest names are ever moved or
    registered. ``load.published`` is written last.

    Args:
        run_id: of the run that publishes, for the marker and the log.
        check_lease: raises when this run may not write any more; called before each commit.

    Raises:
        BadLanding: a file is not what its manifest says.
        AuditFailed: see ``audit``.
        LoadChanged: an earlier attempt published other files under this name.
    """
    files = locate(storage, load, manifests)
    summary = _summary(files)
    load_digest = digest(files)
    tables = {name: IcebergTable(spark, name) for name in summary.tables}
    registered = {name for name, table in tables.items() if _has_load(table, load, load_digest)}
    if not registered:
        audit(spark, load.name, _uris(storage, files), _rows_by_bucket(files))
        reopen_takedowns(spark, _uris(storage, files))
    check_lease()
    move(storage, files)
    for table in LANDED:
        if table.name in summary.tables and table.name not in registered:
            mine = [NewFile(storage.uri(file.final), file.bucket) for file in files if file.table == table.name]
            _register(spark, table.name, mine, load, load_digest, check_lease)
    visits = [storage.uri(file.final) for file in files if file.table == "visits"]
    if visits:
        apply_visits(spark, visits, summary.buckets, load, check_lease)
    storage.replace(load.published, json.dumps({"run_id": run_id, **asdict(summary)}, indent=1).encode())
    rows = sum(counts.rows for counts in summary.tables.values())
    log.info("load %s: %d rows in %d files published by %s", load.name, rows, len(files), run_id)
    return summary


def read_published(storage: Storage, load: Load) -> PublishSummary:
    """The summary of a load that was published.

    Raises:
        FileMissing: it was not.
    """
    return read_document(storage, load.published, _parsed)


def _parsed(data: bytes) -> PublishSummary:
    document = json.loads(data)
    tables = {
        name: TableCounts(**{**counts, "buckets": tuple(counts["buckets"])})
        for name, counts in document["tables"].items()
    }
    return PublishSummary(tables, tuple(document["buckets"]))


def _register(
    spark: SparkSession,
    table: str,
    files: Sequence[NewFile],
    load: Load,
    load_digest: str,
    check_lease: Callable[[], None],
) -> None:
    """Make files part of a table, unless somebody else who publishes the load does so first."""

    def attempt() -> None:
        seen = see(spark, table)
        if _has_load(seen.iceberg, load, load_digest):
            return
        check_lease()
        seen.iceberg.append_files(files, {LOAD_PROPERTY: load.name, DIGEST_PROPERTY: load_digest}, seen.snapshot)

    until_committed(table, attempt)


def _has_load(table: IcebergTable, load: Load, load_digest: str) -> bool:
    digests = {snapshot.summary[DIGEST_PROPERTY] for snapshot in table.snapshots_with(LOAD_PROPERTY, load.name)}
    if digests and digests != {load_digest}:
        raise LoadChanged(load.name, table.name)
    return bool(digests)


def _uris(storage: Storage, files: Sequence[MovingFile]) -> dict[str, list[str]]:
    uris: dict[str, list[str]] = {}
    for file in files:
        uris.setdefault(file.table, []).append(storage.uri(file.path))
    return uris


def _rows_by_bucket(files: Sequence[MovingFile]) -> dict[int, int]:
    counts: Counter[int] = Counter()
    for file in files:
        counts[file.bucket] += file.landed.rows
    return dict(counts)


def _summary(files: Sequence[MovingFile]) -> PublishSummary:
    tables = {}
    for table in LANDED:
        mine = [file for file in files if file.table == table.name]
        landed = [file.landed for file in mine]
        if mine:
            tables[table.name] = TableCounts(
                len(landed),
                sum(f.rows for f in landed),
                sum(f.size_bytes for f in landed),
                sum(f.raw_bytes for f in landed),
                tuple(sorted({file.bucket for file in mine})),
            )
    return PublishSummary(tables, tuple(sorted({file.bucket for file in files})))
