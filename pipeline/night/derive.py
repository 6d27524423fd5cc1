"""Derive: the tables that people look at first, for the origins that a load moved."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from pipeline.model.errors import PipelineError
from pipeline.model.layout import UNDERIVED, Load
from pipeline.model.tables import FILES, HEAD_BLOBS, LANDED, REPOSITORIES
from pipeline.model.visit import VisitStatus
from pipeline.night.blobs import replace_head_blobs
from pipeline.night.files import replace_files
from pipeline.night.heads import moved_counts, moved_heads
from pipeline.night.publish import read_published
from pipeline.night.repositories import point_to_trees, replace_repositories
from pipeline.rules.slices import bucket_slices
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import is_conflict, until_committed
from pipeline.tables.damage import check_footers, damaged_file
from pipeline.tables.failures import SparkFailed, plain_failures
from pipeline.tables.iceberg import see_newest
from pipeline.tables.isolate import isolate_buckets, isolate_networks
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

MOST_MOVED = 200_000
"""Origins whose heads this process and the driver hold at once, unless a single bucket has more: some 50 MB."""


class DeriveSummary(BaseModel):
    """What was derived.

    ``moved``: origins whose refs moved; ``heads_moved``: those whose HEAD moved, too; ``left_out``: by bucket, why
    some or all of it was not derived; ``damaged``: files that could not be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    moved: int = 0
    heads_moved: int = 0
    left_out: dict[int, str] = {}
    damaged: tuple[str, ...] = ()


