"""Publish: make a load's landed files part of the tables; a reader of nights sees all of them or none."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.model.signal import SignalCounts, SignalKind, SignalSource
from pipeline.model.tables import LANDED, VISITS
from pipeline.model.verdict import Decision
from pipeline.model.visit_counts import VisitCounts
from pipeline.night.decide import decide, read_decision
from pipeline.night.landed import Landed, MovingFile, digest, move
from pipeline.night.origins import applied_signals, apply_visits
from pipeline.night.quarantine import AuditedManifests
from pipeline.night.recall import reopen_takedowns
from pipeline.night.signals import could_tell
from pipeline.storage.documents import read_document
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import until_committed
from pipeline.tables.damage import damaged_file
from pipeline.tables.iceberg import DIGEST_PROPERTY, LOAD_PROPERTY, IcebergTable, NewFile
from pipeline.tables.isolate import isolate_buckets
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)


class TableCounts(BaseModel):
    """What a load brought to one table, and to which buckets."""

    model_config = ConfigDict(frozen=True)

    files: int
    rows: int
    size_bytes: int
    raw_bytes: int
    buckets: tuple[int, ...]


class PublishSummary(BaseModel):
    """What a load brought; tables that got nothing are missing. ``buckets`` are those with a file.

    ``signals``: what its visits say about the signals before them.
    """

    model_config = ConfigDict(frozen=True)

    tables: dict[str, TableCounts]
    buckets: tuple[int, ...]
    visits: VisitCounts = VisitCounts()
    signals: dict[SignalKind, SignalCounts] = {}


def publish(
    writer: Writer,
    storage: Storage,
    load: Load,
    manifests: Sequence[Manifest],
    run_id: str,
    scratch: Path | None = None,
    sources: Sequence[SignalSource] = (),
) -> PublishSummary:
    """Decide what is published, move these files to their tables' folders, register them, and update ``origins``.

    May be called again after a crash at any point; it then does the rest. Each table takes the load in one commit that
    carries the load's name, by which a rerun recognises it. Only files that the decision names are ever moved or
    registered; rows that the audit found at fault are in quarantine by then. ``load.published`` is written last.

    Args:
        run_id: the publishing run, for the marker and the log.
        scratch: a local folder for rows that are landed again; None: the system's.
        sources: forges that tell of changes.

    Raises:
        CheckFailed: a table's metadata is damaged, or the load has a fault for which no bucket is to blame.
    """
    audited = AuditedManifests(storage, load, manifests, scratch or Path(tempfile.gettempdir()))
    before = read_decision(storage, load)
    landed: list[Landed] = [*audited.manifests().values(), *(before.buckets if before else ())]
    named = {file.table for each in landed for file in each.files}
    tables = {table.name: writer.table(table.name) for table in LANDED if table.name in named}
    registered = {name for name, table in tables.items() if _has_load(table, load)}
    decision, files = decide(writer, storage, load, audited, before, begun=bool(registered))
    summary = _summary(files, decision)
    load_digest = digest(files)
    if not registered:
        reopen_takedowns(writer.spark, _uris(storage, files))
    writer.check_lease()
    move(storage, files)
    for table in LANDED:
        if table.name in summary.tables and table.name not in registered:
            mine = [NewFile(storage.uri(file.final), file.bucket) for file in files if file.table == table.name]
            _register(writer, table.name, mine, load, load_digest)
    summary = _with_damage(summary, _apply_visits(writer, storage, load, files, sources))
    summary = summary.model_copy(update={"signals": applied_signals(writer, load)})
    document = {"run_id": run_id, **summary.model_dump(mode="json")}
    storage.replace(load.published, json.dumps(document, indent=1).encode())
    rows = sum(counts.rows for counts in summary.tables.values())
    log.info("load %s: %d rows in %d files published by %s", load.name, rows, len(files), run_id)
    return summary


def _apply_visits(
    writer: Writer, storage: Storage, load: Load, files: Sequence[MovingFile], sources: Sequence[SignalSource]
) -> list[str]:
    """Update ``origins``; origins of a bucket with an unreadable file stay due as before.

    Returns:
        The damaged files.
    """
    visits = [file for file in files if file.table == VISITS.name]
    buckets = {file.bucket for file in visits}

    def uris(some: Collection[int]) -> list[str]:
        return [storage.uri(file.final) for file in visits if file.bucket in some]

    could = could_tell(writer.spark, load, uris(buckets), sources)
    applied = isolate_buckets(
        writer.spark, storage, buckets, lambda some: apply_visits(writer, uris(some), some, load, could)
    )
    for bucket, error in applied.failed.items():
        log.error(
            "load %s: the origins of bucket %d stay due as before: %s",
            load.name,
            bucket,
            error,
            extra={"bucket": bucket},
        )
    return [damaged_file(storage, bucket, error) for bucket, error in applied.failed.items()]


def _with_damage(summary: PublishSummary, damaged: Sequence[str]) -> PublishSummary:
    all_damaged = tuple(sorted({*summary.visits.damaged, *damaged}))
    return summary.model_copy(update={"visits": summary.visits.model_copy(update={"damaged": all_damaged})})


def read_published(storage: Storage, load: Load) -> PublishSummary:
    """The summary of a published load.

    Raises:
        FileMissing: the load is not published.
    """
    return read_document(storage, load.published, PublishSummary.model_validate_json)


def _register(
    writer: Writer,
    table: str,
    files: Sequence[NewFile],
    load: Load,
    load_digest: str,
) -> None:
    """Make files part of a table, unless another run that publishes the load does so first."""

    def attempt() -> None:
        seen = writer.see(table)
        if _has_load(seen.iceberg, load):
            return
        seen.iceberg.append_files(files, {LOAD_PROPERTY: load.name, DIGEST_PROPERTY: load_digest}, seen.snapshot)

    until_committed(table, attempt)


def _has_load(table: IcebergTable, load: Load) -> bool:
    return bool(table.snapshots_with(LOAD_PROPERTY, load.name))


def _uris(storage: Storage, files: Sequence[MovingFile]) -> dict[str, list[str]]:
    uris: dict[str, list[str]] = {}
    for file in files:
        uris.setdefault(file.table, []).append(storage.uri(file.path))
    return uris


def _summary(files: Sequence[MovingFile], decision: Decision) -> PublishSummary:
    tables = {}
    for table in LANDED:
        mine = [file for file in files if file.table == table.name]
        landed = [file.landed for file in mine]
        if mine:
            tables[table.name] = TableCounts(
                files=len(landed),
                rows=sum(f.rows for f in landed),
                size_bytes=sum(f.size_bytes for f in landed),
                raw_bytes=sum(f.raw_bytes for f in landed),
                buckets=tuple(sorted({file.bucket for file in mine})),
            )
    buckets = tuple(sorted({file.bucket for file in files}))
    return PublishSummary(tables=tables, buckets=buckets, visits=decision.visits)
