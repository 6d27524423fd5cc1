"""Scans of all text at HEAD, in the JVM and through Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow as pa
from pyspark.sql import functions as F

from benchmarks import archive, histories
from benchmarks.archive import Bed
from benchmarks.bench import Bench, say
from benchmarks.measure import MB, Cost, cost_of, in_child, repeated
from benchmarks.results import Figure, Found, Table
from pipeline.read.archive import Archive
from pipeline.tables.session import split_freely

NAME = "wide"
WARM = 40
"""Scans before the measured ones. Java's compiler takes a third to a half of the first dozen, a fifth of the second
and third, and little after the fortieth."""
SCANS = 5
"""How many times as many scans are measured as of other things: a scan takes a second, and varies by a third."""


def measure(bench: Bench) -> Found:
    """Measure one repository with a wide HEAD, in a warm session."""
    say("scan: a HEAD of %d MB", bench.sizes.head_bytes / MB)
    histories.wide_head(bench.server.path(NAME), bench.sizes.head_bytes)
    bed = Bed(bench.work / NAME)
    say("scan: archiving and reading it")
    raw, jvm, arrow = in_child(fill_and_scan, bed, bench.server.url(NAME), bench.sizes.repeat)
    figures = (
        Figure("scan-jvm", NAME, raw / MB / jvm.cpu_s, _told(raw, jvm)),
        Figure("scan-arrow", NAME, raw / MB / arrow.cpu_s, _told(raw, arrow)),
    )
    rows = (
        ("JVM only", raw / MB, jvm.cpu_s, jvm.wall_s),
        ("Python on Arrow batches", raw / MB, arrow.cpu_s, arrow.wall_s),
    )
    return Found(figures, (Table("Scans of HEAD", ("scan", "raw MB", "CPU-s", "s"), rows),))


def _told(raw: int, cost: Cost) -> str:
    return f"{raw / MB:,.0f} MB in {cost.cpu_s:.2f} CPU-s, {cost.wall_s:.2f} s"


def fill_and_scan(bed: Bed, url: str, repeat: int) -> tuple[int, Cost, Cost]:
    """Archive it in a first night: raw bytes at HEAD, and the costs of both scans."""
    archive.create(bed, [url])
    archive.nightly(bed, 0)
    costs = []
    for scan in (in_jvm, in_python):
        for _ in range(WARM):
            scan(bed)
        raw, cost = repeated(SCANS * repeat, partial(cost_of, scan, bed))
        costs.append(cost)
    return raw, costs[0], costs[1]


def in_jvm(bed: Bed) -> int:
    """Read every byte and add up lengths, all in Spark's own process."""
    spark = bed.spark()
    with split_freely(spark):
        head = Archive(spark).table("contents").where("at_head")
        return int(head.agg(F.sum(F.octet_length("content"))).collect()[0][0])


def in_python(bed: Bed) -> int:
    """The same by a Python function on Arrow batches."""

    def add_up(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow.compute as pc  # noqa: PLC0415 - the function travels to the workers

        found = sum(pc.sum(pc.binary_length(batch.column(0))).as_py() or 0 for batch in batches)
        yield pa.RecordBatch.from_pydict({"found": [found]})

    found = Archive(bed.spark(), storage=bed.storage).map_contents(add_up, "found bigint", head_only=True)
    return sum(found.toArrow()["found"].to_pylist())
