"""Lists forges, each by itself, slice by slice, without the lease; after each slice it takes it for a merge."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.context.run import helping
from pipeline.context.workplace import Workplace
from pipeline.fetch.forges.errors import CODES_OF_A_PLACE
from pipeline.fetch.forges.giving_up import forget_stuck, give_up, is_stuck, note_stuck
from pipeline.fetch.forges.leftovers import forget_old
from pipeline.fetch.forges.passes import Pass, begin_pass, passes, places, read_pass
from pipeline.fetch.forges.settings import ForgeSettings
from pipeline.model.errors import ExitCode, PipelineError, UsageError
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Merged
from pipeline.storage.documents import read_document
from pipeline.storage.errors import AlreadyThere, StoredFileDamaged
from pipeline.workflows.backfill_turns import waits_for_anybody
from pipeline.workflows.engine import run_tasks
from pipeline.workflows.forge_tasks import ListPass, merge_listed
from pipeline.workflows.task_run import TaskRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForgeResult:
    """What a crawl did with a forge.

    Attributes:
        number: the pass; ``full``: whether it is over everything; ``over``: whether it came to its end.
        pages: of the pass so far; ``listed``: repositories; ``bad``: items that could not be used, by reason;
            ``skipped``: how often something was passed over that no page could show.
        merged: repositories by what became of them: new, moved, gone, refused by reason, new ``origins``, and
            ``signalled``, those that changed since their visit.
        stopped: why the crawl did not go on; None if it did. ``failed``: whether that is a failure.
        given_up: nobody goes on with the pass; the next one lists again what it has not merged.
    """

    forge: str
    number: int
    full: bool
    over: bool
    pages: int
    listed: int
    bad: dict[str, int]
    skipped: int
    merged: dict[str, int]
    stopped: str | None = None
    failed: bool = False
    given_up: bool = False

    @classmethod
    def nothing(cls, forge: str, number: int = 0) -> ForgeResult:
        """That of a pass that cannot be read, or of a forge all of whose passes cannot."""
        return cls(forge, number, full=False, over=False, pages=0, listed=0, bad={}, skipped=0, merged={})

    @property
    def state(self) -> str:
        """How far the pass is, for people."""
        return "given up" if self.given_up else "over" if self.over else "under way"


class NoSuchForge(UsageError):
    """The configuration has no forge of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, tuple(known))
        self.name, self.known = name, tuple(known)

    def __str__(self) -> str:
        there = f"there are {', '.join(self.known)}" if self.known else "it has none"
        return f"the configuration has no table [forges.{self.name}]; {there}"


class Stopped(NamedTuple):
    """Why a crawl did not go on: exit code and message, and whether another pass may fare better."""

    exit_code: int
    why: str
    may_be_the_place: bool


def crawl_forges(
    place: Workplace, names: Sequence[str], *, full: bool = False, anew: bool = False
) -> list[ForgeResult]:
    """Complete a pass over each forge: the one under way, or a new one. What is listed is merged after each slice.

    Forges are listed and merged independently: one that fails, is slow, or whose host wants a pause, holds up no other
    one, and goes on where it stopped the next time. While another run holds the archive, listing goes on, and merges
    wait. A pass that failed at the same place on ``STUCK_DAYS`` days is given up, so that nobody has to look after it.

    Args:
        names: of forges in the configuration; none for all.
        full: begin with a full pass; one that is under way is completed as it is.
        anew: give up what is under way first, even if it cannot be read; after a full pass comes another full one.

    Raises:
        NoSuchForge: a name is unknown.
        NamelessCrawl: a public forge would be asked by the default user agent.
        UsageError: a name belonged to another forge.
    """
    known = place.config.forges.named
    for name in names:
        if name not in known:
            raise NoSuchForge(name, list(known))
    wanted = {name: known[name] for name in names or known}
    place.archive()
    place.config.conditions.check_name(settings.url for settings in wanted.values())
    stopped: dict[str, Stopped] = {}
    under_way: dict[str, ForgePass] = {}
    for name, settings in wanted.items():
        with _noting(stopped, name):
            under_way[name] = _pass(place, name, settings, full=full, anew=anew)
    stopped |= list_passes(place, under_way)
    for name in under_way:
        with _noting(stopped, name):
            merge_listed(place, name, wait_for=waits_for_anybody)
    for name, (code, _, may_be_the_place) in stopped.items():
        if code in (ExitCode.DONE, ExitCode.USAGE, ExitCode.ARCHIVE_HELD):
            continue
        with _noting(stopped, name):
            if may_be_the_place:
                note_stuck(place.storage, name, datetime.now(UTC).date())
            else:
                forget_stuck(place.storage, name)
    return [_result(place, name, under_way.get(name), stopped) for name in wanted]


