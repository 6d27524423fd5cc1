from luigi.scheduler import Scheduler

from pipeline.rules.fetch_order import fetch_order


def test_buckets_are_given_in_order() -> None:
    assert fetch_order({7: 1, 0: 3, 5: 2}) == [0, 5, 7]


def test_luigi_begins_them_in_the_order_given() -> None:
    """The model of the cluster schedules tasks in this order."""
    scheduler = Scheduler()
    order = [5, 0, 7, 3]
    for bucket in order:
        scheduler.add_task(worker="host", task_id=f"Fetch-{bucket}", family="Fetch", params={"bucket": str(bucket)})
    begun = [scheduler.get_work(worker="host")["task_id"] for _ in order]
    assert begun == [f"Fetch-{bucket}" for bucket in order]
