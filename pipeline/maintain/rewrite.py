"""Merges many small files into few, and many small manifests into few."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from pyspark.sql import Row, SparkSession

from pipeline.maintain.house import house
from pipeline.model.listing import LISTINGS
from pipeline.night.listings import FILE_BYTES
from pipeline.rules.compaction import COMPACTED_TABLES
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import is_conflict
from pipeline.tables.damage import damaged_file
from pipeline.tables.failures import SparkFailed, plain_failures
from pipeline.tables.iceberg import full_name
from pipeline.tables.isolate import isolate_buckets
from pipeline.tables.maintained import MaintainedTable
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

TARGET_BYTES = 512 << 20
MANIFEST_BYTES = 4 << 20
"""Half of Iceberg's target size of manifests; smaller ones count as small."""

BUCKETS_AT_ONCE = 64
"""Buckets rewritten in one commit: a kill loses the work on this many."""

_ORDER = {
    # As fetch tasks land them: a look-up skips row groups of other networks, and similar rows are adjacent.
    "blobs": "network, ext, name",
    "commits": "network",
    "tags": "network",
    "files": "network, line, path",
    "head_blobs": "network, oid",
    "repositories": "network, origin",
    "origins": "network, url",
    # So that a slice of a pass reads few row groups.
    LISTINGS.name: "forge_id",
}


@dataclass(frozen=True, slots=True)
class SmallFiles:
    """The small files of one bucket of a table."""

    table: str
    bucket: int
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SmallManifests:
    """The small manifests of a table."""

    table: str
    manifests: int


def plan_small_files(spark: SparkSession, *, small_bytes: int, most: int) -> list[SmallFiles]:
    """Buckets of the small tables (all except contents and trees) with too many small files. Changes nothing.

    ``listings`` has no buckets, and counts as one, 0.

    Args:
        small_bytes: smaller files are small.
        most: up to this many of them are left alone.
    """
    tables = [table.name for table in house(spark) if table.name not in COMPACTED_TABLES]
    statement = " UNION ALL ".join(
        f"SELECT '{table}' AS table, {_bucket(table)} AS bucket, count(*) AS files, sum(file_size_in_bytes) AS bytes "  # noqa: S608 - names of ours
        f"FROM {full_name(table)}.files WHERE content = 0 AND file_size_in_bytes < {_sizes(table, small_bytes)[0]} "
        "GROUP BY 2"
        for table in tables
    )
    rows = spark.sql(statement).collect()
    found = [SmallFiles(row["table"], row["bucket"], row["files"], row["bytes"]) for row in rows]
    return sorted((s for s in found if s.files > max(most, 1)), key=lambda s: (s.table, s.bucket))


def _sizes(table: str, small_bytes: int) -> tuple[int, int]:
    """Below how many bytes a file of a table is small, and how many files shall have."""
    if table == LISTINGS.name:
        return min(small_bytes, FILE_BYTES // 2), FILE_BYTES
    return small_bytes, max(TARGET_BYTES, small_bytes)


def _bucket(table: str) -> str:
    return "0" if table == LISTINGS.name else "partition.bucket"


def apply_small_files(
    writer: Writer,
    storage: Storage,
    found: Iterable[SmallFiles],
    *,
    small_bytes: int,
    on_damage: Callable[[str], None],
) -> None:
    """Rewrite the small files of each of these buckets into as few as possible, keeping every row's id and age.

    Iceberg commits on the condition that the files are still those that it read: files that others add stay, and files
    that others have replaced are left to the next run.

    Args:
        on_damage: gets each file that cannot be read; its bucket is left unchanged.
    """
    by_table: dict[str, list[int]] = {}
    for small in found:
        by_table.setdefault(small.table, []).append(small.bucket)
    for table, buckets in by_table.items():
        work = partial(_rewrite, writer, table, small_bytes)
        if table == LISTINGS.name:
            _rewrite_listings(storage, work, on_damage)
            continue
        for at in range(0, len(buckets), BUCKETS_AT_ONCE):
            rewritten = isolate_buckets(writer.spark, storage, buckets[at : at + BUCKETS_AT_ONCE], work)
            for bucket, error in rewritten.failed.items():
                log.error("%s, bucket %d is left unchanged: %s", table, bucket, error, extra={"bucket": bucket})
                on_damage(damaged_file(storage, bucket, error))


def _rewrite_listings(storage: Storage, work: Callable[[list[int]], None], on_damage: Callable[[str], None]) -> None:
    """Rewrite the table that has no buckets. What is damaged there holds up forges, and no other table."""
    try:
        with plain_failures(storage.root_uri):
            work([0])
    except (StoredFileDamaged, SparkFailed) as error:
        log.error("%s is left unchanged: %s", LISTINGS.name, error)
        path = error.path if isinstance(error, StoredFileDamaged) else ""
        on_damage(storage.path_of(path) or path or f"a file of {LISTINGS.name}")


def _rewrite(writer: Writer, table: str, small_bytes: int, buckets: list[int]) -> None:
    result = _unless_others_did(writer, table, rewrite_statement(table, buckets, small_bytes))
    if result is not None:
        before, after = result["rewritten_data_files_count"], result["added_data_files_count"]
        log.info("%s: %d small files became %d", table, before, after)


def rewrite_statement(table: str, buckets: Sequence[int], small_bytes: int) -> str:
    """The call of ``rewrite_data_files``; sorted where readers benefit."""
    order = f"strategy => 'sort', sort_order => '{_ORDER[table]}', " if table in _ORDER else ""
    small, target = _sizes(table, small_bytes)
    options = {
        "min-input-files": 2,
        "min-file-size-bytes": small,
        "target-file-size-bytes": target,
        "max-concurrent-file-group-rewrites": 4,
    }
    listed = ", ".join(f"'{key}', '{value}'" for key, value in options.items())
    where = "true" if table == LISTINGS.name else f"bucket IN ({', '.join(map(str, buckets))})"
    return (
        f"CALL system.rewrite_data_files(table => '{full_name(table)}', {order}where => '{where}', "
        f"options => map({listed}))"
    )


def plan_manifests(spark: SparkSession, *, most: int) -> list[SmallManifests]:
    """Tables with more than ``most`` small manifests. Changes nothing."""
    found = []
    for table in house(spark):
        lengths = MaintainedTable(spark, table.name).manifest_lengths()
        found.append(SmallManifests(table.name, sum(length < MANIFEST_BYTES for length in lengths)))
    return [small for small in found if small.manifests > max(most, 1)]


def apply_manifests(writer: Writer, found: Iterable[SmallManifests]) -> None:
    """Rewrite the manifests of these tables, grouped by bucket, so that a read of one bucket opens few."""
    for small in found:
        statement = f"CALL system.rewrite_manifests(table => '{full_name(small.table)}')"
        if _unless_others_did(writer, small.table, statement) is not None:
            log.info("%s: %d small manifests rewritten", small.table, small.manifests)


def _unless_others_did(writer: Writer, table: str, statement: str) -> Row | None:
    """Run a rewriting procedure; None if it changed nothing because others had changed the files."""
    try:
        with writer.table(table).committing():
            return writer.spark.sql(statement).collect()[0]
    except Exception as error:
        if not is_conflict(error):
            raise
        log.warning("%s was changed by another run during the rewrite; the next run rewrites it", table)
        return None
