"""The process that visits: hostile bytes are read only here, under limits of the kernel."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipeline.fetch.archived import ArchivedIds
from pipeline.fetch.bucket_plan import BucketPlan, PlannedOrigin
from pipeline.fetch.channel import Channel
from pipeline.fetch.confine import Confinement
from pipeline.fetch.landing import RUN_BYTES
from pipeline.fetch.messages import Assignment, OurFailure, Question
from pipeline.fetch.network_state import NetworkState
from pipeline.fetch.outbox import Outbox
from pipeline.fetch.planned_files import PlannedFiles
from pipeline.fetch.planned_refs import PlannedRefs
from pipeline.fetch.shelf import Shelf
from pipeline.fetch.visit import Visitor
from pipeline.git.conditions import Conditions
from pipeline.model.errors import PipelineError
from pipeline.model.links import OID_BYTES
from pipeline.model.log import about
from pipeline.storage.interface import Storage

_SHELF = "opened"


@dataclass(frozen=True, slots=True)
class Work:
    """What all workers of a task share.

    Attributes:
        networks: networks of the plan, each with its origins in the order of their visits.
        run_id: id of the whole run, for the rows.
        run_bytes: of a run; see ``Outbox``.
    """

    storage: Storage
    plan: BucketPlan
    networks: Sequence[tuple[int, Sequence[PlannedOrigin]]]
    night: date
    run_id: str
    conditions: Conditions
    run_bytes: int = RUN_BYTES


def work(task: Work, channel: Channel, scratch: Path) -> None:
    """Visit and ask origins as they are assigned, until the other end closes.

    Args:
        scratch: a folder for this worker alone, below that of the task.
    """
    for library in ("dulwich", "urllib3"):  # their warnings repeat what a server sends: anything, any amount
        logging.getLogger(library).setLevel(logging.CRITICAL)
    outbox = Outbox(channel, scratch, task.run_bytes)
    visitor = Visitor(task.plan.bucket, task.night, task.run_id, outbox, task.conditions, scratch)
    storage = copy.copy(task.storage)
    known = ArchivedIds(storage, PlannedFiles(storage, task.plan.files).of, Shelf(scratch.parent / _SHELF))
    planned = PlannedRefs(storage, task.plan.refs)
    held: int | None = None
    try:
        while True:
            errand, _ = channel.receive()
            if isinstance(errand, Question):
                with about(network=errand.network, origin=errand.url):
                    channel.send(visitor.ask(errand, Confinement(task.conditions.limits)))
                continue
            with about(network=task.networks[errand.place][0], origin=errand.url):
                if errand.place != held:
                    state, held = _network_state(task, errand, known, planned), errand.place
                channel.send(visitor.visit(state, errand.url, Confinement(task.conditions.limits)))
    except EOFError:
        return
    except (PipelineError, OSError) as error:
        channel.send(OurFailure(error))


def _network_state(task: Work, errand: Assignment, known: ArchivedIds, planned: PlannedRefs) -> NetworkState:
    network, origins = task.networks[errand.place]
    landed = {errand.landed[at : at + OID_BYTES] for at in range(0, len(errand.landed), OID_BYTES)}
    named = {origin.url: origin for origin in origins}
    return NetworkState(network, named, known, planned, task.plan.taken_down(network), landed)
