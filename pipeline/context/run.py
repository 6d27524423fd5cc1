"""A run: it holds the archive for a while, with one lease and one scratch folder."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pipeline.context.config import Config
from pipeline.context.workplace import Workplace
from pipeline.git.host_file import UNUSED_S
from pipeline.model.layout import LEASE
from pipeline.model.log import all_about
from pipeline.storage.errors import LeaseLost
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.lease_record import ArchiveHeld
from pipeline.storage.scratch import delete_untouched, locked_folder
from pipeline.tables.writer import Writer

logger = logging.getLogger(__name__)

BRIEFLY = "briefly"
"""Last word of the purpose of runs that hold the archive for one commit; everybody waits for them."""

LOOK_EVERY_S = 1.0
"""Pause between two looks at a lease that another run holds."""


@dataclass(frozen=True, eq=False)
class Run(Workplace):
    """One run. Hashes by identity.

    Attributes:
        check_lease: raises ``LeaseLost`` if this run may no longer write.
        scratch: local folder of this run; it exists.
    """

    run_id: str
    check_lease: Callable[[], None]
    scratch: Path

    @property
    def app(self) -> str:
        """With the run's id, which the lease and the summary have too."""
        return f"pipeline {self.run_id}"

    def writer(self) -> Writer:
        """A writer that opens tables as long as this run holds the lease."""
        return Writer(self.spark(), self.check_lease)


def new_run_id() -> str:
    """A unique id that sorts by time and names the host and process."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"


def nobody(purpose: str) -> bool:
    """Do not wait for any holder."""
    return False


@contextmanager
def hold(place: Workplace, purpose: str, wait_for: Callable[[str], bool] = nobody) -> Iterator[Run]:
    """Hold the lease while the block runs. Waits for a holder that needs it only for one commit.

    Args:
        purpose: the purpose of the run, shown to others.
        wait_for: given another holder's purpose, whether to wait until that holder releases the lease.

    Raises:
        ArchiveHeld: another run holds the archive.
    """
    run_id = new_run_id()
    with (
        _lease(place, Owner.here(run_id, purpose), wait_for) as lease,
        _own_scratch(place.config, run_id) as scratch,
        all_about(run=run_id),
    ):
        yield Run(place.config, place.storage, run_id, lease.ticket.check, scratch)


def _lease(place: Workplace, owner: Owner, wait_for: Callable[[str], bool]) -> Lease:
    waited_for: Owner | None = None
    while True:
        try:
            return Lease.acquire(place.storage, owner, ttl_s=place.config.archive.lease_s, path=LEASE)
        except ArchiveHeld as held:
            holder = held.owner
            brief = holder.purpose.endswith(BRIEFLY)
            if not (brief or wait_for(holder.purpose)):
                raise
            if not brief and holder != waited_for:
                logger.warning("the archive is held by %s; waiting for its release", holder)
                waited_for = holder
            threading.Event().wait(LOOK_EVERY_S)  # shared storage does not report deletions


@contextmanager
def helping(place: Workplace) -> Iterator[Run]:
    """A run that only fetches, rewrites what is committed later, or writes results; its lease check always fails."""
    run_id = new_run_id()
    with _own_scratch(place.config, run_id) as scratch, all_about(run=run_id):
        yield Run(place.config, place.storage, run_id, _never_ours, scratch)


def _never_ours() -> None:
    raise LeaseLost(LEASE, "this run never took it")


@contextmanager
def _own_scratch(config: Config, run_id: str) -> Iterator[Path]:
    """A folder of this run, deleted afterwards; leftovers of killed runs are deleted first."""
    with locked_folder(config.fetch.scratch_folder, run_id) as locked:
        delete_untouched(config.fetch.hosts_folder, UNUSED_S)
        scratch = locked / "run"  # fetch tasks lock the folder that they are given
        scratch.mkdir()
        yield scratch
