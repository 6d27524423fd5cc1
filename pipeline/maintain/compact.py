"""Compaction: rewrites one bucket of ``contents`` or ``trees`` as a whole, sorted."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.config import MaintainSection
from pipeline.fetch.parquet import MIB, open_parquet
from pipeline.maintain.sorted_rows import fetch, in_order, key_names, parts, read_keys
from pipeline.model.layout import WAREHOUSE
from pipeline.model.tables import CONTENTS, HEAD_BLOBS, NAMESPACE, TREES, Table
from pipeline.rules.budget import Budget
from pipeline.rules.compaction import BucketStats
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import SealedWriter
from pipeline.tables.at_head import blobs_at_head_in
from pipeline.tables.damage import damaged_file
from pipeline.tables.failures import plain_failures
from pipeline.tables.iceberg import NewFile, full_name
from pipeline.tables.maintained import FilesChanged, MaintainedTable
from pipeline.tables.rewrite import see
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

TABLES = {table.name: table for table in (CONTENTS, TREES)}
PREFIX = "compacted-"
"""Prefix of the names of compacted files, by which a later compaction recognises newer files."""

FILE_BYTES = 512 * MIB
ONE_PAGE_BYTES = 320 * MIB
"""More than a row group has, so that each column is one page: zstd sees nothing across pages (decision 12)."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The compaction of one bucket. ``before_bytes`` are freed when their snapshots are."""

    table: str
    bucket: int
    rows: int
    before_files: int
    before_bytes: int
    after_files: int
    after_bytes: int
    seconds: float


def bucket_stats(spark: SparkSession) -> list[BucketStats]:
    """Statistics of each bucket, from the metadata of ``contents`` and ``trees``."""
    landed = f"content = 0 AND NOT contains(file_path, '/{PREFIX}')"
    statement = " UNION ALL ".join(
        (
            f"SELECT '{name}' AS table, partition.bucket AS bucket, count_if(content = 0) AS files, "  # noqa: S608 - names of ours
            "sum(if(content = 0, file_size_in_bytes, 0)) AS size_bytes, sum(if(content = 0, record_count, 0)) AS rows, "
            f"count_if({landed}) AS landed_files, sum(if({landed}, file_size_in_bytes, 0)) AS landed_bytes, "
            "sum(if(content = 0, 0, record_count)) AS deleted_rows, "
            "coalesce(min(regexp_extract(file_path, '/data/([0-9]{4}-[0-9]{2}-[0-9]{2})', 1)), '') AS oldest_night "
            f"FROM {full_name(name)}.files GROUP BY 2"
        )
        for name in TABLES
    )
    return [BucketStats(**row.asDict()) for row in spark.sql(statement).collect()]


def compact(
    writer: Writer,
    storage: Storage,
    settings: MaintainSection,
    chosen: Iterable[BucketStats],
    budget: Budget,
    *,
    scratch: Path,
    renew: bool,
    on_damage: Callable[[str], None] = lambda path: None,
) -> Iterator[Compacted]:
    """Compact bucket after bucket until the budget is spent. One commit per bucket.

    A bucket whose rows another run deleted or replaced is left unchanged, with a warning, for the next run; so is a
    bucket with a damaged file.

    Args:
        chosen: the buckets, in order.
        scratch: a local folder, which need not exist.
        renew: set ``at_head`` of contents from the current ``head_blobs``; only if every load is finished.
        on_damage: gets each damaged file, which is also logged.
    """
    began, spent = time.monotonic(), 0
    scratch.mkdir(parents=True, exist_ok=True)
    for stats in chosen:
        if budget.spent(spent, time.monotonic() - began):
            return
        try:
            with plain_failures(storage.root_uri):
                done = compact_bucket(writer, storage, stats, settings, scratch=scratch, renew=renew)
        except FilesChanged as error:
            log.warning("bucket %d: %s", stats.bucket, error)
            continue
        except StoredFileDamaged as error:
            log.error("%s, bucket %d is left unchanged: %s", stats.table, stats.bucket, error)
            on_damage(damaged_file(storage, stats.bucket, error))
            continue
        spent += done.before_bytes
        log.info("%s, bucket %d: %d bytes became %d", done.table, done.bucket, done.before_bytes, done.after_bytes)
        yield done


