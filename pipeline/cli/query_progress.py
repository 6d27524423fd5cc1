"""Progress of Spark's work on a query, on a terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark import StatusTracker
from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LOOK_EVERY_S = 0.5


@contextmanager
def query_progress(spark: SparkSession, console: Console) -> Iterator[None]:
    """Draw how many tasks of the running stages are done while the block runs; nothing if nobody watches."""
    if not console.is_terminal:
        yield
        return
    tracker = spark.sparkContext.statusTracker()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Spark", total=None)
        done = threading.Event()

        def draw() -> None:
            while not done.wait(LOOK_EVERY_S):
                finished, tasks = running_tasks(tracker)
                if tasks:
                    bar.update(task, completed=finished, total=tasks)

        drawing = threading.Thread(target=draw, name="query-progress", daemon=True)
        drawing.start()
        try:
            yield
        finally:
            done.set()
            drawing.join()


def running_tasks(tracker: StatusTracker) -> tuple[int, int]:
    """The tasks of the stages that run now: how many are done, and how many there are."""
    found = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    stages = [stage for stage in found if stage is not None]
    return sum(stage.numCompletedTasks for stage in stages), sum(stage.numTasks for stage in stages)
