"""One conversation's dealings with hosts: it asks before each request, and reports each answer.

Limits come before everything else: a request that may be sent soon waits, one that may not ends the visit as deferred.
A conversation holds the place of one host at a time; a redirect to another host gives the first one back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from pipeline.git.errors import (
    ConnectionFailed,
    ConnectionLost,
    HostClosed,
    OriginTimeout,
    RateLimited,
    RequestsSpent,
    UnknownHost,
)
from pipeline.git.host_file import HostFile
from pipeline.git.hosts import Hosts
from pipeline.git.network import Deadline
from pipeline.model.host import hides, host_name, host_of
from pipeline.rules.asked_wait import asked_wait, closes
from pipeline.rules.host_state import (
    Admitted,
    Answer,
    Closed,
    HostLimits,
    HostState,
    Probed,
    Spent,
    admit,
    answered,
    close,
    closed_now,
    look,
    unanswered,
)

PATIENCE_S = 300.0
"""A host that wants a longer pause is not waited for, and neither is one that does not answer: visits are deferred.

Deferring is so fast that a shorter patience would let a short pause cost a host's whole night."""

SIGN_OF_LIFE_S = 15.0
LOOK_EVERY_S = 0.25
"""Pause between two looks for a free place, or for the answer to a probe: files report no changes."""

UNANSWERED = (UnknownHost, ConnectionFailed, ConnectionLost, OriginTimeout)


