"""Which origin a worker is given next: networks, the due origins in each, and how far a task has come with them.

The origins of a network are visited in their order, one at a time, by a worker that holds the network: each visit knows
what those before it have landed. The other workers ask origins behind it for their refs: if these are unchanged, the
visit has ended. Otherwise the origin waits for its place in the order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.rules.kinship import Tips
from pipeline.rules.ref_digest import DIGEST_BYTES, UNKNOWN

_OPEN, _BUSY, _CHANGED, _ENDED = range(4)


class DueNetwork:
    """The due origins of a network.

    Args:
        place: the network's place in the plan.
        network: its id.
        due: URLs in the order of their visits.

    Attributes:
        landed: ids that ended visits landed, 20 bytes each.
        tips: by URL what origins show that were asked whether they show nothing.
    """

    def __init__(self, place: int, network: int, due: Sequence[str]) -> None:
        self.place, self.network, self.due = place, network, due
        self.landed: list[bytes] = []
        self.tips: dict[str, Tips] = {}
        self._digests = b""
        self._states = bytearray(len(due))
        self._first = self._ahead = 0

    @property
    def is_done(self) -> bool:
        """Whether all visits have ended."""
        return self._first == len(self.due)

    def surveyed(self, digests: bytes) -> None:
        """Record the digests of the origins' planned refs, in their order: now they can be asked.

        Raises:
            ValueError: there is not one for each.
        """
        if len(digests) != DIGEST_BYTES * len(self.due):
            raise ValueError(f"{len(digests)} bytes of digests for {len(self.due)} origins")
        self._digests = digests

    def to_visit(self) -> Errand | None:
        """The visit of the first origin that has not ended, unless that one is busy."""
        if self.is_done or self._states[self._first] == _BUSY:
            return None
        return Errand(self, self._first)

    def to_ask(self) -> Errand | None:
        """A question to the next origin that nobody has visited or asked, if its planned refs are known."""
        while self._digests and self._ahead < len(self.due):
            digest = self._digests[self._ahead * DIGEST_BYTES : (self._ahead + 1) * DIGEST_BYTES]
            if self._states[self._ahead] == _OPEN and digest != UNKNOWN:
                return Errand(self, self._ahead, digest)
            self._ahead += 1
        return None

    def begin(self, index: int) -> None:
        """An origin is now visited or asked."""
        self._states[index] = _BUSY

    def must_be_visited(self, index: int, tips: Tips | None = None) -> None:
        """A question found changed refs, and where they lead if it was asked for that."""
        self._states[index] = _CHANGED
        if tips is not None:
            self.tips[self.due[index]] = tips

    def changed(self) -> list[str]:
        """Origins that must be visited because a question found changed refs."""
        return [url for url, state in zip(self.due, self._states, strict=True) if state == _CHANGED]

    def end(self, index: int) -> None:
        """The visit of an origin has ended, however it did."""
        self._states[index] = _ENDED
        while not self.is_done and self._states[self._first] == _ENDED:
            self._first += 1


@dataclass(frozen=True, slots=True)
class Errand:
    """What a worker does next: ask an origin whether its refs still have this digest; without one, visit it."""

    network: DueNetwork
    index: int
    digest: bytes | None = None

    @property
    def url(self) -> str:
        """The origin."""
        return self.network.due[self.index]

    @property
    def is_visit(self) -> bool:
        """Whether it is a visit."""
        return self.digest is None


class ToDo(Protocol):
    """What workers do next."""

    def next(self, held: DueNetwork | None) -> Errand | None:
        """An errand for a free worker that holds this network, which begins now; None if there is none at present."""

    def let_go(self, network: DueNetwork) -> None:
        """The worker that holds a network no longer does."""


class Agenda:
    """All visits of a bucket. Free workers take up networks that nobody holds; only when there are none, they ask.

    So a network whose origins answer slowly cannot keep all workers from the others.
    """

    def __init__(self, networks: Iterable[DueNetwork]) -> None:
        self._begun: list[DueNetwork] = []
        self._not_held = deque(network for network in networks if network.due)

    def next(self, held: DueNetwork | None) -> Errand | None:
        """An errand for a free worker, which begins now; None if there is none at present.

        A worker that gets a visit holds its network from then on. If it held another, it has let go of that.

        Args:
            held: the network that the worker holds.
        """
        if held is None or held.is_done:
            errand = self._take_up(None) or self._question()
        else:
            errand = held.to_visit() or self._question() or self._take_up(held)
        if errand is not None:
            errand.network.begin(errand.index)
        return errand

    def let_go(self, network: DueNetwork) -> None:
        """The worker that holds a network no longer does; another one will."""
        if not network.is_done:
            self._not_held.appendleft(network)

    def _question(self) -> Errand | None:
        self._begun = [network for network in self._begun if not network.is_done]
        return next((errand for network in self._begun if (errand := network.to_ask())), None)

    def _take_up(self, held: DueNetwork | None) -> Errand | None:
        """A visit of a network that nobody holds; those that a worker has let go of come first."""
        for at, network in enumerate(self._not_held):
            if (errand := network.to_visit()) is not None:
                del self._not_held[at]
                if network not in self._begun:
                    self._begun.append(network)
                if held is not None:
                    self.let_go(held)
                return errand
        return None


class Questions:
    """Questions alone: an origin that must be visited is left to others.

    Args:
        networks: networks whose digests are known.
    """

    def __init__(self, networks: Iterable[DueNetwork]) -> None:
        self._left = deque(networks)

    def next(self, held: DueNetwork | None) -> Errand | None:
        """The next question; no worker holds anything."""
        while self._left:
            if (errand := self._left[0].to_ask()) is not None:
                errand.network.begin(errand.index)
                return errand
            self._left.popleft()
        return None

    def let_go(self, network: DueNetwork) -> None:
        """Nothing to do."""
