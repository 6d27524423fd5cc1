import pytest

from pipeline.model.origin import OriginState
from pipeline.model.visit import VisitStatus
from pipeline.rules.origins import (
    FAILURES_THAT_MATTER,
    GONE_AFTER,
    VisitOutcome,
    is_gone_unlisted,
    outcome_of_visit,
    rules,
)

ACTIVE, GONE = OriginState.ACTIVE, OriginState.GONE


@pytest.mark.parametrize("status", [VisitStatus.UNCHANGED, VisitStatus.FULL, VisitStatus.PARTIAL])
def test_a_good_visit_makes_up_for_all_failures(status: VisitStatus) -> None:
    after = outcome_of_visit(GONE, 40, was_not_found=True, status=status)
    assert (after.state, after.failures, after.wait_days) == (ACTIVE, 0, 1)


def test_waits_grow_to_a_week() -> None:
    waits = [outcome_of_visit(ACTIVE, n, was_not_found=False, status=VisitStatus.FAILED).wait_days for n in range(6)]
    assert waits == [1, 2, 4, 7, 7, 7]


@pytest.mark.parametrize(
    ("failures", "was_not_found", "status", "state"),
    [
        (GONE_AFTER - 1, True, VisitStatus.NOT_FOUND, GONE),
        (GONE_AFTER - 2, True, VisitStatus.NOT_FOUND, ACTIVE),
        (GONE_AFTER, False, VisitStatus.NOT_FOUND, ACTIVE),
        (GONE_AFTER, True, VisitStatus.FAILED, ACTIVE),
    ],
)
def test_gone_takes_the_servers_word_twice(
    failures: int, was_not_found: bool, status: VisitStatus, state: OriginState
) -> None:
    assert outcome_of_visit(ACTIVE, failures, was_not_found=was_not_found, status=status).state is state


def test_a_gone_origin_stays_gone_while_it_fails_and_is_asked_once_a_month() -> None:
    after = outcome_of_visit(GONE, 9, was_not_found=True, status=VisitStatus.FAILED)
    assert (after.state, after.wait_days) == (GONE, 30)


@pytest.mark.parametrize(
    ("state", "last_error", "expected"),
    [
        (ACTIVE, "login_required", True),
        (ACTIVE, "timeout", False),
        (ACTIVE, None, False),
        (GONE, "login_required", False),
        (OriginState.PAUSED, "login_required", False),
        (OriginState.OPTED_OUT, "login_required", False),
    ],
)
def test_listings_say_what_is_gone_where_the_server_hides_it(
    state: OriginState, last_error: str | None, expected: bool
) -> None:
    assert is_gone_unlisted(state, last_error) is expected


@pytest.mark.parametrize("status", [VisitStatus.REFUSED, VisitStatus.FAILED])
def test_such_an_origin_stays_gone_until_a_visit_ends_well(status: VisitStatus) -> None:
    assert outcome_of_visit(GONE, 1, was_not_found=False, status=status) == VisitOutcome(GONE, 2, 30)
    assert outcome_of_visit(GONE, 2, was_not_found=False, status=VisitStatus.FULL) == VisitOutcome(ACTIVE, 0, 1)


@pytest.mark.parametrize("state", [OriginState.PAUSED, OriginState.OPTED_OUT])
def test_what_people_decided_stays(state: OriginState) -> None:
    for status in VisitStatus:
        assert outcome_of_visit(state, 9, was_not_found=True, status=status).state is state


def test_the_table_of_rules_is_complete_where_failures_matter() -> None:
    table = {(r.state, r.failures, r.was_not_found, r.status): (r.new_state, r.wait_days) for r in rules()}
    for (state, failures, was_not_found, status), row in table.items():
        for more in (failures, *([failures + 1, failures + 50] if failures == FAILURES_THAT_MATTER else [])):
            after = outcome_of_visit(OriginState(state), more, was_not_found=was_not_found, status=VisitStatus(status))
            assert (after.state, after.wait_days) == row
