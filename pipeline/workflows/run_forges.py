"""Lists forges: slice by slice, all forges at once, without the lease; after each round it takes it, to merge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.context.run import helping, hold
from pipeline.context.workplace import Workplace
from pipeline.forges.passes import Pass, begin_pass, delete_merged, passes, read_pass
from pipeline.forges.settings import ForgeSettings
from pipeline.model.errors import ExitCode, UsageError
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Merged
from pipeline.storage.documents import read_document
from pipeline.storage.errors import AlreadyThere
from pipeline.tables.iceberg import see_newest
from pipeline.workflows.backfill_turns import MERGE, waits_for_anybody
from pipeline.workflows.engine import run_tasks
from pipeline.workflows.forge_tasks import ListSlice, MergeSlice
from pipeline.workflows.task_run import TaskRun


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


class NoSuchForge(UsageError):
    """The configuration has no forge of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, tuple(known))
        self.name, self.known = name, tuple(known)

    def __str__(self) -> str:
        there = f"there are {', '.join(self.known)}" if self.known else "it has none"
        return f"the configuration has no table [forges.{self.name}]; {there}"


def crawl_forges(place: Workplace, names: Sequence[str], *, full: bool = False) -> list[ForgeResult]:
    """Complete a pass over each forge: the one under way, or a new one. What is listed is merged after each round.

    A forge that fails, or whose host wants a pause, holds up no other one, and goes on where it stopped the next time.

    Args:
        names: of forges in the configuration; none for all.
        full: begin with a full pass; one that is under way is completed as it is.

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
    stopped = _merge(place, wanted)
    under_way = {name: _pass(place, name, settings, full=full) for name, settings in wanted.items()}
    left = {name: at for name, at in under_way.items() if name not in stopped}
    while left:
        stopped |= _list(place, left)
        stopped |= _merge(place, left)
        left = {name: at for name, at in left.items() if name not in stopped and not _read(place, at).over}
    return [_result(place, at, stopped.get(name)) for name, at in under_way.items()]


def _pass(place: Workplace, name: str, settings: ForgeSettings, *, full: bool) -> ForgePass:
    newest = next(passes(place.storage, name), None)
    if newest is not None and not newest.is_of(settings):
        raise UsageError(f"[forges.{name}] was {newest.begun.url} before; give another forge another name")
    if newest is not None and not newest.over:
        return newest.place
    try:
        return begin_pass(place.storage, name, settings, datetime.now(UTC), full=full)
    except AlreadyThere:  # another crawl has just begun it; one of the two will end at a page
        return next(passes(place.storage, name)).place


def _read(place: Workplace, at: ForgePass) -> Pass:
    found = read_pass(place.storage, at)
    assert found is not None
    return found


def _list(place: Workplace, left: dict[str, ForgePass]) -> dict[str, tuple[int, str]]:
    """List the next slice of each pass; returns exit code and message of those that stopped."""
    with helping(place) as helper:
        runs = {name: TaskRun.of(helper, f"forge-{name}") for name in left}
        tasks = [
            ListSlice(
                archive=place.storage.root_uri, forge=name, number=at.number, part=_read(place, at).slices + 1,
                run_object=runs[name],
            )
            for name, at in left.items()
        ]  # fmt: skip
        run_tasks(tasks, workers=len(tasks), scheduler=None)
        done = {task.forge for task in tasks if task.complete()}
        return {name: _failure(run) for name, run in runs.items() if name not in done or run.events.failures()}


def _failure(run: TaskRun) -> tuple[int, str]:
    """Exit code and message of what failed first."""
    return next(iter(run.events.failures()), (int(ExitCode.RUN_FAILED), "see the log above"))


def _merge(place: Workplace, forges: dict[str, ForgePass] | dict[str, ForgeSettings]) -> dict[str, tuple[int, str]]:
    """Merge every slice of these forges that is listed, each pass in order.

    Returns exit code and message of those whose merge failed; later slices of these wait.
    """
    todo: dict[str, list[Pass]] = {}
    for name in forges:
        found = list(passes(place.storage, name))
        for each in found[:1]:
            delete_merged(place.storage, each)
        todo[name] = [each for each in found if each.merged < each.slices]
    failed: dict[str, tuple[int, str]] = {}
    if not any(todo.values()):
        return failed
    with hold(place, MERGE, wait_for=waits_for_anybody) as held:
        see_newest(held.spark())
        for name, found in todo.items():
            run = TaskRun.of(held, f"merge-{name}")
            parts = [(each, part) for each in reversed(found) for part in range(each.merged + 1, each.slices + 1)]
            for each, part in parts:
                task = MergeSlice(
                    archive=place.storage.root_uri, forge=name, number=each.place.number, part=part, run_object=run
                )
                if not run_tasks([task], workers=1, scheduler=None):
                    failed[name] = _failure(run)
                    break
    return failed


def _result(place: Workplace, at: ForgePass, stopped: tuple[int, str] | None) -> ForgeResult:
    result = result_of(place, _read(place, at))
    if stopped is None:
        return result
    code, why = stopped
    return replace(result, stopped=why, failed=code != ExitCode.DONE)


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
        progress.skipped, {word: count for word, count in sorted(counts.items()) if count},
    )  # fmt: skip
