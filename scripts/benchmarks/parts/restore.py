"""Restoring repositories, against git clone of the same."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial

from benchmarks import archive, histories
from benchmarks.archive import Bed
from benchmarks.bench import Bench, say
from benchmarks.measure import MB, Cost, in_child, measured, repeated
from benchmarks.parts.fetch import clone
from benchmarks.repositories import Repository
from benchmarks.results import Figure, Found, Table

NAME = "long"


@dataclass(frozen=True, slots=True)
class Compared:
    """What a restore and a clone of one repository cost, and the bytes of the restored pack."""

    repository: Repository
    restore: Cost
    clone: Cost
    pack_bytes: int

    @property
    def told(self) -> str:
        """Both costs."""
        return (
            f"{self.restore.wall_s:.1f} s, {self.restore.cpu_s:.1f} CPU-s; "
            f"clone {self.clone.wall_s:.1f} s, {self.clone.cpu_s:.1f} CPU-s"
        )


def measure(bench: Bench) -> Found:
    """Restore all repositories, whose time is mostly that of starting, and a long history, whose time is its bytes."""
    say("restore: a history of %d MB", bench.sizes.big_bytes / MB)
    histories.long_history(bench.server.path(NAME), bench.sizes.big_bytes)
    small, long = bench.repositories, bench.server.repository(NAME)
    bed = Bed(bench.work / "restore")
    say("restore: archiving %d repositories", len(small) + 1)
    in_child(fill, bed, [repository.url for repository in (*small, long)])
    compared = [compare(bench, bed, repository) for repository in (*small, long)]
    figures = [Figure("restore-small", each.repository.name, each.restore.wall_s, each.told) for each in compared[:-1]]
    figures.append(
        Figure("restore-long", NAME, compared[-1].restore.wall_s / compared[-1].clone.wall_s, compared[-1].told)
    )
    figures += [
        Figure("restore-size", each.repository.name, each.pack_bytes / each.repository.pack_bytes) for each in compared
    ]
    columns = (
        "repository", "objects", "raw MB", "pack as served", "pack restored", "restore s", "restore CPU-s", "clone s",
        "clone CPU-s",
    )  # fmt: skip
    rows = tuple(
        (
            each.repository.name, each.repository.objects, each.repository.raw_bytes / MB, each.repository.pack_bytes,
            each.pack_bytes, each.restore.wall_s, each.restore.cpu_s, each.clone.wall_s, each.clone.cpu_s,
        )
        for each in compared
    )  # fmt: skip
    return Found(tuple(figures), (Table("Restore", columns, rows),))


def fill(bed: Bed, urls: list[str]) -> None:
    """Archive them in a first night."""
    archive.create(bed, urls)
    archive.nightly(bed, 0)


def compare(bench: Bench, bed: Bed, repository: Repository) -> Compared:
    """Restore one repository and clone it."""
    say("restore: %s", repository.name)
    to = bench.work / "restored.git"

    def once() -> tuple[int, Cost]:
        restored, cost = measured(archive.restore, bed, repository.url, to)
        assert restored["objects"] == repository.objects, f"{restored['objects']} of {repository.objects} objects"
        size = sum(pack.stat().st_size for pack in to.glob("objects/pack/*.pack"))
        shutil.rmtree(to)
        return size, cost

    size, ours = repeated(bench.sizes.repeat, once)
    cloned = repeated(bench.sizes.repeat, partial(clone, bench, repository.url))[1]
    return Compared(repository, ours, cloned, size)
