"""The two steps of a slice of a forge's listing: list it, in a process of its own, and merge it, under the lease."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import luigi

from pipeline.context.run import Run
from pipeline.forges.crawl import Lister
from pipeline.forges.passes import complete_before, read_manifest, read_pass
from pipeline.forges.settings import ForgeSettings
from pipeline.model.errors import CheckFailed
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Merged
from pipeline.model.pattern import OptOuts, parse_pattern
from pipeline.night.listings import merge_pages
from pipeline.read.inventory.record import keep_record, record_user_tables
from pipeline.rules.listings import Wanted
from pipeline.workflows.target import StorageTarget
from pipeline.workflows.task_run import RunTask

LONGEST_PAUSE_S = 60
"""Before a page is asked for once more; pauses begin with ``luigi.first_pause_s`` and double."""


class ForgeTask(RunTask):
    """One step of a slice."""

    archive = luigi.Parameter(description="the archive's root")
    forge = luigi.Parameter(description="the forge's name in the configuration")
    number = luigi.IntParameter(description="the pass, from 1")
    part = luigi.IntParameter(description="the slice of the pass, from 1")

    @property
    def place(self) -> ForgePass:
        """Where the pass is."""
        return ForgePass(self.forge, self.number)

    @property
    def settings(self) -> ForgeSettings:
        """The forge's configuration."""
        found: ForgeSettings = self.run_object.config.forges.named[self.forge]
        return found


class ListSlice(ForgeTask):
    """Ask for the pages of a slice; needs no lease."""

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

        lister = Lister(run.storage, scratch, self.settings, run.config.conditions, pause)
        run.retrying(lambda: lister.list_slice(self.place, self.part))


class MergeSlice(ForgeTask):
    """Merge a slice that is listed."""

    def requires(self) -> ListSlice:
        """The slice."""
        return ListSlice(**self.param_kwargs)

    def output(self) -> StorageTarget:
        """The marker."""
        return StorageTarget(self.run_object.storage, self.place.merged(self.part))

    def run(self) -> None:
        """Merge."""
        self.run_object.check_lease()
        self.run_object.retrying(lambda: merge_slice(self.run_object, self.place, self.part, self.settings))


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
    found = read_pass(storage, place)
    is_whole = found is not None and found.full and manifest.progress.complete
    return merge_pages(
        run.writer(), place, [storage.uri(path) for path in pages], _wanted(settings), run.archive().buckets,
        datetime.now(UTC), missing_since=complete_before(storage, place, settings) if is_whole else None,
        by_commits=settings.by_commits,
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