def compact_bucket(
    writer: Writer,
    storage: Storage,
    stats: BucketStats,
    settings: MaintainSection,
    *,
    scratch: Path,
    renew: bool,
) -> Compacted:
    """Compact one bucket; see ``compact``.

    Raises:
        FilesChanged: nothing was committed; the written files are swept later.
    """
    began = time.monotonic()
    iceberg, table = writer.open(MaintainedTable, stats.table), TABLES[stats.table]
    current = iceberg.current()
    assert current is not None
    old = iceberg.scan_bucket(current.id, stats.bucket)
    heads = see(writer.spark, HEAD_BLOBS.name)
    at_head = blobs_at_head_in(heads, stats.bucket) if renew and table is CONTENTS else None
    if old.deletes:
        keys = _live_keys(writer.spark, table, stats.bucket, current.id)
    else:
        keys = read_keys(storage, table, [file.location() for file in old.data])
    rows = in_order(keys, at_head)
    with tempfile.TemporaryDirectory(prefix="compact-", dir=scratch) as folder:
        made = _Files(table, Path(folder), settings.compact_level)
        for part in parts(rows, settings.compact_bytes):
            made.write(fetch(storage, table, part))
        place = f"{WAREHOUSE}/{NAMESPACE}/{table.name}/data/bucket={stats.bucket}/{PREFIX}{uuid4().hex}"
        sent = [storage.upload(path, f"{place}-{n}.parquet") for n, path in enumerate(made.finish())]
    if at_head is not None and see(writer.spark, HEAD_BLOBS.name).snapshot != heads.snapshot:
        raise FilesChanged(HEAD_BLOBS.name, "HEAD has changed since")
    new = [NewFile(storage.uri(uploaded.path), stats.bucket) for uploaded in sent]
    iceberg.replace_files(old, new, {"pipeline.compacted": str(stats.bucket)})
    after = sum(uploaded.size_bytes for uploaded in sent)
    seconds = round(time.monotonic() - began, 3)
    return Compacted(table.name, stats.bucket, len(rows), len(old.data), stats.size_bytes, len(sent), after, seconds)


def _live_keys(spark: SparkSession, table: Table, bucket: int, snapshot: int) -> pa.Table:
    """As ``read_keys``, but Iceberg reads and skips deleted rows."""
    names = key_names(table)
    size = F.col("size") if "size" in table.column_names else F.length("content").cast("bigint")
    frame = spark.read.option("versionAsOf", snapshot).table(full_name(table.name)).where(F.col("bucket") == bucket)
    columns = [F.col("_file").alias("file"), F.col("_pos").alias("pos"), size.alias("size_bytes")]
    return frame.select(*columns, *names).toArrow()


@dataclass(slots=True)
class _Files:
    """Writes row groups as they come, in files of bounded size."""

    table: Table
    folder: Path
    level: int
    paths: list[Path] = field(default_factory=list)
    writer: SealedWriter | None = None

    def write(self, rows: pa.Table) -> None:
        """Write one row group."""
        if self.writer is None:
            self.paths.append(self.folder / f"{len(self.paths)}.parquet")
            self.writer = open_parquet(self.table, self.paths[-1], self.level, ONE_PAGE_BYTES)
        self.writer.write_table(rows, row_group_size=max(len(rows), 1))
        if self.paths[-1].stat().st_size >= FILE_BYTES:
            self._close()

    def finish(self) -> list[Path]:
        """Close, and return the files in order."""
        self._close()
        return self.paths

    def _close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
