"""The steps of a pass over a forge: list it slice by slice, each in a process of its own, and merge under the lease."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import luigi

from pipeline.context.run import Run, hold, nobody
from pipeline.context.workplace import Workplace
from pipeline.fetch.forges.crawl import Lister
from pipeline.fetch.forges.errors import PassGivenUp
from pipeline.fetch.forges.hour_lister import HourLister
from pipeline.fetch.forges.leftovers import delete_merged
from pipeline.fetch.forges.passes import Pass, complete_before, read_manifest, read_pass, unfinished
from pipeline.fetch.forges.settings import EVENTS, ForgeSettings
from pipeline.model.errors import CheckFailed
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Merged
from pipeline.model.pattern import OptOuts, parse_pattern
from pipeline.night.events import merge_events
from pipeline.night.listings import merge_pages
from pipeline.read.inventory.record import keep_record, record_user_tables
from pipeline.rules.listings import Wanted
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.lease_record import ArchiveHeld
from pipeline.tables.iceberg import see_newest
from pipeline.workflows.backfill_turns import MERGE
from pipeline.workflows.target import StorageTarget
from pipeline.workflows.task_run import RunTask, TaskRun

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60
"""Before a page is asked for once more; pauses begin with ``luigi.first_pause_s`` and double."""


class ForgeTask(RunTask):
    """A step of a pass."""

    archive = luigi.Parameter(description="the archive's root")
    forge = luigi.Parameter(description="the forge's name in the configuration")
    number = luigi.IntParameter(description="the pass, from 1")

    @property
    def place(self) -> ForgePass:
        """Where the pass is."""
        return ForgePass(self.forge, self.number)


class ListSlice(ForgeTask):
    """Ask for the pages of a slice; needs no lease."""

    part = luigi.IntParameter(description="the slice of the pass, from 1")

    own_process = True

    def output(self) -> StorageTarget:
        """The manifest."""
        return StorageTarget(self.run_object.storage, self.place.manifest(self.part))

    def run(self) -> None:
        """Ask."""
        run = self.run_object
        scratch = run.scratch / f"forge-{self.forge}"
        scratch.mkdir(exist_ok=True)
        first_pause_s = run.config.luigi.first_pause_s

        def pause(failures: int) -> None:
            threading.Event().wait(min(first_pause_s * 2 ** (failures - 1), LONGEST_PAUSE_S))

        settings = run.config.forges.named[self.forge]
        kind = HourLister if settings.kind == EVENTS else Lister
        lister = kind(run.storage, scratch, settings, run.config.conditions, pause)
        run.retrying(lambda: lister.list_slice(self.place, self.part))


class ListPass(ForgeTask):
    """List a pass to its end, a slice after the other, whatever other forges do.

    Luigi runs it again after each slice. What is listed is merged then, unless another run holds the archive.
    """

    def complete(self) -> bool:
        """Whether it is listed to its end. If it cannot be read, running it says why."""
        with suppress(StoredFileDamaged):
            return _read(self.run_object, self.place).over
        return False

    def run(self) -> Iterator[ListSlice]:
        """Merge what is listed, and ask for the next slice."""
        run = self.run_object
        while True:
            try:
                merge_listed(run, self.forge, wait_for=nobody)
            except ArchiveHeld as held:
                logger.info("%s: what is listed is merged later, as %s holds the archive", self.forge, held.holder)
            found = _read(run, self.place)
            if found.over:
                return
            yield ListSlice(
                archive=self.archive, forge=self.forge, number=self.number, part=found.slices + 1, run_object=run
            )


def _read(run: Run, place: ForgePass) -> Pass:
    found = read_pass(run.storage, place)
    if found is None:
        raise StoredFileDamaged(place.begun, "it is gone")
    return found


def merge_listed(place: Workplace, forge: str, *, wait_for: Callable[[str], bool]) -> None:
    """Merge every slice of a forge that is listed, each pass in order, under the lease.

    Raises:
        ArchiveHeld: another run holds the archive, and it is not waited for.
    """
    delete_merged(place.storage, forge)
    todo = [
        (each, part) for each in unfinished(place.storage, forge) for part in range(each.merged + 1, each.slices + 1)
    ]
    if not todo:
        return
    settings = place.config.forges.named[forge]
    with hold(place, MERGE, wait_for=wait_for) as held:
        run = TaskRun.of(held, f"merge-{forge}")
        see_newest(run.spark())
        for each, part in todo:
            run.check_lease()
            if run.storage.stat(each.place.given_up) is not None:
                raise PassGivenUp(forge)
            run.retrying(partial(merge_slice, run, each.place, part, settings))


def merge_slice(run: Run, place: ForgePass, part: int, settings: ForgeSettings) -> None:
    """Merge the pages of a slice, and delete them.

    Raises:
        CheckFailed: a page that the manifest counts is gone.
    """
    storage = run.storage
    if storage.stat(place.merged(part)) is None:
        merged = _merged(run, place, part, settings)
        storage.replace(place.merged(part), merged.model_dump_json().encode())
    storage.delete(place.pages(part), recursive=True)
    keep_record(storage, record_user_tables)


def _merged(run: Run, place: ForgePass, part: int, settings: ForgeSettings) -> Merged:
    storage = run.storage
    manifest = read_manifest(storage, place, part)
    pages = [place.page(part, number) for number in range(manifest.first, manifest.progress.pages + 1)]
    there = {entry.path for entry in storage.list(place.pages(part))}
    lost = [path for path in pages if path not in there]
    if lost:
        raise CheckFailed(f"{lost[0]}: the page is gone, and {len(lost):,} of {len(pages):,} are; list the forge again")
    if settings.kind == EVENTS:
        return merge_events(run.writer(), [storage.uri(path) for path in pages], settings.ids_of, datetime.now(UTC))
    is_whole = _read(run, place).full and manifest.progress.complete
    return merge_pages(
        run.writer(), place, [storage.uri(path) for path in pages], _wanted(settings), run.archive().buckets,
        datetime.now(UTC), missing_since=complete_before(storage, place, settings) if is_whole else None,
        by_commits=settings.by_commits, has_details=settings.has_details,
    )  # fmt: skip


def _wanted(settings: ForgeSettings) -> Wanted:
    return Wanted(
        forks=settings.forks,
        archived=settings.archived,
        largest_bytes=settings.largest_bytes,
        only=OptOuts(map(parse_pattern, settings.only)),
        without=OptOuts(map(parse_pattern, settings.without)),
        opted_out=OptOuts(()),
        taken_down=OptOuts(()),
    )
