"""Which origins a backfill visits, and in which batches."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.model.origin import Origin, OriginState
from pipeline.model.visit import VisitStatus
from pipeline.night.plan import LastVisit
from pipeline.workflows.backfill_choice import choose, in_batches

ACTIVE = OriginState.ACTIVE


def origin(name: str) -> Origin:
    return Origin(f"https://example.org/{name}")


NEW, ADDED, GOOD, FAILED, GONE, PAUSED = map(origin, ("new", "added", "good", "failed", "gone", "paused"))
ALL = [NEW, ADDED, GOOD, FAILED, GONE, PAUSED]
KNOWN = {
    ADDED.url: LastVisit(ACTIVE, None),
    GOOD.url: LastVisit(ACTIVE, VisitStatus.UNCHANGED),
    FAILED.url: LastVisit(ACTIVE, VisitStatus.FAILED),
    GONE.url: LastVisit(OriginState.GONE, VisitStatus.NOT_FOUND),
    PAUSED.url: LastVisit(OriginState.PAUSED, None),
}


def test_what_has_no_visit_is_visited() -> None:
    choice = choose(ALL, KNOWN, retry_failed=False)
    assert choice.visit == [NEW, ADDED]
    assert choice.passed == {"unchanged": 1, "failed": 1, "not_found": 1, "paused": 1}


def test_what_failed_is_visited_again_if_asked() -> None:
    choice = choose(ALL, KNOWN, retry_failed=True)
    assert choice.visit == [NEW, ADDED, FAILED]
    assert choice.passed == {"unchanged": 1, "not_found": 1, "paused": 1}


def test_what_people_paused_is_left_alone_even_if_it_failed() -> None:
    known = {GOOD.url: LastVisit(OriginState.OPTED_OUT, VisitStatus.FAILED)}
    choice = choose([GOOD], known, retry_failed=True)
    assert (choice.visit, choice.passed) == ([], {"opted_out": 1})


def test_batches_take_no_more_than_they_hold() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(5):
            taken.append(number)
            yield number

    batches = in_batches(items(), 2)
    assert next(batches) == [0, 1]
    assert taken == [0, 1]
    assert list(batches) == [[2, 3], [4]]
    assert list(in_batches([], 2)) == []
