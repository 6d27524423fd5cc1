"""What every Luigi task of a run needs, passed to the tasks as one hidden parameter."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar
from weakref import WeakValueDictionary

import luigi
from luigi.parameter import ParameterVisibility
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from pipeline.context.run import Run
from pipeline.model.errors import PipelineError
from pipeline.model.redact import without_secrets
from pipeline.tables.failures import plain_failures
from pipeline.workflows.events import EventLog

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TaskRun(Run):
    """A run and the file to which its tasks report, for one load or one job."""

    events: EventLog

    @classmethod
    def of(cls, run: Run, label: str) -> TaskRun:
        """The run with an event file of its own."""
        events = EventLog(run.scratch / f"{label}.jsonl")
        return cls(run.config, run.storage, run.run_id, run.check_lease, run.scratch, events)

    def retrying(self, work: Callable[[], T]) -> T:
        """Do the work; repeat it after a pause as long as the error's type says that this may help."""
        settings = self.config.luigi

        def once() -> T:
            with plain_failures(self.storage.root_uri):
                return work()

        attempts = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, PipelineError) and e.retryable),
            stop=stop_after_attempt(settings.attempts),
            wait=wait_exponential(multiplier=settings.first_pause_s),
            before_sleep=_say_again,
            reraise=True,
        )
        return attempts(once)


def _say_again(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    logger.warning(
        "attempt %d failed, the next one begins in %.1f s: %s", state.attempt_number, state.upcoming_sleep, error
    )


_RUNS: WeakValueDictionary[str, TaskRun] = WeakValueDictionary()


class RunParameter(luigi.Parameter):
    """Carries the TaskRun; not part of a task's identity. Luigi itself passes on a name of it."""

    def __init__(self) -> None:
        super().__init__(significant=False, visibility=ParameterVisibility.HIDDEN)

    def normalize(self, x: TaskRun | str) -> TaskRun:
        """The run; if Luigi rebuilt a task from strings, it is found by its name in this process."""
        return _RUNS[x] if isinstance(x, str) else x

    def serialize(self, x: TaskRun) -> str:
        """The run's id, and its label: a run may have several, with a file of events each."""
        name = f"{x.run_id} {x.events.path.stem}"
        _RUNS[name] = x
        return name

    def _warn_on_wrong_param_type(self, param_name: str, param_value: object) -> None:
        if not isinstance(param_value, TaskRun):
            raise TypeError(f"{param_name} must be a TaskRun")


class RunTask(luigi.Task):
    """A task of a run.

    Attributes:
        own_process: it runs in a process of its own.
    """

    run_object = RunParameter()

    own_process: ClassVar[bool] = False
    retry_count = 3
    """Times that a luigid hands out a task: more than one, because a host may die with the task."""

    def on_failure(self, exception: BaseException) -> str:
        """Keep the error for the caller of the run; Luigi only keeps its text."""
        self.run_object.events.error(str(self.task_id), exception)
        return without_secrets(str(super().on_failure(exception)))

    def entered_own_process(self) -> None:
        """Called first in a process of its own: it must not share connections with its parent process."""
        run = self.run_object
        self.run_object = replace(run, storage=copy.copy(run.storage))


@RunTask.event_handler(luigi.Event.PROCESS_FAILURE)  # type: ignore[untyped-decorator] # Luigi has no types here
def _note_killed(task: RunTask, message: str) -> None:
    task.run_object.events.error(str(task.task_id), RuntimeError(f"{message}, killed (out of memory, or manually)"))
