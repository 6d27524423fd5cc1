"""Runs a night: leads it if the archive is free, or helps to fetch if another host leads it through the same luigid."""

from __future__ import annotations

import logging
import socket
import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pipeline.context.archive import begun_loads
from pipeline.context.run import LOOK_EVERY_S, helping, hold
from pipeline.context.workplace import Workplace
from pipeline.model.errors import UsageError
from pipeline.model.layout import LEASE, Load, newest_possible
from pipeline.model.log import all_about
from pipeline.model.night_summary import NightSummary
from pipeline.night.plan import read_plan
from pipeline.rules.fetch_order import fetch_order
from pipeline.storage.documents import read_document
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.lease_record import ArchiveHeld, read_record
from pipeline.workflows.backfill_turns import waits_for_turn
from pipeline.workflows.engine import run_tasks
from pipeline.workflows.loads import Loads, RunFailed, Workers
from pipeline.workflows.night import Fetch
from pipeline.workflows.task_run import TaskRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NightResult:
    """A complete night; ``already`` if it was complete before, ``led`` if this run completed it, and no other host."""

    summary: NightSummary
    already: bool
    led: bool


def run_night(place: Workplace, workers: Workers, night: date) -> NightResult:
    """Complete a night, and first any other load that was begun and not finished.

    If a luigid is configured and another host holds the archive for the same night through it, fetch buckets until the
    night is complete; if that host's lease expires, lead the night from there. If a backfill holds the archive, wait:
    it releases the lease after each batch.

    Raises:
        NoArchive, ArchiveFormatUnknown: there is no archive, or none that this version knows; nothing was changed.
        UsageError: a later night was run already, as nights only go forward; or this one is after tomorrow, UTC.
        ArchiveHeld: another run holds the archive.
        RunFailed: some task failed; its exit code is that of the first error. A host that fails to fetch a bucket
            leaves all buckets to the others.
    """
    place.archive()
    newest = newest_possible(datetime.now(UTC).date())
    if night > newest:
        raise UsageError(
            f"the night {night} is in the future: by this machine's clock {newest} is the last one that may be run"
        )
    load = Load.of_night(night)
    done = _finished(place.storage, load)
    if done is not None:
        return NightResult(done, already=True, led=False)
    purpose = _purpose(place, load)
    led = False
    with all_about(night=night):
        while done is None:
            try:
                done = _lead(place, workers, load, purpose)
                led = True
            except ArchiveHeld:
                if place.config.luigi.scheduler is None or not _is_held_for(place.storage, purpose):
                    raise
                _help(place, workers, load)
                threading.Event().wait(LOOK_EVERY_S)
                done = _finished(place.storage, load)
    return NightResult(done, already=False, led=led)


def _finished(storage: Storage, load: Load) -> NightSummary | None:
    if storage.stat(load.finished) is None:
        return None
    try:
        return read_document(storage, load.finished, NightSummary.model_validate_json)
    except StoredFileDamaged as error:
        logger.error("%s; it is made again", error)
        return None


def _purpose(place: Workplace, load: Load) -> str:
    scheduler = place.config.luigi.scheduler
    return f"night {load.name}" + (f" through {scheduler}" if scheduler is not None else "")


def _is_held_for(storage: Storage, purpose: str) -> bool:
    holder = read_record(storage, LEASE)
    return holder is None or holder.purpose == purpose


def _lead(place: Workplace, workers: Workers, load: Load, purpose: str) -> NightSummary:
    with hold(place, purpose, wait_for=waits_for_turn) as run:
        done = _finished(place.storage, load)
        if done is not None:
            return done
        later = _later(place.storage, load)
        if later:
            raise UsageError(f"the night {max(later)} was run already; nights only go forward")
        loads = Loads(run, workers)
        loads.complete_unfinished(but=load)
        loads.complete(load)
    done = _finished(place.storage, load)
    assert done is not None
    return done


def _later(storage: Storage, load: Load) -> list[str]:
    """Later nights, except those with a date that no run can have, which an earlier version allowed."""
    newest = newest_possible(datetime.now(UTC).date())
    return [o.name for o in begun_loads(storage) if o.is_night and load.night < o.night <= newest]


def _help(place: Workplace, workers: Workers, load: Load) -> None:
    """Fetch the remaining buckets, once there is a plan; commit nothing."""
    if place.storage.stat(load.plan) is None:
        return
    holder = read_record(place.storage, LEASE)
    if holder is not None and holder.host != socket.gethostname() and place.config.fetch.crawl_hosts == 1:
        logger.warning(
            "%s leads, and fetch.crawl_hosts is 1: together we may ask for twice what [hosts] allows", holder.host
        )
    with helping(place) as helper:
        run = TaskRun.of(helper, load.name)
        plan = read_plan(place.storage, load)
        run.events.planned(plan.origins_due, len(plan.buckets))
        done = {entry.path for entry in place.storage.list(load.manifests)}
        tasks = [
            Fetch(
                archive=place.storage.root_uri,
                night=load.night,
                name=load.name,
                bucket=bucket,
                parts=plan.parts.get(bucket, 0),
                run_object=run,
            )
            for bucket in fetch_order(plan.buckets)
            if load.manifest(bucket) not in done
        ]
        if not tasks:
            return
        logger.info("another host leads %s; helping to fetch %d buckets", load.name, len(tasks))
        with workers.watch(run.events):
            run_tasks(tasks, workers=workers.count, scheduler=place.config.luigi.scheduler, stay=False, again=False)
        if run.events.failures():
            raise RunFailed(load.name, run.events.failures())
