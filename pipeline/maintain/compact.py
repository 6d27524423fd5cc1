"""Compaction: rewrites buckets of ``contents`` or ``trees`` as a whole, sorted, piece by piece in Spark's workers.

This process chooses, plans, gives out pieces and commits. Only a commit needs the right to write.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.context.config import MaintainSection
from pipeline.maintain.cut import cut
from pipeline.maintain.rewrite_piece import Layout, Rewritten, rewrite
from pipeline.maintain.sources import Piece, Source, sources
from pipeline.maintain.spread import Spread
from pipeline.model.errors import PipelineError
from pipeline.model.tables import CONTENTS, HEAD_BLOBS, Table
from pipeline.rules.budget import Budget
from pipeline.rules.cluster import PieceJobs
from pipeline.rules.compaction import COMPACTED, COMPACTED_TABLES, Bounds, BucketStats
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage, Uploaded
from pipeline.storage.lease_record import ArchiveHeld
from pipeline.tables.damage import damaged_file
from pipeline.tables.failures import plain_failures
from pipeline.tables.iceberg import NewFile, full_name
from pipeline.tables.maintained import BucketFiles, FilesChanged, MaintainedTable, OtherDeletes
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

_STATS_AT_ONCE = 16
_NO_FILES = BucketFiles(0, (), (), {})

Writing = Callable[[bool], AbstractContextManager[Writer]]
"""Holds the right to write for one commit. Given False, it raises ``ArchiveHeld`` at once if another run has it; given
True, it waits."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The compaction of one bucket. ``before_bytes`` are freed when their snapshots are; ``seconds``: from its first
    piece to its commit."""

    table: str
    bucket: int
    rows: int
    before_files: int
    before_bytes: int
    after_files: int
    after_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Manner:
    """How to compact.

    Attributes:
        layout: of new files.
        jobs: how many pieces are under way.
        scratch: see ``rewrite``.
        renewable: whether ``at_head`` of contents may be set from ``head_blobs``, which lacks those of an unfinished
            load; asked for each bucket, after its files are known and before those of ``head_blobs`` are.
        bounds: of a piece.
        on_damage: gets each damaged file, which is also logged.
        on_new: gets the new files of each committed bucket.
    """

    layout: Layout
    jobs: PieceJobs
    scratch: Path | None
    renewable: Callable[[], bool]
    bounds: Bounds = field(default_factory=Bounds)
    on_damage: Callable[[str], None] = lambda path: None
    on_new: Callable[[Sequence[Uploaded]], None] = lambda files: None


def layout_of(settings: MaintainSection) -> Layout:
    """The layout that the configuration wants."""
    return Layout(settings.compact_level, settings.compact_bytes)


def bucket_stats(spark: SparkSession) -> list[BucketStats]:
    """Statistics of each bucket, from the metadata of ``contents`` and ``trees``."""
    landed = f"content = 0 AND NOT contains(file_path, '/{COMPACTED}')"
    statement = " UNION ALL ".join(
        (
            f"SELECT '{name}' AS table, partition.bucket AS bucket, count_if(content = 0) AS files, "  # noqa: S608 - names of ours
            "sum(if(content = 0, file_size_in_bytes, 0)) AS size_bytes, sum(if(content = 0, record_count, 0)) AS rows, "
            f"count_if({landed}) AS landed_files, sum(if({landed}, file_size_in_bytes, 0)) AS landed_bytes, "
            "sum(if(content = 0, 0, record_count)) AS deleted_rows, "
            "coalesce(min(regexp_extract(file_path, '/data/([0-9]{4}-[0-9]{2}-[0-9]{2})', 1)), '') AS oldest_night "
            f"FROM {full_name(name)}.files GROUP BY 2"
        )
        for name in COMPACTED_TABLES
    )
    return [BucketStats(**row.asDict()) for row in spark.sql(statement).collect()]


def compact(
    spark: SparkSession,
    storage: Storage,
    chosen: Iterable[BucketStats],
    budget: Budget,
    manner: Manner,
    writing: Writing,
) -> Iterator[Compacted]:
    """Compact buckets until the budget is spent: then no further one is begun, and those that are begun are finished.

    One commit per bucket. A bucket whose rows another run deleted or replaced is left unchanged, with a warning, for
    the next run; so is a bucket with a damaged file.

    Args:
        chosen: the buckets, in the order in which they are begun.

    Raises:
        PipelineError: the work cannot continue; finished buckets stay compacted, and the next run does the rest.
    """
    with Spread(spark, manner.jobs.at_once, storage.root_uri) as spread:
        yield from _Run(spark, storage, iter(chosen), budget, manner, writing, spread).buckets()


@dataclass(eq=False, slots=True)
class _Bucket:
    """A bucket that is being compacted: what was read, pieces that wait and run, and those that are done.

    Attributes:
        sources, at_head: the data files of ``old`` and ``heads``, listed once for all jobs.
        heads: the files of ``head_blobs``, if ``at_head`` is renewed.
    """

    stats: BucketStats
    table: Table
    old: BucketFiles
    heads: BucketFiles | None
    sources: tuple[Source, ...]
    at_head: tuple[Source, ...] | None
    began: float
    waiting: list[Piece] = field(default_factory=list)
    running: int = 0
    done: list[Rewritten] = field(default_factory=list)
    failed: bool = False

    @property
    def new(self) -> list[Uploaded]:
        """The new files."""
        return [file for piece in self.done for file in piece.files]


@dataclass(slots=True)
class _Run:
    """The state of a compaction."""

    spark: SparkSession
    storage: Storage
    chosen: Iterator[BucketStats]
    budget: Budget
    manner: Manner
    writing: Writing
    spread: Spread
    began: float = field(default_factory=time.monotonic)
    taken_bytes: int = 0
    begun: list[_Bucket] = field(default_factory=list)
    jobs: dict[Future[list[object]], _Bucket] = field(default_factory=dict)
    held_up: list[_Bucket] = field(default_factory=list)

    def buckets(self) -> Iterator[Compacted]:
        """Do it all, and yield each bucket when it is committed."""
        while True:
            self._fill()
            if not self.jobs:
                yield from self._commit(patiently=True)
                self._fill()  # a bucket that was left unchanged makes room in the budget
                if not self.jobs:
                    return
            ended, _ = wait(self.jobs, return_when=FIRST_COMPLETED)
            for future in ended:
                bucket = self.jobs.pop(future)
                self._take(bucket, future.result())
                if not bucket.running and not bucket.waiting:
                    self.begun.remove(bucket)
                    if not bucket.failed:
                        self.held_up.append(bucket)
            yield from self._commit(patiently=False)

    def _fill(self) -> None:
        """Keep the workers busy: with pieces of begun buckets, then with further buckets."""
        while len(self.jobs) < self.manner.jobs.at_once:
            bucket = next((bucket for bucket in self.begun if bucket.waiting), None)
            if bucket is not None:
                self._give_out(bucket)
            elif not self._begin():
                return

    def _begin(self) -> bool:
        """Begin the next bucket; False if there is none, or the budget is spent."""
        if self.budget.spent(self.taken_bytes, time.monotonic() - self.began):
            return False
        stats = next(self.chosen, None)
        if stats is None:
            return False
        try:
            with plain_failures(self.storage.root_uri):
                bucket = self._look(stats)
        except (StoredFileDamaged, OtherDeletes) as error:
            self._leave(stats, error)
            return True
        self.taken_bytes += stats.size_bytes
        self.begun.append(bucket)
        self._run(bucket, partial(_begun, self._rewriting(bucket), self.manner.bounds), [bucket.sources])
        return True

    def _look(self, stats: BucketStats) -> _Bucket:
        """The bucket's files, and only then those of ``head_blobs``, which so know of every load that those have."""
        old, table = _files_of(self.spark, stats.table, stats.bucket), COMPACTED_TABLES[stats.table]
        renew = table is CONTENTS and self.manner.renewable()
        heads = _files_of(self.spark, HEAD_BLOBS.name, stats.bucket) if renew else None
        at_head = None if heads is None else _sources(heads)
        return _Bucket(stats, table, old, heads, _sources(old), at_head, time.monotonic())

    def _give_out(self, bucket: _Bucket) -> None:
        count = self.manner.jobs.pieces
        pieces, bucket.waiting = bucket.waiting[:count], bucket.waiting[count:]
        self._run(bucket, self._rewriting(bucket), pieces)

    def _rewriting(self, bucket: _Bucket) -> _Rewriting:
        manner = self.manner
        return _Rewriting(
            self.storage, bucket.table, bucket.stats.bucket, bucket.at_head, manner.layout, manner.scratch
        )

    def _run(self, bucket: _Bucket, work: Callable[[Any], object], items: Sequence[object]) -> None:
        bucket.running += 1
        self.jobs[self.spread.submit(work, items)] = bucket

    def _take(self, bucket: _Bucket, answers: Sequence[object]) -> None:
        """Take the answers of a job: the pieces of a bucket, or pieces that are done."""
        bucket.running -= 1
        for answer in answers:
            match answer:
                case StoredFileDamaged():
                    self._drop(bucket, answer)
                case PipelineError():
                    raise answer
                case list():
                    bucket.waiting = answer
                case Rewritten():
                    bucket.done.append(answer)

    def _drop(self, bucket: _Bucket, error: PipelineError) -> None:
        """Leave a bucket as it is; it does not count for the budget."""
        bucket.waiting.clear()
        if not bucket.failed:
            bucket.failed = True
            self.taken_bytes -= bucket.stats.size_bytes
            self._leave(bucket.stats, error)

    def _leave(self, stats: BucketStats, error: PipelineError) -> None:
        log.error(
            "%s, bucket %d is left unchanged: %s", stats.table, stats.bucket, error, extra={"bucket": stats.bucket}
        )
        if isinstance(error, StoredFileDamaged):
            self.manner.on_damage(damaged_file(self.storage, stats.bucket, error))

    def _commit(self, *, patiently: bool) -> Iterator[Compacted]:
        """Commit the buckets whose pieces are done. If another run writes, they wait for the next turn.

        Args:
            patiently: wait for the other run.
        """
        while self.held_up:
            bucket = self.held_up[0]
            try:
                with self.writing(patiently) as writer, plain_failures(self.storage.root_uri):
                    self._replace(writer, bucket)
            except ArchiveHeld:
                if patiently:
                    raise
                return
            except FilesChanged as error:
                log.warning("bucket %d: %s", bucket.stats.bucket, error, extra={"bucket": bucket.stats.bucket})
                self.held_up.remove(bucket)
                self.taken_bytes -= bucket.stats.size_bytes
                continue
            except (StoredFileDamaged, OtherDeletes) as error:
                self.held_up.remove(bucket)
                self._drop(bucket, error)
                continue
            self.held_up.remove(bucket)
            self.manner.on_new(bucket.new)
            yield self._done(bucket)

    def _replace(self, writer: Writer, bucket: _Bucket) -> None:
        """Commit.

        Raises:
            FilesChanged: nothing was committed; the written files are swept later.
        """
        stats = bucket.stats
        if bucket.heads is not None and not _still(self.spark, bucket.heads, stats.bucket):
            raise FilesChanged(HEAD_BLOBS.name, "HEAD has changed since")
        _check_there(self.storage, stats.table, bucket.new)
        new = [NewFile(self.storage.uri(uploaded.path), stats.bucket) for uploaded in bucket.new]
        table = writer.open(MaintainedTable, stats.table)
        table.replace_files(bucket.old, new, {"pipeline.compacted": str(stats.bucket)})

    def _done(self, bucket: _Bucket) -> Compacted:
        stats, new = bucket.stats, bucket.new
        rows = sum(piece.rows for piece in bucket.done)
        before, after = len(bucket.old.data), sum(file.size_bytes for file in new)
        seconds = round(time.monotonic() - bucket.began, 3)
        log.info(
            "%s, bucket %d: %d bytes became %d",
            stats.table,
            stats.bucket,
            stats.size_bytes,
            after,
            extra={"bucket": stats.bucket},
        )
        return Compacted(stats.table, stats.bucket, rows, before, stats.size_bytes, len(new), after, seconds)


