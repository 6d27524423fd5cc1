"""A long history: fetch, store, compact, and count a word in every version of every file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import archive, histories, peers
from benchmarks.archive import Bed
from benchmarks.bench import Bench, say
from benchmarks.measure import MB, Cost, cost_of, in_child, measured, repeated
from benchmarks.parts import store
from benchmarks.parts.fetch import clone
from benchmarks.results import Figure, Found, Table
from pipeline.read.archive import Archive

NAME = "big"
WORD = b"return"
WARM = 16
"""Counts before the measured ones."""


def measure(bench: Bench) -> Found:
    """Measure the whole life of one repository."""
    say("big: a history of %d MB", bench.sizes.big_bytes / MB)
    histories.long_history(bench.server.path(NAME), bench.sizes.big_bytes)
    repository = bench.server.repository(NAME)
    bed = Bed(bench.work / NAME)
    buckets = in_child(archive.create_and_plan, bed, [repository.url])
    say("big: fetch of %d objects", repository.objects)
    (manifest,), ours = measured(archive.fetch, bed, 0, buckets)
    cloned = clone(bench, repository.url)[1]
    stored = store.compare(bench, bed, [repository])
    say("big: a word in every version of every file")
    counted, spark = in_child(count_in_archive, bed, bench.sizes.repeat)
    by_git, git = repeated(bench.sizes.repeat, partial(measured, peers.count_word, repository.path, WORD))
    assert counted == by_git, f"{counted} found in the archive, {by_git} by git"
    speed = repository.raw_bytes / MB / ours.cpu_s
    figures = (
        Figure("fetch-big", NAME, speed, f"{repository.raw_bytes / MB:,.0f} MB in {ours.cpu_s:.1f} CPU-s"),
        Figure("fetch-clone", NAME, ours.cpu_s / cloned.cpu_s, f"clone {cloned.cpu_s:.2f} CPU-s"),
        Figure("memory", NAME, ours.peak_bytes / MB),
        Figure(
            "word", NAME, git.wall_s / spark.wall_s,
            f"{spark.wall_s:.1f} s, {spark.cpu_s:.1f} CPU-s; git {git.wall_s:.1f} s, {git.cpu_s:.1f} CPU-s",
        ),
    )  # fmt: skip
    columns = ("objects", "raw MB", "pack as served MB", "fetch CPU-s", "clone CPU-s", "peak memory MB")
    row = (
        repository.objects, repository.raw_bytes / MB, manifest.visits.wire_bytes / MB, ours.cpu_s, cloned.cpu_s,
        ours.peak_bytes / MB,
    )  # fmt: skip
    table = Table("A long history", columns, (row,))
    return Found((*figures, *stored.figures), (table, *stored.tables))


def count_in_archive(bed: Bed, repeat: int) -> tuple[int, Cost]:
    """Like ``peers.count_word``, in a warm session."""
    for _ in range(WARM):
        _count(bed)
    return repeated(repeat, lambda: cost_of(_count, bed))


def _count(bed: Bed) -> int:
    archive = Archive(bed.spark(), storage=bed.storage)
    counts = archive.map_contents(_counting(WORD), "found bigint").toArrow()
    return sum(counts["found"].to_pylist())


def _counting(word: bytes) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        pattern = re.escape(word.decode())  # three times as fast as count_substring
        found = sum(pc.sum(pc.count_substring_regex(batch.column(0), pattern)).as_py() or 0 for batch in batches)
        yield pa.RecordBatch.from_pydict({"found": [found]})

    return count
