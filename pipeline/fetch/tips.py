"""What origins show that were never visited, asked before their first visit is planned. Nothing is landed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from pipeline.fetch.agenda import DueNetwork, Questions
from pipeline.fetch.bucket_plan import BucketPlan
from pipeline.fetch.crew import Crew
from pipeline.fetch.landing import Landing
from pipeline.fetch.scratch import locked_folder
from pipeline.fetch.worker import Work
from pipeline.git.conditions import Conditions
from pipeline.rules.kinship import Tips
from pipeline.rules.ref_digest import NO_REFS
from pipeline.storage.interface import Storage

_NO_BUCKET = 0


def ask_tips(
    storage: Storage,
    origins: Mapping[str, int],
    *,
    night: date,
    run_id: str,
    conditions: Conditions,
    concurrency: int,
    scratch: Path,
) -> dict[str, Tips]:
    """The tips of origins that answer and have refs to objects, by URL.

    Args:
        storage: the archive.
        origins: their networks, by URL.
        night: logical date: requests to hosts are counted for it.
        conditions: limits and the like of every question.
        concurrency: origins asked at once, each in its own process.
        scratch: local folder; a subfolder is created and removed.

    Raises:
        NamelessCrawl: public forges want to know who asks; nothing was asked.
        ScratchFailed, OSError: scratch cannot be written.
    """
    conditions.check_name(origins)
    networks = [DueNetwork(0, network, [url]) for url, network in origins.items()]
    for network in networks:
        network.surveyed(NO_REFS)
    task = Work(storage, BucketPlan(_NO_BUCKET, ()), (), night, run_id, conditions)
    with (
        locked_folder(scratch, "newcomers") as folder,
        Crew(task, Questions(networks), Landing(folder / "landing"), concurrency, folder) as crew,
    ):
        for _ in crew.outcomes():
            pass  # it shows nothing, or does not answer: its visit will say so
    return {url: tips for network in networks for url, tips in network.tips.items() if tips.refs}
