"""The metrics of a run: served while it lasts, delivered when it has ended; and those of a copy."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Concatenate, ParamSpec, TypeVar

from pipeline.context.workplace import Workplace
from pipeline.model.errors import ExitCode, PipelineError, UsageError
from pipeline.workflows.events import EventLog
from pipeline.workflows.loads import Watch
from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.archive import archive_values, midnight
from pipeline.workflows.metrics.delivery import ARCHIVE_FILE, deliver, file_of
from pipeline.workflows.metrics.endpoint import serving
from pipeline.workflows.metrics.known import ENDINGS, RUNS, Command, Values
from pipeline.workflows.metrics.live import LiveRun

P = ParamSpec("P")
R = TypeVar("R")
PlaceT = TypeVar("PlaceT", bound=Workplace)


@dataclass(slots=True)
class CommandMetrics:
    """What a command tells its metrics.

    Attributes:
        follow: follows a load for the endpoint while a block runs.
        exit_code: how the command ended, once that is known. What goes wrong after it does not change it.
        ours: whether this command is the one to say it. False of a night that another host led and that ended, and of a
            dry run. A host that helps and fails says so until the leading one has ended.
    """

    follow: Watch
    exit_code: ExitCode | None = None
    ours: bool = True


def measured(
    command: Command,
) -> Callable[[Callable[Concatenate[PlaceT, CommandMetrics, P], R]], Callable[Concatenate[PlaceT, P], R]]:
    """Serve the metrics of a command while it lasts, and deliver them when it has ended; it gets them to fill in."""

    def decorated(
        function: Callable[Concatenate[PlaceT, CommandMetrics, P], R],
    ) -> Callable[Concatenate[PlaceT, P], R]:
        @functools.wraps(function)
        def wrapped(place: PlaceT, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with served(place, command) as follow, delivering(place, command, follow) as metrics:
                return function(place, metrics, *args, **kwargs)

        return wrapped

    return decorated


@contextmanager
def served(place: Workplace, command: Command) -> Iterator[Watch]:
    """Serve the metrics of a run while the block runs, if it has loads, and an endpoint is configured.

    Yields:
        What follows a load for the endpoint, without one nothing.
    """
    if command not in RUNS or not place.config.metrics.listen:
        yield _not_followed
        return
    live = LiveRun(command, place.config.fetch.scratch_folder)
    with serving(place.config.metrics.listen, live.values):
        yield live.watch


@contextmanager
def _not_followed(events: EventLog) -> Iterator[None]:
    yield


@contextmanager
def delivering(place: Workplace, command: Command, follow: Watch = _not_followed) -> Iterator[CommandMetrics]:
    """Deliver the metrics of the archive and of this ending, also of a failure, when the block has ended.

    Not if another run holds the archive, nor if this one was asked for something impossible, nor after an interrupt:
    none is an end of the night, and no later night would take it back.

    Args:
        command: what the block is.
        follow: follows a load for the endpoint.
    """
    metrics = CommandMetrics(follow)
    try:
        yield metrics
    except UsageError:
        raise
    except Exception as error:
        if metrics.exit_code is None:
            metrics.exit_code = error.exit_code if isinstance(error, PipelineError) else ExitCode.RUN_FAILED
        raise
    finally:
        code = metrics.exit_code
        if metrics.ours and code is not None and code is not ExitCode.ARCHIVE_HELD:
            when, how = ENDINGS[command]
            _deliver(place, command, {when: {(): time.time()}, how: {(): code}})


def deliver_copy(place: Workplace, newest: date | None) -> None:
    """Deliver that a copy of the archive is complete now.

    Args:
        newest: its newest night, None if it has none.
    """
    night: Values = {} if newest is None else {known.COPY_NIGHT: {(): midnight(newest)}}
    deliver(place.config.metrics, {file_of("copy"): {known.COPY_COMPLETED: {(): time.time()}, **night}})


def _deliver(place: Workplace, command: Command, ending: Values) -> None:
    settings = place.config.metrics
    if settings.pushgateway is None and settings.textfiles is None:
        return
    values, _ = archive_values(place, datetime.now(UTC).date())
    deliver(settings, {ARCHIVE_FILE: values, file_of(command): ending})
