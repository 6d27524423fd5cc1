"""List scheduling, on cases that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cluster import schedule
from cluster.schedule import LONG_S, SHORT_S, Sizes, Stage, makespan_of_groups_s, makespan_s, run


def test_each_task_goes_to_the_thread_that_is_free_first() -> None:
    assert makespan_s(np.array([3.0, 1.0, 1.0, 2.0]), 2) == 4
    assert makespan_s(np.array([1.0, 1.0, 2.0, 3.0]), 2) == 4
    assert makespan_s(np.array([3.0, 2.0, 1.0, 1.0]), 2) == 4


def test_order_matters() -> None:
    short, long = [1.0] * 4, [4.0]
    assert makespan_s(np.array(short + long), 2) == 6
    assert makespan_s(np.array(long + short), 2) == 4


def test_the_driver_begins_so_many_a_second() -> None:
    assert makespan_s(np.full(10, 0.5), 100, begins_a_second=2) == 5.0


def test_a_long_list_is_scheduled_like_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = np.random.default_rng(1).uniform(1, 2, 5_000)
    exact = makespan_s(durations, 20)
    monkeypatch.setattr(schedule, "EXACT_TASKS", 1_000)
    assert makespan_s(durations, 20) == pytest.approx(exact, rel=0.01)


def test_the_bound_is_the_work_or_the_longest_indivisible_piece() -> None:
    even = run(np.full(8, 2.0), 4, indivisible_s=1)
    assert (even.bound_s, even.makespan_s, even.over_bound) == (4, 4, 1)
    assert run(np.full(2, 2.0), 4, indivisible_s=2).bound_s == 2
    waits = run(np.array([9.0, 1.0]), 2, indivisible_s=1, work_s=4)
    assert (waits.bound_s, waits.over_bound) == (2, 4.5)


def test_stages_follow_each_other() -> None:
    both = Stage(2, 8, 4, 1, 5, 2, Sizes(4, 4, 1, 0)).then(Stage(3, 6, 2, 2, 3, 2, Sizes(2, 2, 0, 0.5)))
    assert both == Stage(5, 14, 4, 3, 8, 2, Sizes(2, 2.8, 0.4, 0.3))


def test_tasks_are_counted_that_are_too_short_and_too_long() -> None:
    found = run(np.array([1.0, SHORT_S, LONG_S, 2 * LONG_S, 3 * LONG_S]), 2, indivisible_s=1).sizes
    assert (found.shortest_s, found.short, found.long) == (1, 0.2, 0.4)
    assert found.mean_s == (1 + SHORT_S + 6 * LONG_S) / 5


def test_a_task_waits_for_its_group() -> None:
    none = np.array([])
    assert makespan_of_groups_s([none, none], np.array([2.0, 3.0]), 1) == 5
    assert makespan_of_groups_s([np.array([1.0, 1.0, 1.0])], np.array([2.0]), 3) == 3
    assert makespan_of_groups_s([np.array([1.0, 1.0, 1.0])], np.array([2.0]), 2) == 4
    assert makespan_of_groups_s([np.array([1.0]), np.array([1.0, 1.0])], np.array([5.0, 1.0]), 2) == 6
    assert makespan_of_groups_s([np.array([1.0, 1.0]), np.array([1.0])], np.array([1.0, 5.0]), 2) == 7
