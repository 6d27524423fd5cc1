"""The memory of a fetch task on a history much larger than memory."""

from __future__ import annotations

from benchmarks import archive, histories
from benchmarks.archive import Bed
from benchmarks.bench import Bench, say
from benchmarks.measure import MB, in_child, measured
from benchmarks.results import Figure, Found, Table

NAME = "huge"


def measure(bench: Bench) -> Found:
    """Fetch it once."""
    say("memory: a history of %d MB", bench.sizes.memory_bytes / MB)
    histories.long_history(bench.server.path(NAME), bench.sizes.memory_bytes, seed=7)
    repository = bench.server.repository(NAME)
    bed = Bed(bench.work / NAME)
    buckets = in_child(archive.create_and_plan, bed, [repository.url])
    say("memory: fetch of %d objects", repository.objects)
    ours = measured(archive.fetch, bed, 0, buckets)[1]
    figure = Figure("memory", NAME, ours.peak_bytes / MB, f"{repository.raw_bytes / MB:,.0f} MB raw")
    columns = ("objects", "raw MB", "pack as served MB", "fetch CPU-s", "peak memory MB")
    row = (
        repository.objects, repository.raw_bytes / MB, repository.pack_bytes / MB, ours.cpu_s, ours.peak_bytes / MB,
    )  # fmt: skip
    return Found((figure,), (Table("A history larger than memory", columns, (row,)),))
