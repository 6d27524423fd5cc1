"""List scheduling: tasks in order, each to the thread that is free first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXACT_TASKS = 100_000
"""Tasks at the end of a longer list that are scheduled one by one; those before keep all threads or the driver busy."""


SHORT_S, LONG_S = 10.0, 60.0
"""Seconds between which a task should last: a start is then a small share of it, and little is lost with it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long the tasks of a stage last.

    Attributes:
        shortest_s: the shortest one.
        mean_s: of all.
        short, long: share of tasks that last less than ``SHORT_S``, and more than ``LONG_S``.
    """

    shortest_s: float
    mean_s: float
    short: float
    long: float

    @classmethod
    def of(cls, durations_s: Floats) -> Sizes:
        """Of tasks, not none."""
        return cls(
            float(durations_s.min()),
            float(durations_s.mean()),
            float((durations_s < SHORT_S).mean()),
            float((durations_s > LONG_S).mean()),
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Tasks that run at once, as far as threads allow.

    Attributes:
        tasks: number of tasks.
        work_s: seconds of one thread that all of them need.
        longest_s: the longest task, as the work is cut today.
        indivisible_s: the longest piece that no design could cut: one visit, one row group, one pack that is written.
        makespan_s: from the first task's begin to the last one's end.
        threads: threads of the cluster; the stage may use fewer.
        sizes: of the tasks.
    """

    tasks: int
    work_s: float
    longest_s: float
    indivisible_s: float
    makespan_s: float
    threads: int
    sizes: Sizes

    @property
    def share_s(self) -> float:
        """The time of the work alone, if it were spread evenly."""
        return self.work_s / self.threads

    @property
    def bound_s(self) -> float:
        """No design is faster with these threads."""
        return max(self.share_s, self.indivisible_s)

    @property
    def over_bound(self) -> float:
        """Makespan over its lower bound."""
        return self.makespan_s / self.bound_s

    def then(self, next_: Stage) -> Stage:
        """This stage and one that begins when it has ended, on as many threads."""
        return Stage(
            self.tasks + next_.tasks,
            self.work_s + next_.work_s,
            max(self.longest_s, next_.longest_s),
            self.indivisible_s + next_.indivisible_s,
            self.makespan_s + next_.makespan_s,
            self.threads,
            together([self, next_]),
        )


def together(stages: Sequence[Stage]) -> Sizes:
    """The sizes of the tasks of some stages."""
    tasks = sum(stage.tasks for stage in stages)

    def mean(of: Callable[[Sizes], float]) -> float:
        return sum(stage.tasks * of(stage.sizes) for stage in stages) / tasks

    return Sizes(
        min(stage.sizes.shortest_s for stage in stages),
        mean(lambda sizes: sizes.mean_s),
        mean(lambda sizes: sizes.short),
        mean(lambda sizes: sizes.long),
    )


def run(
    durations_s: Floats,
    threads: int,
    *,
    indivisible_s: float,
    work_s: float | None = None,
    at_once: int | None = None,
    begins_a_second: float = np.inf,
) -> Stage:
    """Schedule tasks.

    Args:
        durations_s: seconds by task, in the order in which they begin; not empty.
        threads: threads of the cluster, by which the lower bound goes.
        indivisible_s: see ``Stage``.
        work_s: what the tasks need without the time in which they wait for one piece; None if they do not.
        at_once: tasks that run at once; None for one per thread.
        begins_a_second: tasks that the driver can begin.
    """
    return Stage(
        len(durations_s),
        float(durations_s.sum()) if work_s is None else work_s,
        float(durations_s.max()),
        indivisible_s,
        makespan_s(durations_s, at_once or threads, begins_a_second),
        threads,
        Sizes.of(durations_s),
    )


def makespan_s(durations_s: Floats, slots: int, begins_a_second: float = np.inf) -> float:
    """Seconds until the last task has ended."""
    first = max(len(durations_s) - EXACT_TASKS, 0)
    before_s = max(float(durations_s[:first].sum()) / slots, first / begins_a_second)
    free = [before_s] * slots
    end_s = before_s
    for number, duration_s in enumerate(durations_s[first:].tolist(), first):
        ends = max(free[0], number / begins_a_second) + duration_s
        heapq.heapreplace(free, ends)
        end_s = max(end_s, ends)
    return end_s


def makespan_of_groups_s(before_s: Sequence[Floats], then_s: Floats, slots: int) -> float:
    """Seconds until the last task has ended, if each waits for its own group of others.

    Of the tasks that wait for nothing, those of the first group begin first, and the one that waited before those of
    later groups.

    Args:
        before_s: seconds by task of each group, in order; may be empty.
        then_s: seconds of the task that waits for a group.
    """
    left = [len(group) for group in before_s]
    ready = [(group, at, seconds) for group, parts in enumerate(before_s) for at, seconds in enumerate(parts, 1)]
    ready += [(group, 0, seconds) for group, seconds in enumerate(then_s) if not left[group]]
    heapq.heapify(ready)
    running: list[tuple[float, int, int]] = []
    now_s = 0.0
    while ready or running:
        while ready and len(running) < slots:
            group, at, seconds = heapq.heappop(ready)
            heapq.heappush(running, (now_s + seconds, group, at))
        now_s, group, at = heapq.heappop(running)
        left[group] -= at > 0
        if at and not left[group]:
            heapq.heappush(ready, (group, 0, float(then_s[group])))
    return now_s
