"""Parts of Luigi that it does not promise and the engine builds on: a version without them fails here, not at night."""

from __future__ import annotations

import inspect

import pytest
from luigi.interface import _WorkerSchedulerFactory
from luigi.parameter import Parameter
from luigi.rpc import RemoteScheduler
from luigi.scheduler import Scheduler
from luigi.worker import TaskProcess, Worker

from pipeline.workflows import engine, task_run


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (Worker, "_create_task_process", ["self", "task"]),
        (Worker, "_add_task", ["self", "args", "kwargs"]),
        (Worker, "_keep_alive", ["self", "get_work_response"]),
        (_WorkerSchedulerFactory, "create_local_scheduler", ["self"]),
        (_WorkerSchedulerFactory, "create_remote_scheduler", ["self", "url"]),
        (_WorkerSchedulerFactory, "create_worker", ["self", "scheduler", "worker_processes", "assistant"]),
        (Parameter, "_warn_on_wrong_param_type", ["self", "param_name", "param_value"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_overridden_is_there(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


@pytest.mark.parametrize(
    ("overriding", "base"),
    [(engine._Worker, Worker), (engine._Factory, _WorkerSchedulerFactory), (task_run.RunParameter, Parameter)],
)
def test_every_private_name_overrides_one_of_luigis(overriding: type, base: type) -> None:
    own = [name for name in vars(overriding) if name.startswith("_") and callable(vars(overriding)[name])]
    assert [name for name in own if not hasattr(base, name)] == []


def test_what_is_read_and_set_is_there() -> None:
    scheduler = Scheduler()
    assert callable(scheduler.re_enable_task)
    worker = Worker(scheduler=scheduler, worker_id="test", keep_alive=False)
    assert worker._scheduled_tasks == worker._running_tasks == {}
    assert worker._scheduler is scheduler
    remote = vars(RemoteScheduler("http://127.0.0.1:1"))
    assert {"_rpc_retry_attempts", "_rpc_retry_wait"} <= remote.keys()
    assert "use_multiprocessing" in inspect.signature(TaskProcess).parameters
    passed = inspect.getsource(Worker)
    assert all(f'kwargs["{name}"]' in passed for name in ("task_id", "status", "runnable"))