class _Underived(BaseModel):
    """Buckets that an earlier load left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    buckets: dict[int, str] = {}


def derive(writer: Writer, storage: Storage, load: Load) -> DeriveSummary:
    """Bring ``files``, ``head_blobs`` and ``repositories`` up to date with a published load.

    Each table changes in one commit per slice of buckets. ``repositories`` comes last and shows which origins are done,
    so after a crash the same origins are derived again. A load that moved no ref touches no table. ``load.derived`` is
    written last.

    All three tables are looked at before the refs, and change only if nobody else has changed them since: a run that
    was paused and derives from older refs is refused, and starts again from the current refs.

    Raises:
        FileMissing: the load is not published.
        StoredFileDamaged: a file that belongs to no bucket, such as the metadata of a table.
    """
    published = read_published(storage, load)
    refs, ended = published.tables.get("refs"), published.visits.origins
    brought = ended.get(VisitStatus.FULL, 0) + ended.get(VisitStatus.PARTIAL, 0)
    buckets = refs.buckets if refs is not None else ()
    summary = derive_all_fit(writer, storage, load, buckets, is_large=brought > MOST_MOVED)
    storage.replace(load.derived, summary.model_dump_json(indent=1).encode())
    log.info("load %s: derived %d origins, %d with another HEAD", load.name, summary.moved, summary.heads_moved)
    return summary


def derive_all_fit(
    writer: Writer, storage: Storage, load: Load, buckets: Collection[int], *, is_large: bool = False
) -> DeriveSummary:
    """Derive buckets, and those that earlier loads owe.

    A bucket with an unreadable file is left out, and so is a network that Spark cannot derive: a later load owes it,
    and tries again.

    Args:
        is_large: the load moved so many origins that the buckets are derived in slices, each in commits of its own.

    Raises:
        StoredFileDamaged: as above.
    """
    owed = _read_underived(storage)

    def work(buckets: list[int]) -> tuple[DeriveSummary, dict[int, PipelineError]]:
        check_footers(writer.spark, storage, [table.name for table in LANDED], buckets)
        slices = [buckets]
        if is_large:
            with plain_failures(storage.root_uri):
                slices = bucket_slices(moved_counts(writer.spark, load, buckets), MOST_MOVED)
        parts = [_derive(writer, storage.root_uri, load, some) for some in slices]
        failed = {bucket: error for _, errors in parts for bucket, error in errors.items()}
        return _sum(part for part, _ in parts), failed

    derived = isolate_buckets(writer.spark, storage, {*buckets, *owed}, work, suspects=owed)
    failed = dict(derived.failed)
    for _, networks in derived.done:
        failed |= networks
    for bucket, error in sorted(failed.items()):
        log.error(
            "load %s, bucket %d is not derived, a later load tries again: %s",
            load.name,
            bucket,
            error,
            extra={"bucket": bucket},
        )
    damaged = {damaged_file(storage, b, error) for b, error in failed.items() if isinstance(error, StoredFileDamaged)}
    left_out = {bucket: str(error) for bucket, error in sorted(failed.items())}
    summary = _sum(part for part, _ in derived.done).model_copy(
        update={"left_out": left_out, "damaged": tuple(sorted(damaged))}
    )
    if summary.left_out != owed:
        writer.check_lease()
        _write_underived(storage, summary.left_out)
    return summary


def owe(storage: Storage, bucket: int, why: str) -> None:
    """Make the next load, or a repair before it, derive a bucket even if the load brings nothing to it."""
    _write_underived(storage, {**_read_underived(storage), bucket: why})


def read_derived(storage: Storage, load: Load) -> DeriveSummary:
    """The summary of a derived load.

    Raises:
        FileMissing: the load is not derived.
    """
    return read_document(storage, load.derived, DeriveSummary.model_validate_json)


def _derive(
    writer: Writer, where: str, load: Load, buckets: list[int]
) -> tuple[DeriveSummary, dict[int, PipelineError]]:
    """Derive some buckets; of a single bucket, those networks that can be derived.

    Returns:
        What was derived, and the first failure of a bucket whose networks were not all derived.
    """
    try:
        with plain_failures(where):
            return derive_buckets(writer, load, buckets), {}
    except SparkFailed:
        if len(buckets) > 1:
            raise
    networks = set(moved_heads(writer.spark, load, buckets)["network"].to_pylist())

    def work(some: list[int]) -> DeriveSummary:
        return derive_buckets(writer, load, buckets, networks=some)

    isolated = isolate_networks(writer.spark, where, networks, work)
    first = next(iter(isolated.failed.values()), None)
    return _sum(isolated.done), {} if first is None else {buckets[0]: first}


def derive_buckets(
    writer: Writer,
    load: Load,
    buckets: Collection[int],
    networks: Collection[int] | None = None,
) -> DeriveSummary:
    """Bring the derived tables of some buckets up to date with ``refs``; see ``derive``.

    Args:
        networks: derive only these; None for all.
    """

    def attempt() -> DeriveSummary:
        see_newest(writer.spark)
        files, blobs, repositories = (writer.see(table.name) for table in (FILES, HEAD_BLOBS, REPOSITORIES))
        heads = moved_heads(writer.spark, load, buckets)
        if networks is not None:
            heads = heads.filter(pc.is_in(heads["network"], value_set=pa.array(sorted(networks), pa.int64())))
        elsewhere = heads.filter(heads["head_moved"])
        if elsewhere.num_rows:
            replace_files(writer, load, elsewhere, files)
            try:
                replace_head_blobs(writer, load, elsewhere, blobs)
            except Exception as error:
                if not is_conflict(error):
                    point_to_trees(writer, load, elsewhere, repositories)
                raise
        if heads.num_rows:
            replace_repositories(writer, load, heads, repositories)
        return DeriveSummary(moved=heads.num_rows, heads_moved=elsewhere.num_rows)

    return until_committed("a derived table", attempt)


def _sum(parts: Iterable[DeriveSummary]) -> DeriveSummary:
    parts = list(parts)
    return DeriveSummary(moved=sum(p.moved for p in parts), heads_moved=sum(p.heads_moved for p in parts))


def _write_underived(storage: Storage, buckets: Mapping[int, str]) -> None:
    storage.replace(UNDERIVED, _Underived(buckets=dict(buckets)).model_dump_json(indent=1).encode())


def _read_underived(storage: Storage) -> dict[int, str]:
    try:
        return read_document(storage, UNDERIVED, _Underived.model_validate_json).buckets
    except FileMissing:
        return {}
    except StoredFileDamaged as error:
        log.error("%s; the buckets in it are derived when they next change", error)
        return {}
