"""What origins show that were never visited, asked before their first visit is planned. Nothing is landed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from pipeline.fetch.agenda import DueNetwork, Errand, Questions
from pipeline.fetch.bucket_plan import BucketPlan
from pipeline.fetch.crew import Crew
from pipeline.fetch.landing import Landing
from pipeline.fetch.worker import Work
from pipeline.git.conditions import Conditions
from pipeline.model.origin import network_id
from pipeline.rules.kinship import Tips
from pipeline.rules.ref_digest import NO_REFS
from pipeline.storage.interface import Storage
from pipeline.storage.scratch import locked_folder

QUESTION_S = 30.0
"""Seconds for a question, without what a host's limits make it wait."""

REFS_BYTES = 16 << 20
"""Bytes of refs that a question reads: an origin with more is not looked at."""

_NO_BUCKET = 0


def ask_tips(
    storage: Storage,
    urls: Sequence[str],
    *,
    night: date,
    run_id: str,
    conditions: Conditions,
    concurrency: int,
    scratch: Path,
    until: float,
) -> dict[str, Tips]:
    """The tips of origins by URL, none for those that show nothing or do not answer. Who was not asked is left out.

    Args:
        storage: the archive.
        urls: distinct origins.
        night: logical date: requests to hosts are counted for it.
        conditions: limits and the like of visits; those of a question are narrower.
        concurrency: origins asked at once, each in its own process.
        scratch: local folder; a subfolder is created and removed.
        until: nobody is asked after this time of ``time.monotonic``.

    Raises:
        NamelessCrawl: public forges want to know who asks; nothing was asked.
        ScratchFailed, OSError: scratch cannot be written.
    """
    conditions.check_name(urls)
    networks = [DueNetwork(0, network_id(url), [url]) for url in urls]
    for network in networks:
        network.surveyed(NO_REFS)
    agenda = _InTime(networks, until)
    task = Work(storage, BucketPlan(_NO_BUCKET, ()), (), night, run_id, _narrower(conditions))
    with (
        locked_folder(scratch, "newcomers") as folder,
        Crew(task, agenda, Landing(folder / "landing"), concurrency, folder) as crew,
    ):
        for _ in crew.outcomes():
            pass  # it shows nothing, or does not answer: its visit will say so
    return {network.due[0]: network.tips.get(network.due[0], Tips()) for network in agenda.asked}


class _InTime(Questions):
    """Questions up to some time; ``asked`` has the networks of those that began."""

    def __init__(self, networks: Iterable[DueNetwork], until: float) -> None:
        super().__init__(networks)
        self.until = until
        self.asked: list[DueNetwork] = []

    def next(self, held: DueNetwork | None) -> Errand | None:
        errand = super().next(held) if time.monotonic() < self.until else None
        if errand is not None:
            self.asked.append(errand.network)
        return errand


def _narrower(conditions: Conditions) -> Conditions:
    limits = conditions.limits
    narrow = {"total_s": min(limits.total_s, QUESTION_S), "refs_bytes": min(limits.refs_bytes, REFS_BYTES)}
    return replace(conditions, limits=limits.model_copy(update=narrow))
