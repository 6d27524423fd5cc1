"""Runs a night: leads it if the archive is free, or helps to fetch if another host leads it through the same luigid."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pipeline.context.run import LOOK_EVERY_S, helping, hold
from pipeline.context.workplace import Workplace
from pipeline.model.errors import UsageError
from pipeline.model.layout import Load, newest_possible
from pipeline.model.log import all_about
from pipeline.model.night_summary import NightSummary
from pipeline.storage.documents import read_if_whole
from pipeline.storage.lease_record import ArchiveHeld, Owner
from pipeline.workflows.backfill_turns import waits_for_turn
from pipeline.workflows.loads import Loads, Watch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NightResult:
    """A complete night.

    Attributes:
        already: it was complete before.
        led: this run completed it, and no other host.
        report: URI of its report; None if it has none.
    """

    summary: NightSummary
    already: bool
    led: bool
    report: str | None


def run_night(place: Workplace, followers: Sequence[Watch], night: date) -> NightResult:
    """Complete a night, and first any other load that was begun and not finished.

    If a luigid is configured and another host holds the archive for the same night through it, fetch buckets until the
    night is complete; if that host's lease expires, lead the night from there. If a backfill holds the archive, wait:
    it releases the lease after each batch.

    Args:
        followers: follow each load while it is completed.

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
    already, led = True, False
    with all_about(night=night):
        while (done := read_if_whole(place.storage, load.finished, NightSummary)) is None:
            already, led = False, _lead_or_help(place, followers, load)
    has_report = place.storage.stat(load.report) is not None
    return NightResult(done, already, led, place.storage.uri(load.report) if has_report else None)


def _lead_or_help(place: Workplace, followers: Sequence[Watch], load: Load) -> bool:
    """Lead the night to its end if the archive is free, otherwise help for a while; whether this run led."""
    scheduler = place.config.luigi.scheduler
    purpose = f"night {load.name}" + (f" through {scheduler}" if scheduler is not None else "")
    try:
        return _lead(place, followers, load, purpose)
    except ArchiveHeld as held:
        if scheduler is None or held.owner.purpose != purpose:
            raise
        _help(place, followers, load, held.owner)
        threading.Event().wait(LOOK_EVERY_S)
        return False


def _lead(place: Workplace, followers: Sequence[Watch], load: Load, purpose: str) -> bool:
    """Complete the night; false if another run had done so when this one got the archive."""
    with hold(place, purpose, wait_for=waits_for_turn) as run:
        if read_if_whole(run.storage, load.finished, NightSummary) is not None:
            return False
        loads = Loads(run, followers)
        later = loads.nights_after(load.night)
        if later:
            raise UsageError(f"the night {max(later)} was run already; nights only go forward")
        loads.complete_unfinished(but=load)
        loads.complete(load)
        return True


def _help(place: Workplace, followers: Sequence[Watch], load: Load, leader: Owner) -> None:
    """Fetch the remaining buckets, once there is a plan; commit nothing."""
    if place.storage.stat(load.plan) is None:
        return
    if leader.host != socket.gethostname() and place.config.fetch.crawl_hosts == 1:
        logger.warning(
            "%s leads, and fetch.crawl_hosts is 1: together we may ask for twice what [hosts] allows", leader.host
        )
    with helping(place) as run:
        Loads(run, followers).fetch_the_rest(load)
