"""One part of a bucket's questions: origins whose refs are known are asked whether they still show them.

Any host may take it, before the bucket's fetch task: nothing that a question finds depends on what others land.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from pipeline.fetch.agenda import DueNetwork, Questions
from pipeline.fetch.asked import upload_asked
from pipeline.fetch.bucket_plan import BucketPlan, PlannedOrigin, read_share, refs_files
from pipeline.fetch.crew import Crew
from pipeline.fetch.landing import Landing
from pipeline.fetch.network_state import askable
from pipeline.fetch.planned_refs import PlannedRefs
from pipeline.fetch.worker import Work
from pipeline.git.conditions import Conditions
from pipeline.model.layout import Load
from pipeline.model.visit import Visit, VisitStatus
from pipeline.rules.ref_digest import UNKNOWN, RefDigest
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.scratch import locked_folder

log = logging.getLogger(__name__)


def ask_part(
    storage: Storage,
    load: Load,
    bucket: int,
    part: int,
    parts: int,
    *,
    run_id: str,
    conditions: Conditions,
    concurrency: int,
    scratch: Path,
    on_visit: Callable[[Visit], None] = lambda visit: None,
) -> None:
    """Ask the due origins of one of ``parts`` equal parts of a bucket's plan, and store what was found.

    Args:
        storage: the archive.
        load: a planned load.
        part: 0 to ``parts`` - 1.
        run_id: id of the whole run, for ``visits``.
        conditions: limits and the like of every question.
        concurrency: origins asked at once, each in its own process.
        scratch: local folder; a subfolder is created and removed.
        on_visit: called after each question that ended a visit.

    Raises:
        NamelessCrawl: public forges want to know who asks; nothing was asked.
        StorageError: the plan cannot be read now or the file cannot be uploaded; run the task again.
        ScratchFailed, OSError: scratch cannot be written.
    """
    plan = BucketPlan(bucket, (), refs=refs_files(storage, load, bucket))
    with locked_folder(scratch, f"{bucket}-{part}") as folder:
        networks = _networks(storage, load, plan, part, parts)
        conditions.check_name(url for network in networks for url in network.due)
        task = Work(storage, plan, (), load.night, run_id, conditions)
        visits: list[Visit] = []
        with Crew(task, Questions(networks), Landing(folder / "landing"), concurrency, folder) as crew:
            for outcome in crew.outcomes():
                if outcome.visit.status is not VisitStatus.DEFERRED:  # the fetch task comes later, and asks again
                    visits.append(outcome.visit)
                    on_visit(outcome.visit)
        changed = [url for network in networks for url in network.changed()]
        upload_asked(storage, load, bucket, part, visits, changed, folder / "visits.parquet")


def _networks(storage: Storage, load: Load, plan: BucketPlan, part: int, parts: int) -> list[DueNetwork]:
    """A part's origins that can be asked, by network; none if the plan is damaged, which the fetch task reports."""
    try:
        share = sorted(read_share(storage, load, plan.bucket, part, parts), key=attrgetter("network", "url"))
        digests = dict(_digests(PlannedRefs(storage, plan.refs), share))
    except StoredFileDamaged as error:
        log.error("bucket %d, part %d of its questions is not asked: %s", plan.bucket, part, error)
        return []
    found = []
    for number, origins in groupby(share, attrgetter("network")):
        known = {o.url: digest for o in origins if o.due and (digest := askable(o, digests.get(o.url))) != UNKNOWN}
        network = DueNetwork(0, number, list(known))
        network.surveyed(b"".join(known.values()))
        found.append(network)
    return found


def _digests(planned: PlannedRefs, share: Sequence[PlannedOrigin]) -> Iterator[tuple[str, bytes]]:
    """The digests of the planned refs of a part's origins, by URL."""
    if not share:
        return
    rows = planned.between((share[0].network, share[0].url), (share[-1].network, share[-1].url))
    for url, refs in groupby(rows, attrgetter("url")):
        digest = RefDigest()
        for row in refs:
            if row.name is not None:
                digest.add(row.name, row.ref)
        yield url, digest.value
