"""Nights of very many small origins, with none or one changed."""

from __future__ import annotations

from itertools import pairwise

from benchmarks import archive, histories
from benchmarks.archive import Bed
from benchmarks.bench import Bench, say
from benchmarks.measure import Cost, cost_of, in_child, measured
from benchmarks.results import Figure, Found, Table
from pipeline.model.tables import ALL

MANY, ALONE = "many", "alone"


def measure(bench: Bench) -> Found:
    """Measure first visits, a night without news, and a night with one change, the last also with that origin alone."""
    names = [f"small-{number:05d}" for number in range(bench.sizes.origins)]
    say("nights: %d small repositories", len(names))
    for number, name in enumerate([*names, ALONE]):
        histories.small_repository(bench.server.path(name), number)
    many, alone = Bed(bench.work / MANY), Bed(bench.work / ALONE)
    say("nights: first visits")
    urls = [bench.server.url(name) for name in names]
    first, buckets, files = in_child(first_nights, many, urls, alone, bench.server.url(ALONE))
    say("nights: nothing new")
    manifests, fetched = measured(archive.fetch, many, 1, buckets)
    pack_bytes = sum(manifest.visits.wire_bytes for manifest in manifests)
    own = sum(len(manifest.files) - 1 for manifest in manifests)
    quiet, files_then = in_child(night_and_files, many, 1)
    say("nights: one change")
    for name in (names[0], ALONE):
        histories.add_commit(bench.server.path(name))
    changed, files_at_last = in_child(night_and_files, many, 2)
    single = measured(archive.nightly, alone, 1)[1]
    touched = archive.touched(many, 2)
    most = len(ALL) * touched
    added = [after - before for before, after in pairwise((files, files_then, files_at_last))]
    of = f"{len(names):,} origins"
    figures = (
        Figure(
            "unchanged", of, 1000 * fetched.cpu_s / len(names), f"{fetched.cpu_s:.2f} CPU-s in {len(buckets)} tasks"
        ),
        Figure("unchanged-pack", of, pack_bytes + own),
        Figure(
            "night", of, changed.cpu_s / single.cpu_s,
            f"{changed.cpu_s:.1f} CPU-s, {changed.wall_s:.1f} s; alone {single.cpu_s:.1f} CPU-s, {single.wall_s:.1f} s",
        ),
        Figure("files", "no news", added[0] / most, f"{added[0]} of {len(ALL)} x {touched}"),
        Figure("files", "one change", added[1] / most, f"{added[1]} of {len(ALL)} x {touched}"),
    )  # fmt: skip
    rows = (
        (f"first visits of {of}", first.cpu_s, first.wall_s),
        ("nothing new, fetch tasks alone", fetched.cpu_s, fetched.wall_s),
        ("nothing new, the rest of the night", quiet.cpu_s, quiet.wall_s),
        (f"one of {of} changed, the whole night", changed.cpu_s, changed.wall_s),
        ("one origin in total, changed, the whole night", single.cpu_s, single.wall_s),
    )
    return Found(figures, (Table("Nights, Spark's start included", ("night", "CPU-s", "s"), rows),))


def first_nights(many: Bed, urls: list[str], alone: Bed, url: str) -> tuple[Cost, tuple[int, ...], int]:
    """Run both archives' first nights and plan ``many``'s second: the first's cost, the plan's buckets, data files."""
    archive.create(many, urls)
    cost = cost_of(archive.nightly, many, 0)[1]
    files, buckets = archive.data_files(many), archive.plan(many, 1)
    archive.create(alone, [url])
    archive.nightly(alone, 0)
    return cost, buckets, files


def night_and_files(bed: Bed, number: int) -> tuple[Cost, int]:
    """The cost of a night, including Spark's start, and the number of data files added by then."""
    cost = cost_of(archive.nightly, bed, number)[1]
    return cost, archive.data_files(bed)
