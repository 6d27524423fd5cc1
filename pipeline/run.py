"""A run: the archive is ours for a while, with one lease and one scratch folder."""

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

from pipeline.config import Config
from pipeline.errors import ArchiveHeld
from pipeline.fetch.scratch import scratch_folder as locked_folder
from pipeline.model.layout import LEASE
from pipeline.storage.errors import LeaseLost
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.lease_record import read_record
from pipeline.tables.writer import Writer
from pipeline.workplace import Workplace

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""Pause between two looks at a lease that somebody else has."""


@dataclass(frozen=True, eq=False)
class Run(Workplace):
    """One run. Hashes by identity.

    Attributes:
        check_lease: raises ``LeaseLost`` when this run may write no more.
        scratch: local folder of this run, which exists.
    """

    run_id: str
    check_lease: Callable[[], None]
    scratch: Path

    def writer(self) -> Writer:
        """Opens tables for writing, as long as this run holds the lease."""
        return Writer(self.spark(), self.check_lease)


def new_run_id() -> str:
    """Sorts by time, names the host and process, and is never used twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"


def nobody(purpose: str) -> bool:
    """Wait for no holder."""
    return False


@contextmanager
def hold(place: Workplace, purpose: str, wait_for: Callable[[str], bool] = nobody) -> Iterator[Run]:
    """Take the lease for the block.

    Args:
        purpose: what for, as others are shown it.
        wait_for: given another holder's purpose, whether to wait until that one lets go.

    Raises:
        ArchiveHeld: another run holds the archive.
    """
    run_id = new_run_id()
    with (
        _lease(place, Owner.here(run_id, purpose), wait_for) as lease,
        scratch_folder(place.config, run_id) as scratch,
    ):
        yield Run(place.config, place.storage, run_id, lease.ticket.check, scratch)


def _lease(place: Workplace, owner: Owner, wait_for: Callable[[str], bool]) -> Lease:
    waited_for = ""
    while True:
        try:
            return Lease.acquire(place.storage, owner, ttl_s=place.config.archive.lease_s, path=LEASE)
        except ArchiveHeld as held:
            record = read_record(place.storage, LEASE)
            if record is None:
                continue
            if not wait_for(record.purpose):
                raise
            if held.holder != waited_for:
                logger.warning("the archive is held by %s; waiting for it to let go", held.holder)
                waited_for = held.holder
            threading.Event().wait(LOOK_EVERY_S)  # nothing tells when a file on shared storage goes


@contextmanager
def without_lease(place: Workplace) -> Iterator[Run]:
    """A run that only helps to fetch, or writes nothing but results of jobs; its lease check always fails."""
    run_id = new_run_id()
    with scratch_folder(place.config, run_id) as scratch:
        yield Run(place.config, place.storage, run_id, _never_ours, scratch)


def _never_ours() -> None:
    raise LeaseLost(LEASE, "this run never took it")


@contextmanager
def scratch_folder(config: Config, run_id: str) -> Iterator[Path]:
    """A folder of this run's own, gone afterwards; what runs that were killed left goes before."""
    with locked_folder(config.fetch.scratch_folder, run_id) as locked:
        scratch = locked / "run"  # fetch tasks lock the folder that they are given
        scratch.mkdir()
        yield scratch
