"""The metrics of a run: served while it lasts, delivered when it has ended; and those of a copy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pipeline.context.workplace import Workplace
from pipeline.metrics import known
from pipeline.metrics.archive import archive_values, midnight
from pipeline.metrics.delivery import ARCHIVE_FILE, deliver, file_of
from pipeline.metrics.endpoint import serving
from pipeline.metrics.known import ENDINGS, Command, Values
from pipeline.metrics.live import LiveRun, Run
from pipeline.model.errors import ExitCode, PipelineError, UsageError
from pipeline.workflows.events import EventLog
from pipeline.workflows.loads import Watch


@contextmanager
def served(place: Workplace, run: Run, watch: Watch) -> Iterator[Watch]:
    """Serve the metrics of a run while the block runs, if an endpoint is configured.

    Args:
        watch: shows progress.

    Yields:
        The same, which also follows the run for the endpoint.
    """
    if not place.config.metrics.listen:
        yield watch
        return
    live = LiveRun(run, place.config.fetch.scratch_folder)

    @contextmanager
    def both(events: EventLog) -> Iterator[None]:
        with watch(events), live.watch(events):
            yield

    with serving(place.config.metrics.listen, live.values):
        yield both


@dataclass(slots=True)
class Ending:
    """How a command ended. ``exit_code`` is None if another run has to say it."""

    exit_code: ExitCode | None = None


@contextmanager
def delivering(place: Workplace, command: Command) -> Iterator[Ending]:
    """Deliver the metrics of the archive and of this ending, also of a failure, when the block has ended.

    Not if another run holds the archive, nor if this one was asked for something impossible, nor after an interrupt:
    none is an end of the night, and no later night would take it back.

    Args:
        command: what the block is.
    """
    ending = Ending()
    try:
        yield ending
    except UsageError:
        raise
    except Exception as error:
        ending.exit_code = error.exit_code if isinstance(error, PipelineError) else ExitCode.RUN_FAILED
        raise
    finally:
        code = ending.exit_code
        if code is not None and code is not ExitCode.ARCHIVE_HELD:
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
