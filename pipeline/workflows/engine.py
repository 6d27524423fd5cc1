"""Luigi itself: its scheduler and worker, explicitly configured, and one call to run tasks with them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import luigi
from luigi.configuration import get_config
from luigi.interface import _WorkerSchedulerFactory as WorkerSchedulerFactory
from luigi.rpc import RemoteScheduler, RPCError
from luigi.scheduler import Scheduler
from luigi.task_register import Register
from luigi.task_status import FAILED, PENDING, UNKNOWN
from luigi.worker import TaskProcess, Worker

from pipeline.model.errors import PipelineError
from pipeline.model.log import TEXT, TextFormatter
from pipeline.storage.preparation import prepare_process

PING_S = 2.0
WAIT_S = 1.0
CONNECT_S = 10.0
RPC_ATTEMPTS = 5
RPC_PAUSE_S = 6
"""A restart of the luigid within half a minute goes unnoticed."""

STOP_S = 10.0
"""Time in which a task's process must end after it is asked to."""


class SchedulerUnavailable(PipelineError):
    """The luigid does not answer."""

    def __init__(self, scheduler: str) -> None:
        super().__init__(scheduler)
        self.scheduler = scheduler

    def __str__(self) -> str:
        return f"no luigid answers at {self.scheduler}; start it, or leave luigi.scheduler out of the configuration"


class _Worker(Worker):
    """A worker that gives tasks marked ``own_process`` a process of their own and runs all others in this one.

    So Spark starts once and lives in the process that holds the lease, while a fetch task can be ended at any moment
    and frees its memory.

    Args:
        again: retry tasks that the luigid gave up in an earlier run.
    """

    def __init__(self, *, again: bool, **settings: Any) -> None:  # noqa: ANN401 - Luigi's own
        super().__init__(**settings)
        self._anew = again
        self._hopeless = False

    def _create_task_process(self, task: luigi.Task) -> TaskProcess:
        process: TaskProcess = super()._create_task_process(task)
        process.use_multiprocessing = getattr(task, "own_process", False)
        return process

    def _add_task(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Luigi's own
        task_id, status = kwargs["task_id"], kwargs["status"]
        task = self._scheduled_tasks.get(task_id)
        if status == UNKNOWN or (status == FAILED and not getattr(task, "own_process", False)):
            self._hopeless = True  # no other host can run it, so there is nothing to wait for
        elif status == PENDING and kwargs["runnable"] and self._anew:
            self._scheduler.re_enable_task(task_id=task_id)
        super()._add_task(*args, **kwargs)

    def _keep_alive(self, get_work_response: Any) -> bool:  # noqa: ANN401 - Luigi's own
        return not self._hopeless and bool(super()._keep_alive(get_work_response))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for process in self._running_tasks.values():
            if process.is_alive():
                process.join(STOP_S)
            if process.is_alive():
                process.kill()
                process.join()


class ChildSetup:
    """Luigi enters this around every task; in a process of its own it detaches from the parent process.

    The child need not clean up: its files are in the run's scratch folder, and its uploads do not count without a
    manifest. So it ends at once when asked to.
    """

    def __init__(self, process: TaskProcess) -> None:
        self._process = process

    def __enter__(self) -> None:
        if self._process.use_multiprocessing:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends us
            _log_plainly()
            self._process.task.entered_own_process()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def _not_a_lost_line(record: logging.LogRecord) -> bool:
    """Forking ends connections of Spark's other threads; py4j notices, logs a traceback, and reconnects."""
    return record.msg != "Exception while sending command."


def _log_plainly() -> None:
    """Handlers that draw on a terminal have locks that a thread of the parent may have held at the fork."""
    root = logging.getLogger()
    if any(type(handler) is not logging.StreamHandler for handler in root.handlers):
        plain = logging.StreamHandler()
        plain.setFormatter(TextFormatter(TEXT))
        root.handlers[:] = [plain]


class _Factory(WorkerSchedulerFactory):
    """Schedulers and workers whose settings do not depend on a luigi.cfg that happens to be there.

    With the scheduler inside the process, Luigi does not retry a task: errors that a retry may fix are retried where
    they happen, and the next run continues where this one stopped. A luigid retries a task, by its own settings and
    the task's ``retry_count``, because the host that ran it may have died.
    """

    def __init__(self, *, stay: bool, again: bool) -> None:
        self._stay, self._anew = stay, again

    def create_local_scheduler(self) -> Scheduler:
        return Scheduler(prune_on_get_work=True, record_task_history=False, retry_delay=-1.0)

    def create_remote_scheduler(self, url: str) -> RemoteScheduler:
        scheduler = RemoteScheduler(url, connect_timeout=CONNECT_S)
        scheduler._rpc_retry_attempts, scheduler._rpc_retry_wait = RPC_ATTEMPTS, RPC_PAUSE_S
        return scheduler

    def create_worker(
        self, scheduler: Scheduler | RemoteScheduler, worker_processes: int, assistant: bool = False
    ) -> Worker:
        return _Worker(
            again=self._anew,
            scheduler=scheduler,
            worker_processes=worker_processes,
            assistant=assistant,
            keep_alive=self._stay,
            count_uniques=False,
            count_last_scheduled=False,
            wait_interval=WAIT_S,
            wait_jitter=WAIT_S,
            ping_interval=PING_S,
            timeout=0,
            force_multiprocessing=False,
            check_unfulfilled_deps=True,
            check_complete_on_run=True,
            cache_task_completion=False,
            send_failure_email=False,
            task_process_context=f"{__name__}.{ChildSetup.__name__}",
        )


def run_tasks(
    tasks: Sequence[luigi.Task], *, workers: int, scheduler: str | None, stay: bool = True, again: bool = True
) -> bool:
    """Run tasks with all their requirements, as far as possible. Their processes are gone when it returns or raises.

    Args:
        workers: number of tasks at once, for tasks in processes of their own.
        scheduler: host:port of a luigid; None for a scheduler inside this process.
        stay: with a luigid, wait for tasks that this host needs and others run.
        again: retry tasks that the luigid has given up; once per run, by the host that leads it.

    Returns:
        Whether the tasks are complete now.

    Raises:
        SchedulerUnavailable: the luigid does not answer, or no longer does.
    """
    prepare_process()
    logging.getLogger().addFilter(_not_a_lost_line)
    get_config().set("core", "no_configure_logging", "true")
    where = {"local_scheduler": True} if scheduler is None else {"scheduler_url": f"http://{scheduler}"}
    remote = scheduler is not None
    factory = _Factory(stay=stay and remote, again=again and remote)
    try:
        luigi.build(list(tasks), worker_scheduler_factory=factory, workers=workers, no_lock=True, **where)
    except RPCError as error:
        raise SchedulerUnavailable(str(scheduler)) from error
    finally:
        Register.clear_instance_cache()  # otherwise every task of every batch of a backfill stays in memory
    return all(task.complete() for task in tasks)