@dataclass(frozen=True, slots=True)
class _Rewriting:
    """Rewrites pieces of a bucket, in a worker; see ``rewrite``."""

    storage: Storage
    table: Table
    bucket: int
    at_head: tuple[Source, ...] | None
    layout: Layout
    scratch: Path | None

    def __call__(self, piece: Piece) -> Rewritten:
        return rewrite(self.storage, self.table, self.bucket, piece, self.at_head, self.layout, self.scratch)


def _begun(rewriting: _Rewriting, bounds: Bounds, files: Sequence[Source]) -> list[Piece] | Rewritten:
    """The pieces of a bucket; the only one is rewritten at once, since nobody could help."""
    pieces = cut(rewriting.storage, rewriting.table, files, bounds)
    return rewriting(pieces[0]) if len(pieces) == 1 else pieces


def _files_of(spark: SparkSession, name: str, bucket: int) -> BucketFiles:
    """The files of a bucket now; none if the table never had any."""
    table = MaintainedTable(spark, name)
    current = table.current()
    return _NO_FILES if current is None else table.scan_bucket(current.id, bucket)


def _sources(files: BucketFiles) -> tuple[Source, ...]:
    return sources(files.uris(), files.vectors)


def _still(spark: SparkSession, before: BucketFiles, bucket: int) -> bool:
    """Whether a bucket of ``head_blobs`` has these files now; they are listed only if the table has changed."""
    table = MaintainedTable(spark, HEAD_BLOBS.name)
    current = table.current()
    if current is None:
        return before == _NO_FILES
    if current.id == before.snapshot:
        return True
    now = table.scan_bucket(current.id, bucket)
    return before.uris() == now.uris() and before.vectors == now.vectors


def _check_there(storage: Storage, table: str, files: Sequence[Uploaded]) -> None:
    """Check that nobody has swept files that waited too long for their commit.

    Raises:
        FilesChanged: some are gone.
    """
    with ThreadPoolExecutor(_STATS_AT_ONCE) as pool:
        for file, entry in zip(files, pool.map(storage.stat, (file.path for file in files)), strict=True):
            if entry is None or entry.size_bytes != file.size_bytes:
                raise FilesChanged(table, f"{file.path} is gone: it waited longer for its commit than sweep_after_s")
