"""One writer at a time: a lease on the archive that survives crashes, pauses and lost answers.

``lease.json`` names the holder and never changes; next to it, ``lease.d`` has two kinds of files named by the holder's
random token. ``TOKEN.beat.json`` says until when the lease was renewed, and only its holder writes it, so a process
that wakes from a pause cannot overwrite another lease. ``lease.json`` is moved to ``TOKEN.over.json`` when the lease
ends, by release or by takeover. Storage never renames onto an existing file, so each lease ends exactly once: one of
several contenders moves it, and neither a late contender nor a late release can move the new holder's lease.

One gap remains: a holder that is paused between ``check`` and its commit, past the end of its lease, commits alongside
the new holder. Clocks of different hosts may differ by ``grace_s``; a larger difference has the same effect. On one
machine nobody waits for a dead holder: its lease may be taken as soon as its process is gone.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pipeline.model.errors import UsageError
from pipeline.storage.errors import AlreadyThere, FileMissing, LeaseLost, StorageError, StorageUnavailable
from pipeline.storage.interface import Storage
from pipeline.storage.lease_record import LeaseRecord, Owner, beat_path, end_expired, over_path, read_record, sweep
from pipeline.storage.lease_ticket import LeaseTicket

__all__ = ["Lease", "Owner"]

logger = logging.getLogger(__name__)

ATTEMPTS = 10
GRACE_S = 10.0
KEEP_ENDED_S = 7 * 86_400.0


class Lease:
    """A held lease; made by ``acquire``. As a context manager, it is released at the end.

    Call ``check`` directly before each commit. All times are seconds since 1970 UTC of the given clock.
    """

    def __init__(self, storage: Storage, path: str, record: LeaseRecord, clock: Callable[[], float]) -> None:
        self._storage, self._path, self._record, self._clock = storage, path, record, clock
        self._expires_at = record.expires_at
        self._lost: str | None = None
        self._renewing = threading.Lock()
        self._stop = threading.Event()
        self._heartbeat: threading.Thread | None = None

    @classmethod
    def acquire(
        cls,
        storage: Storage,
        owner: Owner,
        *,
        ttl_s: float = 300.0,
        grace_s: float = GRACE_S,
        path: str = "lease.json",
        clock: Callable[[], float] = time.time,
        heartbeat: bool = True,
    ) -> Self:
        """Take the lease, if necessary over from a run that stopped renewing it.

        Args:
            storage: the archive's storage.
            owner: named in the file and in messages to others.
            ttl_s: how long the lease lasts after each renewal; a thread renews it every third of that.
            grace_s: how long others leave an ended lease alone, as clocks differ.
            path: path of the lease file; must end in ``.json``.
            clock: the time; only tests pass another.
            heartbeat: False to renew by calling ``renew``.

        Raises:
            ArchiveHeld: another run holds it.
            StorageError: the lease file is not one of ours; inspect it and delete it manually.
            StorageUnavailable: whether the lease was taken is unknown; it then runs out by itself.
        """
        if ttl_s <= 0 or grace_s < 0 or not path.endswith(".json"):
            raise UsageError("a lease needs a positive ttl_s, a grace_s of at least 0 and a path ending in .json")
        token = uuid.uuid4().hex
        for _ in range(ATTEMPTS):
            record = LeaseRecord.starting(owner, token, now=clock(), ttl_s=ttl_s)
            try:
                storage.create(path, record.to_bytes())
            except AlreadyThere:
                end_expired(storage, path, grace_s, clock)
                continue
            lease = cls(storage, path, record, clock)
            lease.check()
            logger.info("%s holds %s until it is released", owner, path)
            sweep(storage, path, older_than=clock() - KEEP_ENDED_S)
            if heartbeat:
                lease._start_heartbeat()
            return lease
        raise StorageUnavailable(path, f"changed hands {ATTEMPTS} times while we tried to take it")

    @property
    def expires_at(self) -> float:
        """When the lease runs out unless renewed."""
        return self._expires_at

    @property
    def ticket(self) -> LeaseTicket:
        """A ticket for workers of this run, which do not renew the lease and may be other processes."""
        return LeaseTicket(self._storage, self._path, beat_path(self._path, self._record.token), self._record.token)

    @property
    def lost(self) -> bool:
        """Whether the lease is known to be lost; ``check`` finds out."""
        return self._lost is not None

    def check(self) -> None:
        """Make sure, by reading the file again, that the lease is ours and has not run out.

        Raises:
            LeaseLost: it is lost; this run must write nothing more.
            StorageUnavailable: the file is unreadable, so this is unknown; write nothing either.
        """
        if self._lost is not None:
            raise LeaseLost(self._path, self._lost)
        holder = read_record(self._storage, self._path)
        if holder is None:
            self._lose("the lease file is gone")
        elif holder.token != self._record.token:
            self._lose(f"now held by {holder.owner}")
        elif self._clock() >= self._expires_at:
            self._lose("it ran out before it could be renewed")

    def renew(self) -> None:
        """Extend the lease to its full time from now. A lease that has run out is never renewed.

        Raises:
            LeaseLost: as in ``check``, or the answer came only after the lease had run out.
            StorageUnavailable: not renewed; try again before it runs out.
        """
        with self._renewing:
            self.check()
            renewed = self._record.renewed(self._clock())
            self._storage.replace(beat_path(self._path, renewed.token), renewed.to_bytes())
            if self._clock() >= self._expires_at:
                self._lose("it ran out while it was being renewed")
            self._expires_at = renewed.expires_at

    def release(self) -> None:
        """Stop renewing and give up the lease, if it is still ours; a second call does no harm.

        Raises:
            StorageUnavailable: it was not given up and will run out by itself.
        """
        self._stop.set()
        if self._heartbeat is not None and self._heartbeat is not threading.current_thread():
            self._heartbeat.join()
        token = self._record.token
        try:
            holder = read_record(self._storage, self._path)
            if holder is not None and holder.token == token:
                self._storage.rename(self._path, over_path(self._path, token))
        except (AlreadyThere, FileMissing):
            logger.warning("%s was taken over before it was released", self._path)
        self._lost = self._lost or "it was released"
        self._storage.delete(beat_path(self._path, token))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except StorageError as failure:
            logger.warning("not released, it will run out by itself: %s", failure)

    def _lose(self, reason: str) -> None:
        self._lost = reason
        self._stop.set()
        raise LeaseLost(self._path, reason)

    def _start_heartbeat(self) -> None:
        self._heartbeat = threading.Thread(target=self._beat_until_stopped, name="lease-heartbeat", daemon=True)
        self._heartbeat.start()

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(self._record.ttl_s / 3):
            try:
                self.renew()
            except LeaseLost as error:
                logger.error("the lease is lost: %s", error)
            except StorageError as error:
                logger.warning("lease not renewed, %.0f s left: %s", self._expires_at - self._clock(), error)