@contextmanager
def _noting(stopped: dict[str, Stopped], name: str) -> Iterator[None]:
    """Note an error of one forge; those of usage are everybody's."""
    try:
        yield
    except UsageError:
        raise
    except PipelineError as error:
        code = getattr(error, "code", None)
        stopped.setdefault(name, Stopped(int(error.exit_code), str(error), _may_be_the_place(code, error.retryable)))


def _may_be_the_place(code: str | None, retryable: bool) -> bool:
    """Whether an error may be due to where a pass stands: to a page, or, without a code, to damage or a merge."""
    return code in CODES_OF_A_PLACE if code is not None else not retryable


def _pass(place: Workplace, name: str, settings: ForgeSettings, *, full: bool, anew: bool) -> ForgePass:
    storage = place.storage
    if anew or is_stuck(storage, name):
        logger.warning("%s: the pass under way is given up, and a new one begins; what is merged stays", name)
        full |= give_up(storage, name)
    newest = next(passes(storage, name), None)
    if newest is not None and not newest.is_of(settings):
        raise UsageError(f"[forges.{name}] was {newest.begun.url} before; give another forge another name")
    if newest is not None and not (newest.over or newest.given_up):
        return newest.place
    try:
        begun = begin_pass(storage, name, settings, datetime.now(UTC), full=full)
    except AlreadyThere:  # another crawl has just begun it; one of the two will end at a page
        return next(passes(storage, name)).place
    forget_old(storage, name, settings.kind)
    return begun


def list_passes(place: Workplace, under_way: Mapping[str, ForgePass]) -> dict[str, Stopped]:
    """List passes to their end, side by side; returns those that stopped before it."""
    with helping(place) as helper:
        runs = {name: TaskRun.of(helper, f"forge-{name}") for name in under_way}
        tasks = [
            ListPass(archive=place.storage.root_uri, forge=name, number=at.number, run_object=runs[name])
            for name, at in under_way.items()
        ]
        if tasks:
            run_tasks(tasks, workers=len(tasks), scheduler=None)
        stopped: dict[str, Stopped] = {}
        for task in tasks:
            failure = _failure(runs[task.forge])
            if failure is not None:
                stopped[task.forge] = failure
            elif not task.complete():
                stopped[task.forge] = Stopped(int(ExitCode.RUN_FAILED), "see the log above", may_be_the_place=False)
        return stopped


def _failure(run: TaskRun) -> Stopped | None:
    """What failed first."""
    for error in run.events.errors():
        return Stopped(error["exit_code"], error["message"], _may_be_the_place(error["code"], error["retryable"]))
    return None


def _result(place: Workplace, name: str, at: ForgePass | None, stopped: dict[str, Stopped]) -> ForgeResult:
    result = ForgeResult.nothing(name)
    with _noting(stopped, name):
        found = None if at is None else read_pass(place.storage, at)
        if found is not None:
            result = result_of(place, found)
    if name not in stopped:
        return result
    code, why, _ = stopped[name]
    return replace(result, stopped=why, failed=code != ExitCode.DONE)


def known_passes(place: Workplace, forge: str) -> Iterator[ForgeResult]:
    """What is known of each pass over a forge, the newest first; of one that cannot be read, why."""
    for at in places(place.storage, forge):
        try:
            found = read_pass(place.storage, at)
            if found is not None:
                yield result_of(place, found)
        except StoredFileDamaged as error:
            yield replace(ForgeResult.nothing(forge, at.number), stopped=str(error), failed=True)


def result_of(place: Workplace, found: Pass) -> ForgeResult:
    """What is known of a pass from its files."""
    counts: Counter[str] = Counter()
    for part in range(1, found.merged + 1):
        merged = read_document(place.storage, found.place.merged(part), Merged.model_validate_json)
        shown = {"new": merged.new, "moved": merged.moved, "gone": merged.gone, "origins": merged.origins}
        counts.update({**shown, "signalled": merged.signalled, **merged.refused})
    progress = found.progress
    return ForgeResult(
        found.place.forge, found.place.number, found.full, found.over, progress.pages, progress.listed, progress.bad,
        progress.skipped, {word: count for word, count in sorted(counts.items()) if count}, given_up=found.given_up,
    )  # fmt: skip
