"""The model of the cluster schedules fetch tasks in the order in which they are given to Luigi."""

from __future__ import annotations

from pipeline.workflows.engine import _Factory


def test_luigi_begins_tasks_in_the_order_given() -> None:
    scheduler = _Factory(stay=False, again=False).create_local_scheduler()
    order = [5, 0, 7, 3]
    for bucket in order:
        scheduler.add_task(worker="host", task_id=f"Fetch-{bucket}", family="Fetch", params={"bucket": str(bucket)})
    begun = [scheduler.get_work(worker="host")["task_id"] for _ in order]
    assert begun == [f"Fetch-{bucket}" for bucket in order]