class HostTurn:
    """The conversations of one visit with hosts, one after the other.

    Args:
        hosts: the limits.
        url: of the origin or page that is asked for; its host gets the login, no other does.
        deadline: of the visit; it stands still during waits.
        night: ordinal of the logical date, for the requests of a night.
        waits: called at least every ``SIGN_OF_LIFE_S`` during waits.
        logins: what to send as ``Authorization``, by host; default: what git's servers expect.
        judged: an answer that closes no host by its status counts at the end of the conversation only, when its body
            has been read: a host that is half open stays so until then, and a limit that the body tells of is one more.
    """

    def __init__(
        self,
        hosts: Hosts,
        url: str,
        deadline: Deadline,
        night: int = 0,
        waits: Callable[[], None] = lambda: None,
        logins: Mapping[str, str] | None = None,
        *,
        judged: bool = False,
    ) -> None:
        self.url, self.deadline = url, deadline
        self._logins = hosts.logins if logins is None else logins
        self._hosts = hosts
        self._night, self._waits = night, waits
        self._name = ""
        self._limits: HostLimits | None = None
        self._file: HostFile | None = None
        self._judged = judged
        self._wait_s: float | None = None
        self._unheard = self._told = self._unjudged = self._has_strayed = False

    def look_ahead(self) -> None:
        """End the visit before it begins if its host would not be waited for.

        Raises:
            HostClosed, RequestsSpent: it is deferred.
        """
        name = host_of(self.url)
        limits = None if name is None else self._hosts.limits_of(name)
        if name is None or limits is None:
            return
        file = HostFile(self._hosts.folder, name)
        try:
            found = file.change(lambda state, now: (state, look(state, limits, self._night, now)))
        finally:
            file.close()
        self._give_up(name, found)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The conversation; its places are given back at the end, and how it ended is reported."""
        self._has_strayed = False
        try:
            yield
        except UNANSWERED:
            if self._unheard and not self._has_strayed:  # who sent us elsewhere must not close that host for others
                self._change(unanswered)
            raise
        except RateLimited:
            if not self._told:
                self._change(partial(_close, wait_s=self._wait_s if self._unjudged else None))
            self._unjudged = False
            raise
        finally:
            if self._unjudged:
                self._opened()
            self._leave()

    def ask(self, host: str, port: int) -> None:
        """Wait until a request may be sent.

        Raises:
            HostClosed, RequestsSpent: none may be sent soon.
        """
        self._move_to(host_name(host, port))
        file, limits = self._file, self._limits
        if file is None or limits is None:
            return

        def admitted(state: HostState, now: float) -> tuple[HostState, Answer]:
            return admit(state, limits, self._night, now)

        found: Answer | None = file.change(admitted)
        while found is not None:
            self._give_up(self._name, found)
            if isinstance(found, Admitted):
                self._sleep_until(found.at)
                found = file.change(lambda state, now: (state, closed_now(state, limits, now)))  # by others meanwhile
            else:
                now = time.time()
                self._sleep_until(now + LOOK_EVERY_S if isinstance(found, Probed) else found[0], LOOK_EVERY_S)
                found = file.change(admitted)
        self._unheard, self._told = True, False

    def login(self, scheme: str, host: str, port: int) -> str | None:
        """What to send as ``Authorization`` with a request: only to the origin's own host, and not in the clear.

        Once a conversation has left that host, there is none: the other one would choose what our token reads.
        """
        name = host_name(host, port)
        self._has_strayed |= name != host_of(self.url)
        return self._logins.get(name) if hides(scheme, name) and not self._has_strayed else None

    def heard_with(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """A read function whose first bytes are the host's answer."""

        def heard(size: int) -> bytes:
            data = read(size)
            if self._unheard and data:
                self.heard()
            return data

        return heard

    def heard(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """The host has answered; over git:// without a status."""
        self._unheard = False
        if self._file is None:
            return
        self._wait_s = None if headers is None else asked_wait(headers, time.time())
        self._told = closes(status, self._wait_s)
        if self._told:
            self._change(partial(_close, wait_s=self._wait_s))
        elif self._judged:
            self._unjudged = True
        else:
            self._opened()

    def _opened(self) -> None:
        """The host has answered, and may have said that it answers nothing more for a while."""
        self._change(_answered)
        if self._wait_s:
            self._change(partial(_close, wait_s=self._wait_s))

    def _change(self, step: Callable[[HostState, HostLimits, float], HostState]) -> None:
        if self._file is not None and self._limits is not None:
            limits = self._limits
            self._file.change(lambda state, now: (step(state, limits, now), None))

    def _move_to(self, name: str) -> None:
        if name == self._name:
            return
        if self._name:
            self.deadline.hang_up()  # it keeps a redirect's connection open
        self._leave()
        limits = self._hosts.limits_of(name)
        self._name, self._limits = name, limits
        if limits is not None:
            self._file = file = HostFile(self._hosts.folder, name)
            while not file.take_place(limits.conversations):
                self._sleep_until(time.time(), 2 * LOOK_EVERY_S)

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
        self._name, self._file, self._limits, self._unheard = "", None, None, False
        self._unjudged = False

    def _give_up(self, name: str, found: Answer | None) -> None:
        """End the visit if what was found is not worth a wait."""
        if isinstance(found, Spent):
            raise RequestsSpent(f"the {found.requests:,} requests of this night to {name} are spent")
        if isinstance(found, Closed):
            left = found.until - time.time()
            if found.silent or found.tiring or left > PATIENCE_S:
                why = "does not answer" if found.silent else "asked for a pause"
                raise HostClosed(f"{name} {why}, it is left alone for {max(left, 0):,.0f} more seconds")

    def _sleep_until(self, then: float, spread_s: float = 0.0) -> None:
        """Sleep, and up to ``spread_s`` longer, so that not all who wait wake at once."""
        seconds = then - time.time() + random.random() * spread_s  # noqa: S311 - no secret
        if seconds <= 0:
            return
        ends = time.monotonic() + seconds
        with self.deadline.paused():
            while (left := ends - time.monotonic()) > 0:
                time.sleep(min(left, SIGN_OF_LIFE_S))
                self._waits()


def _answered(state: HostState, limits: HostLimits, now: float) -> HostState:
    return answered(state, now)


def _close(state: HostState, limits: HostLimits, now: float, wait_s: float | None) -> HostState:
    return close(state, limits, wait_s, now)
