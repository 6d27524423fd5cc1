"""What is common to all masters."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j has no types

from pipeline.rules.offer import Offer
from pipeline.tables.masters.errors import NoResources

logger = logging.getLogger(__name__)

SAY_AFTER_S = 10.0
"""How long a wait goes without a word."""

POLL_S = 0.2


class Master:
    """A master that cannot be asked anything; those that can override what they can.

    Args:
        url: as in ``spark.master``.
        asked: what the application asks for, in words.
        wait_s: how long it waits for it.
    """

    def __init__(self, url: str, asked: str, wait_s: float) -> None:
        self.url, self.asked, self.wait_s = url, asked, wait_s

    @property
    def say_after_s(self) -> float:
        """When to say that resources are awaited, in seconds from the start of the wait."""
        return min(SAY_AFTER_S, self.wait_s / 2)

    def offer(self) -> Offer | None:
        """What the nodes offer now; None if the master does not say."""
        return None

    def first_offer(self) -> Offer | None:
        """The same, as soon as there is a node: those of a cluster that starts register one after the other.

        Raises:
            NoResources: none did within ``wait_s``.
        """
        wait = Wait(self)
        while (offer := self.offer()) is not None and not offer.nodes:
            wait.check()
            time.sleep(POLL_S)
        return offer

    def offered(self) -> str:
        """The same in words, for messages: a master that does not answer now is no other error."""
        try:
            offer = self.offer()
        except Py4JError as error:
            logger.debug("%s does not answer", self.url, exc_info=error)
            offer = None
        return "it does not say" if offer is None else str(offer)

    def ended_executors(self, application: str) -> int:
        """How many executors of an application have ended; 0 if the master does not say."""
        return 0

    def why_executors_died(self, application: str) -> str:
        """Why executors of an application ended, in words."""
        return f"look into the logs of application {application}"

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Watch over the block in which the session is opened, which may itself wait for resources.

        Raises:
            NoResources: the block waited too long.
        """
        yield

    def tell_wait(self) -> None:
        """Say that resources are awaited: what was asked for, and what there is."""
        logger.warning(
            "waiting for resources of %s. Asked for: %s. It has: %s. Gives up after %g s (spark.wait_s)",
            self.url,
            self.asked,
            self.offered(),
            self.wait_s,
        )


class Wait:
    """A wait for a master's resources, which begins now."""

    def __init__(self, master: Master) -> None:
        self._master, self._began, self._told = master, time.monotonic(), False

    def check(self) -> None:
        """Say once that resources are awaited, if that takes long.

        Raises:
            NoResources: there were none in time.
        """
        master, waited = self._master, time.monotonic() - self._began
        if waited > master.wait_s:
            raise NoResources(master.url, master.asked, master.offered(), master.wait_s)
        if not self._told and waited > master.say_after_s:
            self._told = True
            master.tell_wait()
