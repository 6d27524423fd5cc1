"""The project's own targets, and whether a figure meets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """``must`` and ``aim`` in ``unit``; more is better if ``aim`` is more than ``must``, else less."""

    what: str
    must: float
    aim: float
    unit: str

    @property
    def more_is_better(self) -> bool:
        """Whether a larger figure is better."""
        return self.aim > self.must

    def meets(self, value: float, limit: float) -> bool:
        """Whether a figure is as good as a limit."""
        return value >= limit if self.more_is_better else value <= limit

    def verdict(self, worst: float) -> str:
        """The result in words; a miss says by how much."""
        if self.meets(worst, self.aim):
            return "aim met"
        if self.meets(worst, self.must):
            return "met"
        short = worst / self.must if worst > self.must else self.must / worst if worst else float("inf")
        return f"missed by {short:.2f}x"

    def worst(self, values: list[float]) -> float:
        """The figure that decides."""
        return min(values) if self.more_is_better else max(values)


TARGETS = {
    "fetch": Target(
        "fetch task, socket to verified landing files, small repositories", 12_000, 20_000, "objects/CPU-s"
    ),
    "fetch-big": Target("same, long history, raw", 100, 150, "MB/CPU-s"),
    "fetch-swh": Target("same, against swh-loader-git into storage in memory", 4, 8, "x fewer CPU-s"),
    "fetch-clone": Target("same, against git clone --mirror, client side", 3, 1.5, "x its CPU-s"),
    "stored": Target("stored after the first night, against the pack as served", 0.75, 0.5, "x"),
    "compacted": Target("stored after compact, against the aggressive repack", 0.95, 0.75, "x"),
    "compacted-cpu": Target("compact's CPU, against that repack's", 1, 1, "x"),
    "memory": Target("memory of one fetch process", 1_500, 1_000, "MB"),
    "unchanged": Target("origin with nothing new, in a night of many, fetch task", 10, 3, "ms CPU"),
    "unchanged-pack": Target("same, pack bytes received and files of its own", 0, 0, "bytes + files"),
    "head-read": Target("raw bytes read for a scan of HEAD, against HEAD's", 2, 1.1, "x"),
    "derived": Target("derived tables, against base tables", 0.1, 0.03, "x"),
    "scan-jvm": Target("scan of all text at HEAD, JVM only, raw", 500, 1_000, "MB/CPU-s"),
    "scan-arrow": Target("same through a Python function on Arrow batches", 150, 600, "MB/CPU-s"),
    "word": Target(
        "count a word in every version of every file, against git cat-file, two cores each", 1.5, 4, "x faster"
    ),
    "night": Target("nightly with 1 of many origins changed, against a night with 1 origin", 2, 1.2, "x its CPU-s"),
    "forks": Target("5,000 unchanged forks, a server that answers after 0.1 s, 16 conversations", 60, 35, "s"),
    "files": Target("data files a night adds, against tables x buckets touched", 1, 1, "x"),
    "restore-small": Target("restore of a small repository, from command to exit", 3, 1.5, "s"),
    "restore-long": Target("restore of a long history, against git clone --mirror", 3, 1.5, "x its seconds"),
    "restore-size": Target("pack of a restored repository, against the pack as served", 2, 1, "x"),
}
