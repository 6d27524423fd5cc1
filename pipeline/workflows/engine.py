"""Luigi itself: its scheduler and worker, set up on purpose, and one call to run tasks with them."""

from __future__ import annotations

from collections.abc import Sequence

import luigi
from luigi.configuration import get_config
from luigi.interface import _WorkerSchedulerFactory as WorkerSchedulerFactory
from luigi.rpc import RemoteScheduler
from luigi.scheduler import Scheduler
from luigi.worker import Worker

PING_S = 5.0
WAIT_S = 1.0
CONNECT_S = 10.0


class _Factory(WorkerSchedulerFactory):
    """Schedulers and workers whose settings do not depend on a luigi.cfg that happens to lie about.

    A task is not tried again by Luigi: errors that a retry may help are retried where they happen, and the next run
    goes on where this one stopped.
    """

    def __init__(self, *, stay: bool) -> None:
        self._stay = stay

    def create_local_scheduler(self) -> Scheduler:
        return Scheduler(prune_on_get_work=True, record_task_history=False, retry_count=1)

    def create_remote_scheduler(self, url: str) -> RemoteScheduler:
        return RemoteScheduler(url, connect_timeout=CONNECT_S)

    def create_worker(
        self, scheduler: Scheduler | RemoteScheduler, worker_processes: int, assistant: bool = False
    ) -> Worker:
        return Worker(
            scheduler=scheduler,
            worker_processes=worker_processes,
            assistant=assistant,
            keep_alive=self._stay,
            wait_interval=WAIT_S,
            ping_interval=PING_S,
            check_complete_on_run=True,
        )


def run_tasks(tasks: Sequence[luigi.Task], *, workers: int, scheduler: str | None, stay: bool = True) -> bool:
    """Run tasks with all that they require, as far as that goes.

    Args:
        workers: tasks at once, each in a process of its own if over 1.
        scheduler: host:port of a luigid; None for one inside this process.
        stay: with a luigid, wait for what other hosts do and this one needs.

    Returns:
        Whether the tasks are complete now.
    """
    get_config().set("core", "no_configure_logging", "true")
    where = {"local_scheduler": True} if scheduler is None else {"scheduler_url": f"http://{scheduler}"}
    factory = _Factory(stay=stay and scheduler is not None)
    luigi.build(list(tasks), worker_scheduler_factory=factory, workers=workers, no_lock=True, **where)
    return all(task.complete() for task in tasks)
