"""What a host allows now: one request after another, a number a night, nothing while it is closed. Touches no file.

A host that says so, or does not answer several times in a row, is closed for a while. Then it is half open: one request
probes it, the others wait for the answer, which opens the host or closes it for longer.

Times are seconds since 1970. A clock that was set back moves all times of a state with it.
"""

from __future__ import annotations

from typing import NamedTuple

FIRST_PAUSE_S = 60.0
"""Seconds that a host is closed if it does not say for how long; doubles each time that a probe fails."""

MOST_UNANSWERED = 5
"""Requests in a row without an answer, after which a host is closed."""

STRIKE_EVERY_S = 2.0
"""Requests without an answer within so many seconds count as one: a blip of our own network is no silence of a host."""

MOST_PAUSED_S = 3600.0
"""Seconds of a night that a host may spend closed at its own wish and be waited for."""

PROBE_S = 120.0
"""Seconds after which a probe without an answer counts as lost, with its process."""

_MOST_DOUBLINGS = 16


class HostLimits(NamedTuple):
    """What one machine may ask of a host.

    ``per_second``: requests; ``per_night``: requests, None for any number; ``conversations``: at once; ``closed_s``:
    the longest time that a host may close itself for.
    """

    per_second: float
    per_night: int | None
    conversations: int
    closed_s: float

    def shared_by(self, machines: int) -> HostLimits:
        """The equal share of each machine, rounded down; 0 if there is not enough for all."""
        nightly = None if self.per_night is None else self.per_night // machines
        return self._replace(
            per_second=self.per_second / machines, per_night=nightly, conversations=self.conversations // machines
        )


class HostState(NamedTuple):
    """What is known about a host.

    ``turn_at``: the next request is not sent before; ``closed_until``, ``probe_until``: see above, 0 for never;
    ``closings``: in a row, 0 for a host that is open; ``unanswered``: requests in a row; ``night``: the newest one, as
    an ordinal; ``requests``: of that night; ``silent``: 1 if it was closed because it did not answer, else 0;
    ``seen_at``: the last change; ``struck_at``: the last request without an answer that counted; ``paused_s``: how long
    it was closed in that night.
    """

    turn_at: float = 0.0
    closed_until: float = 0.0
    probe_until: float = 0.0
    seen_at: float = 0.0
    struck_at: float = 0.0
    paused_s: float = 0.0
    closings: int = 0
    unanswered: int = 0
    night: int = 0
    requests: int = 0
    silent: int = 0


class Admitted(NamedTuple):
    """A request may be sent, at this time and not before; it counts, sent or not."""

    at: float


class Closed(NamedTuple):
    """No request may be sent before this time.

    ``silent``: because the host did not answer; ``tiring``: it was closed for very long in this night.
    """

    until: float
    silent: bool = False
    tiring: bool = False


class Probed(NamedTuple):
    """Another request probes the host; ask again when it may have an answer, at this time at the latest."""

    until: float


class Spent(NamedTuple):
    """The requests of the night are spent."""

    requests: int


Answer = Admitted | Closed | Probed | Spent


def admit(state: HostState, limits: HostLimits, night: int, now: float) -> tuple[HostState, Answer]:
    """Whether and when a request may be sent, and the state after that.

    Args:
        night: ordinal of the logical date; requests of an older night count for the newest one seen.
    """
    state = _tonight(_on_this_clock(state, now), night)
    refusal = refuses(state, limits, now)
    if refusal is not None:
        return state, refusal
    at = max(now, state.turn_at)
    probe_until = at + PROBE_S if state.closings else 0.0
    turn_at = at + 1 / limits.per_second
    return state._replace(turn_at=turn_at, probe_until=probe_until, requests=state.requests + 1), Admitted(at)


def look(state: HostState, limits: HostLimits, night: int, now: float) -> Closed | Probed | Spent | None:
    """Why no request may be sent now; None if one may."""
    return refuses(_tonight(_on_this_clock(state, now), night), limits, now)


def refuses(state: HostState, limits: HostLimits, now: float) -> Closed | Probed | Spent | None:
    """The same, for a state of this night and clock."""
    if limits.per_night is not None and state.requests >= limits.per_night:
        return Spent(state.requests)
    if (closed := closed_now(state, limits, now)) is not None:
        return closed
    return Probed(state.probe_until) if state.closings and now < state.probe_until else None


def closed_now(state: HostState, limits: HostLimits, now: float) -> Closed | None:
    """Until when the host is closed; None if it is not."""
    until = min(state.closed_until, now + limits.closed_s)
    return Closed(until, bool(state.silent), state.paused_s > MOST_PAUSED_S) if now < until else None


def answered(state: HostState, now: float) -> HostState:
    """The state after an answer that does not close the host: it is open, unless others have closed it meanwhile."""
    if not state.closings and not state.unanswered:
        return state
    state = _on_this_clock(state, now)._replace(unanswered=0)
    return state if now < state.closed_until else state._replace(closings=0, probe_until=0.0)


def close(state: HostState, limits: HostLimits, wait_s: float | None, now: float) -> HostState:
    """The state after the host has asked for a pause.

    Args:
        wait_s: seconds, if it said how many.
    """
    state = _on_this_clock(state, now)
    closings = state.closings if now < state.closed_until else state.closings + 1  # answers to earlier requests
    doubled = FIRST_PAUSE_S * 2 ** min(max(closings - 1, 0), _MOST_DOUBLINGS)
    until = now + min(max(doubled if wait_s is None else wait_s, 0.0), limits.closed_s)
    longer = max(until - max(now, state.closed_until), 0.0)
    return state._replace(
        closed_until=max(state.closed_until, until), closings=max(closings, 1), probe_until=0.0, unanswered=0, silent=0,
        paused_s=state.paused_s + longer,
    )  # fmt: skip


def unanswered(state: HostState, limits: HostLimits, now: float) -> HostState:
    """The state after a request that got no answer: a lost connection, or none, or silence."""
    state = _on_this_clock(state, now)
    if now < state.closed_until:
        return state
    if not state.closings:
        if now < state.struck_at + STRIKE_EVERY_S:
            return state
        state = state._replace(unanswered=state.unanswered + 1, struck_at=now)
        if state.unanswered < MOST_UNANSWERED:
            return state
    return close(state, limits, None, now)._replace(silent=1)


def _on_this_clock(state: HostState, now: float) -> HostState:
    back = state.seen_at - now
    if back > 0:
        state = state._replace(
            turn_at=state.turn_at - back, closed_until=state.closed_until - back,
            probe_until=state.probe_until - back, struck_at=state.struck_at - back,
        )  # fmt: skip
    return state._replace(seen_at=now)


def _tonight(state: HostState, night: int) -> HostState:
    return state._replace(night=night, requests=0, paused_s=0.0) if night > state.night else state
