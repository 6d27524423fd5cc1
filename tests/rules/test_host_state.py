"""A host is never asked for more than its limits, and is left alone while it is closed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules.host_state import (
    FIRST_PAUSE_S,
    MOST_PAUSED_S,
    MOST_UNANSWERED,
    PROBE_S,
    STRIKE_EVERY_S,
    Admitted,
    Closed,
    HostLimits,
    HostState,
    Probed,
    Spent,
    admit,
    answered,
    close,
    look,
    unanswered,
)

NOW = 1_800_000_000.0
NIGHT = 740_000
LIMITS = HostLimits(per_second=2.0, per_night=None, conversations=3, closed_s=3600.0)

seconds = st.floats(0, 10_000, allow_nan=False)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), seconds),
        st.tuples(st.just("answer"), seconds),
        st.tuples(st.just("wait"), st.one_of(st.none(), seconds)),
        st.tuples(st.just("unanswered"), seconds),
        st.tuples(st.just("pause"), seconds),
    ),
    max_size=60,
)
limits = st.builds(
    HostLimits,
    per_second=st.floats(0.01, 1000),
    per_night=st.one_of(st.none(), st.integers(0, 20)),
    conversations=st.integers(1, 9),
    closed_s=st.floats(0, 5000),
)


def walk(some: list[tuple[str, Any]], limit: HostLimits) -> list[Any]:
    """The answer to every question of a run."""
    state, now, asked = HostState(), NOW, []
    for what, value in some:
        if what == "pause":
            now += value
        elif what == "ask":
            state, answer = admit(state, limit, NIGHT, now)
            asked.append(answer)
        elif what == "answer":
            state = answered(state, now)
        elif what == "wait":
            state = close(state, limit, value, now)
        else:
            state = unanswered(state, limit, now)
    return asked


@given(steps, limits)
def test_requests_keep_their_distance(some: list[tuple[str, Any]], limit: HostLimits) -> None:
    sent = [answer.at for answer in walk(some, limit) if isinstance(answer, Admitted)]
    for first, second in pairwise(sent):
        assert second - first >= 1 / limit.per_second - 1e-5


@given(steps, limits)
def test_no_more_than_a_night_allows(some: list[tuple[str, Any]], limit: HostLimits) -> None:
    answers = walk(some, limit)
    if limit.per_night is not None:
        assert sum(isinstance(answer, Admitted) for answer in answers) <= limit.per_night


@given(steps, limits)
def test_a_closed_host_is_left_alone_and_not_for_ever(some: list[tuple[str, Any]], limit: HostLimits) -> None:
    state, now, closed_until = HostState(), NOW, NOW
    for what, value in some:
        if what == "pause":
            now += value
        elif what == "wait":
            state = close(state, limit, value, now)
            closed_until = max(closed_until, now + min(FIRST_PAUSE_S if value is None else value, limit.closed_s))
        elif what == "answer":
            state = answered(state, now)
        elif what == "unanswered":
            state = unanswered(state, limit, now)
        else:
            state, answer = admit(state, limit, NIGHT, now)
            assert not isinstance(answer, Admitted) or now >= closed_until
            assert not isinstance(answer, Closed) or now < answer.until <= now + limit.closed_s


@given(steps, limits)
def test_a_half_open_host_gets_one_request(some: list[tuple[str, Any]], limit: HostLimits) -> None:
    probing_since: float | None = None
    state, now = HostState(), NOW
    for what, value in some:
        if what == "pause":
            now += value
        elif what == "ask":
            was_half_open = state.closings > 0
            state, answer = admit(state, limit, NIGHT, now)
            if isinstance(answer, Admitted) and was_half_open:
                assert probing_since is None or now >= probing_since + PROBE_S
                probing_since = answer.at
        elif what == "answer":
            state, probing_since = answered(state, now), None
        elif what == "wait":
            state, probing_since = close(state, limit, value, now), None
        else:
            state, probing_since = unanswered(state, limit, now), None


def test_a_pause_that_was_asked_for_is_kept_and_capped() -> None:
    state = close(HostState(), LIMITS, 300, NOW)
    assert admit(state, LIMITS, NIGHT, NOW + 299)[1] == Closed(NOW + 300)
    assert isinstance(admit(state, LIMITS, NIGHT, NOW + 300)[1], Admitted)
    assert admit(close(HostState(), LIMITS, 10**9, NOW), LIMITS, NIGHT, NOW)[1] == Closed(NOW + 3600)


def test_pauses_without_a_length_double_once_for_all_answers_of_a_time() -> None:
    state = HostState()
    for _ in range(8):  # conversations that were open when it began
        state = close(state, LIMITS, None, NOW)
    assert state.closed_until == NOW + FIRST_PAUSE_S
    state, _ = admit(state, LIMITS, NIGHT, state.closed_until)
    now = state.seen_at
    state = close(state, LIMITS, None, now)
    assert state.closed_until == now + 2 * FIRST_PAUSE_S


def test_a_host_that_does_not_answer_is_probed_and_opens() -> None:
    state, now = HostState(), NOW
    for _ in range(MOST_UNANSWERED):
        now += STRIKE_EVERY_S
        assert look(state, LIMITS, NIGHT, now) is None
        for _ in range(3):  # a blip
            state = unanswered(state, LIMITS, now)
    assert look(state, LIMITS, NIGHT, now) == Closed(now + FIRST_PAUSE_S, silent=True)
    now += FIRST_PAUSE_S
    state, probe = admit(state, LIMITS, NIGHT, now)
    assert isinstance(probe, Admitted)
    assert isinstance(admit(state, LIMITS, NIGHT, now)[1], Probed)
    worse = unanswered(state, LIMITS, now)
    assert look(worse, LIMITS, NIGHT, now) == Closed(now + 2 * FIRST_PAUSE_S, silent=True)
    assert look(answered(state, now), LIMITS, NIGHT, now) is None


def test_a_host_that_answers_each_request_with_a_pause_tires() -> None:
    state, now = HostState(), NOW
    for _ in range(20):
        state, answer = admit(state, LIMITS, NIGHT, now)
        assert isinstance(answer, Admitted)
        state = close(answered(state, now), LIMITS, 299, now)
        assert look(state, LIMITS, NIGHT, now) == Closed(now + 299, tiring=now + 299 - NOW > MOST_PAUSED_S)
        now = state.closed_until
    state, answer = admit(state, LIMITS, NIGHT + 1, now)
    assert isinstance(answer, Admitted)
    assert state.paused_s == 0, "the next night begins anew"


def test_one_answer_in_between_and_nothing_is_closed() -> None:
    state = HostState()
    for _ in range(3 * MOST_UNANSWERED):
        state = unanswered(answered(state, NOW), LIMITS, NOW)
    assert look(state, LIMITS, NIGHT, NOW) is None


def test_an_answer_to_an_earlier_request_does_not_open_a_closed_host() -> None:
    state = answered(close(HostState(), LIMITS, 300, NOW), NOW + 1)
    assert look(state, LIMITS, NIGHT, NOW + 1) == Closed(NOW + 300)


def test_a_night_has_its_own_requests() -> None:
    few = LIMITS._replace(per_night=2)
    state = HostState()
    for _ in range(2):
        state, answer = admit(state, few, NIGHT, NOW)
        assert isinstance(answer, Admitted)
    assert admit(state, few, NIGHT, NOW)[1] == Spent(2)
    assert admit(state, few, NIGHT - 1, NOW)[1] == Spent(2), "an older night has no requests of its own"
    assert isinstance(admit(state, few, NIGHT + 1, NOW)[1], Admitted)


@given(steps, limits, st.floats(1, 10**8))
def test_a_clock_set_back_changes_no_wait(some: list[tuple[str, Any]], limit: HostLimits, back: float) -> None:
    state, now = HostState(), NOW
    for what, value in some:
        now += value if what == "pause" else 0
        if what == "ask":
            state, _ = admit(state, limit, NIGHT, now)
        elif what == "wait":
            state = close(state, limit, value, now)
    state = state._replace(seen_at=now)
    answer, later = admit(state, limit, NIGHT, now)[1], admit(state, limit, NIGHT, now - back)[1]
    assert type(answer) is type(later)
    if not isinstance(answer, Spent):
        assert abs((answer[0] - now) - (later[0] - (now - back))) < 1e-3


@given(limits, st.integers(1, 50))
def test_shares_are_never_more_than_the_whole(limit: HostLimits, machines: int) -> None:
    share = limit.shared_by(machines)
    assert share.per_second * machines <= limit.per_second * (1 + 1e-9)
    assert share.conversations * machines <= limit.conversations
    assert limit.per_night is None or (share.per_night or 0) * machines <= limit.per_night
