"""Check a lease in a process other than the one that renews it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.storage.errors import LeaseLost
from pipeline.storage.interface import Storage
from pipeline.storage.lease_record import read_record


@dataclass(frozen=True)
class LeaseTicket:
    """A held lease, for the workers of its run. Made by ``Lease.ticket``; may be pickled."""

    storage: Storage
    path: str
    beat_path: str
    token: str
    clock: Callable[[], float] = time.time

    def check(self) -> None:
        """Make sure, by reading the lease and its last renewal, that the run may still write.

        Raises:
            LeaseLost: it may not.
            StorageUnavailable: unknown; write nothing either.
        """
        holder = read_record(self.storage, self.path)
        if holder is None:
            raise LeaseLost(self.path, "the lease file is gone")
        if holder.token != self.token:
            raise LeaseLost(self.path, f"now held by {holder.owner}")
        renewed = read_record(self.storage, self.beat_path) or holder
        if self.clock() >= renewed.expires_at:
            raise LeaseLost(self.path, "it ran out before it could be renewed")
