"""Visits by host: right sums, in a bounded size."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from pipeline.model.host_counts import HOSTS_COUNTED, HOSTS_SHOWN, OTHER, HostCounts
from pipeline.model.visit import VisitStatus
from pipeline.model.visit_counts import ListedVisit, count_visits, sum_counts

FULL, FAILED = VisitStatus.FULL, VisitStatus.FAILED


def test_hosts_by_status() -> None:
    counts = HostCounts()
    for origin, status in (("https://B.org/x", FULL), ("git://b.org/y", FAILED), ("https://a.org:8443/z", FULL)):
        counts.add(origin, status, 1.5)
    assert counts.seconds() == {"a.org:8443": 1.5, "b.org": 3.0}
    assert counts.most() == {"a.org:8443": {FULL: 1}, "b.org": {FAILED: 1, FULL: 1}}


def test_hosts_with_most_visits_are_told_apart_and_no_visit_is_lost() -> None:
    counts = HostCounts()
    for number in range(10_000):
        counts.add(f"https://h{number}.example/x", FAILED, 1)
    for _ in range(3):
        counts.add("https://known.example/x", FULL, 2)
    found = counts.most()
    assert len(found) == HOSTS_SHOWN + 1
    assert found["known.example"] == {FULL: 3}
    assert found[OTHER] == {FAILED: 10_000 - (HOSTS_SHOWN - 1)}
    assert sum(sum(statuses.values()) for statuses in found.values()) == 10_003
    assert list(counts.seconds()) == list(found)
    assert counts.seconds()["known.example"] == 6
    assert sum(counts.seconds().values()) == 10_006


@pytest.mark.slow
def test_memory_does_not_grow_with_hosts() -> None:
    counts = HostCounts()
    counts.add("https://early.example/x", FULL)
    peaks = []
    tracemalloc.start()
    for turn in range(3):
        for number in range(2 * HOSTS_COUNTED):
            counts.add(f"https://h{turn}-{number}.example/x", FAILED)
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[0]
    assert sum(counts.most()[OTHER].values()) == 6 * HOSTS_COUNTED + 1 - HOSTS_SHOWN


def test_a_host_that_comes_late_is_told_apart() -> None:
    counts = HostCounts()
    for number in range(3 * HOSTS_COUNTED):
        counts.add(f"https://h{number}.example/x", FAILED)
        if number % 100 == 99 and number > HOSTS_COUNTED:
            counts.add("https://late.example/x", FULL)
    found = counts.most()["late.example"][FULL]
    assert found == 2 * HOSTS_COUNTED // 100


@pytest.mark.parametrize(
    "origin", ["file:///a/b", "git@h:a.git", "https://[::1/x", "https://h\u00f6st/x", f"https://{'h' * 300}.org/x", 'http://a"\n}/x']
)  # fmt: skip
def test_what_is_no_name_of_a_host_is_no_label(origin: str) -> None:
    counts = HostCounts()
    counts.add(origin, FULL)
    assert counts.most() == {OTHER: {FULL: 1}}


def test_parts_add_up() -> None:
    def part(hosts: int) -> list[ListedVisit]:
        return [
            ListedVisit(
                origin=f"https://h{number % hosts}.example/{number}", status=FULL, error=None, detail=None,
                pack_bytes=0, objects=0, duration_s=0.25,
            )
            for number in range(1000)
        ]  # fmt: skip

    parts = [count_visits(part(hosts)) for hosts in (10, 1000)]
    whole = sum_counts(parts)
    assert [len(counts.hosts) for counts in (*parts, whole)] == [10, HOSTS_SHOWN + 1, HOSTS_SHOWN + 1]
    assert sum(sum(statuses.values()) for statuses in whole.hosts.values()) == 2000
    assert whole.hosts["h1.example"][FULL] >= 100
    assert whole.host_seconds["h1.example"] >= 25
    assert sum(whole.host_seconds.values()) == 500
    assert len(json.dumps(whole.model_dump(mode="json")["hosts"])) < 4000
