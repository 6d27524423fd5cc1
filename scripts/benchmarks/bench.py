"""What every part of the comparison gets."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.archive import Bed, create_and_plan, enough_buckets
from benchmarks.histories import small_repository
from benchmarks.measure import in_child
from benchmarks.repositories import Repository, Server, copy_all

logger = logging.getLogger(__name__)

WARM_UP = "warm-up"
"""A repository that is compacted before the measured ones, as Spark's first compaction costs more than later ones."""


@dataclass(frozen=True)
class Sizes:
    """How much to measure; the targets assume the defaults."""

    big_bytes: int
    pages_bytes: int
    memory_bytes: int
    head_bytes: int
    origins: int
    forks: int
    repeat: int


@dataclass(frozen=True)
class Bench:
    """One run: where repositories come from and are served, scratch, and sizes."""

    source: Path
    work: Path
    cache: Path
    server: Server
    sizes: Sizes

    @cached_property
    def repositories(self) -> list[Repository]:
        """Copies of the repositories in ``source``, served."""
        return copy_all(self.source, self.server)

    @cached_property
    def corpora(self) -> Bed:
        """An archive of all of them and a small one, each in its own bucket, with the first night planned."""
        small_repository(self.server.path(WARM_UP), 0)
        urls = [*(repository.url for repository in self.repositories), self.server.url(WARM_UP)]
        bed = Bed(self.work / "corpora", enough_buckets(urls))
        say("an archive of %d repositories", len(urls))
        in_child(create_and_plan, bed, urls)
        return bed


def say(sentence: str, *values: object) -> None:
    """Log the run's progress."""
    logger.info(sentence, *values)
