"""Bytes stored, before and after compaction, against packs; bytes that a scan of HEAD opens."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import archive, peers
from benchmarks.archive import Bed
from benchmarks.bench import WARM_UP, Bench, say
from benchmarks.measure import Cost, in_child, measured
from benchmarks.repositories import Repository
from benchmarks.results import Figure, Found, Table
from pipeline.model.tables import ALL, DERIVED_NAMES
from pipeline.tables.iceberg import full_name

BASE = tuple(table.name for table in ALL if table.landed)


@dataclass(frozen=True, slots=True)
class Stored:
    """One repository in the archive; sizes in bytes."""

    base: int
    derived: int
    compacted: int
    head_read: int
    head_raw: int
    compact: Cost
    choose: Cost


def measure(bench: Bench) -> Found:
    """Measure all repositories, each in its own bucket."""
    bed = bench.corpora
    return compare(bench, bed, bench.repositories, [archive.bucket_for(bench.server.url(WARM_UP), bed.buckets)])


def compare(bench: Bench, bed: Bed, repositories: Sequence[Repository], warm_up: Sequence[int] = ()) -> Found:
    """Complete the first night of an archive, compact it, and repack the same repositories.

    Args:
        warm_up: buckets that are compacted first and not measured.
    """
    smallest_first = sorted(repositories, key=lambda repository: repository.raw_bytes)
    buckets = [archive.bucket_for(repository.url, bed.buckets) for repository in smallest_first]
    say("store: a night, and compaction, of %s", ", ".join(repository.name for repository in smallest_first))
    stored = dict(zip(smallest_first, in_child(fill_and_compact, bed, buckets, warm_up), strict=True))
    figures: list[Figure] = []
    rows = []
    for repository, ours in stored.items():
        name = repository.name
        say("store: git repack of %s", name)
        copy = bench.work / "repacked.git"
        shutil.copytree(repository.path, copy)
        repack = measured(peers.repack_hard, copy)[1]
        repacked = sum(pack.stat().st_size for pack in copy.glob("objects/pack/*.pack"))
        shutil.rmtree(copy)
        served = repository.pack_bytes
        figures += [
            Figure("stored", name, ours.base / served, f"{ours.base:,} of {served:,} bytes"),
            Figure("compacted", name, ours.compacted / repacked, f"{ours.compacted:,} of {repacked:,} bytes"),
            Figure(
                "compacted-cpu",
                name,
                ours.compact.cpu_s / repack.cpu_s,
                f"{ours.compact.cpu_s:.1f} of {repack.cpu_s:.1f} CPU-s; "
                f"choosing buckets, once per run: {ours.choose.cpu_s:.1f}",
            ),
            Figure("derived", name, ours.derived / ours.base),
            Figure("head-read", name, ours.head_read / max(ours.head_raw, 1)),
        ]
        rows.append(
            (
                name, served, ours.base, repacked, ours.compacted, ours.derived, ours.head_raw, ours.head_read,
                repack.cpu_s, ours.compact.cpu_s,
            )
        )  # fmt: skip
    columns = (
        "repository", "pack as served", "base tables after the first night", "pack repacked", "base tables compacted",
        "derived tables", "HEAD raw", "read for HEAD", "repack CPU-s", "compact CPU-s",
    )  # fmt: skip
    return Found(tuple(figures), (Table("Stored, in bytes", columns, tuple(rows)),))


def fill_and_compact(bed: Bed, buckets: Sequence[int], warm_up: Sequence[int]) -> list[Stored]:
    """Complete the first night, then compact bucket by bucket in the running session."""
    archive.nightly(bed, 0)
    before = archive.stored_bytes(bed)
    raw = {
        row["bucket"]: row["raw"]
        for row in bed.spark()
        .sql(f"SELECT bucket, sum(size) AS raw FROM {full_name('head_blobs')} GROUP BY bucket")  # noqa: S608 - a name of ours
        .collect()
    }
    read = {bucket: archive.head_group_bytes(bed, bucket) for bucket in buckets}
    archive.compact_buckets(bed, warm_up)
    choose, costs = archive.compact_buckets(bed, buckets)
    after = archive.stored_bytes(bed)
    return [
        Stored(
            sum(before[table].get(bucket, 0) for table in BASE),
            sum(before[table].get(bucket, 0) for table in DERIVED_NAMES),
            sum(after[table].get(bucket, 0) for table in BASE),
            read[bucket],
            raw.get(bucket, 0),
            costs[bucket],
            choose,
        )
        for bucket in buckets
    ]
