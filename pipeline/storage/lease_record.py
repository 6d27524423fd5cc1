"""The files of a lease, as everybody sees them: who holds it, until when, and its end."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.model.errors import ExitCode, PipelineError
from pipeline.storage.errors import AlreadyThere, FileMissing, StorageError
from pipeline.storage.interface import Storage
from pipeline.storage.process import is_gone, process_identity

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """Who holds a lease and why; ``process`` as from ``process_identity``, empty if unknown."""

    run_id: str
    host: str
    pid: int
    purpose: str = ""
    process: str = ""

    @classmethod
    def here(cls, run_id: str, purpose: str = "") -> Self:
        """This process on this host."""
        return cls(run_id, socket.gethostname(), os.getpid(), purpose, process_identity())

    def __str__(self) -> str:
        purpose = f"{self.purpose}, " if self.purpose else ""
        return f"{purpose}run {self.run_id} (host {self.host}, pid {self.pid})"


class LeaseRecord(BaseModel):
    """A lease as it is stored; times in seconds since 1970 UTC by the holder's clock."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_id: str = Field(description="Run that holds the lease.")
    host: str = Field(description="Host it runs on.")
    pid: int = Field(description="Process that renews the lease.")
    purpose: str = Field(default="", description="What the run does, for people and for runs that may join it.")
    process: str = Field(default="", description="Distinguishes the process from others with the same number.")
    token: str = Field(pattern="^[0-9a-f]{32}$", description="Random; unique to this lease.")
    acquired_at: float = Field(description="When the lease was taken.")
    ttl_s: float = Field(gt=0, description="How long it lasts after each renewal.")
    expires_at: float = Field(description="When it runs out, unless the beat file says later.")

    @classmethod
    def starting(cls, owner: Owner, token: str, *, now: float, ttl_s: float) -> Self:
        """A lease that starts now."""
        return cls(**asdict(owner), token=token, acquired_at=now, ttl_s=ttl_s, expires_at=now + ttl_s)

    @property
    def owner(self) -> Owner:
        """Who holds it."""
        return Owner(self.run_id, self.host, self.pid, self.purpose, self.process)

    def is_over(self, now: float, grace_s: float) -> bool:
        """Whether others may take it: it ran out that long ago, or its process is known to be gone.

        Args:
            now: seconds since 1970 UTC.
        """
        return now >= self.expires_at + grace_s or is_gone(self.pid, self.process)

    def renewed(self, now: float) -> Self:
        """The same lease, for its full time from now."""
        return self.model_copy(update={"expires_at": now + self.ttl_s})

    def to_bytes(self) -> bytes:
        """The file's content, readable for people."""
        return (self.model_dump_json(indent=2) + "\n").encode()


class ArchiveHeld(PipelineError):
    """Another run holds the archive."""

    exit_code = ExitCode.ARCHIVE_HELD

    def __init__(self, owner: Owner, expires_in_s: float) -> None:
        super().__init__(owner, expires_in_s)
        self.owner, self.expires_in_s = owner, expires_in_s

    @property
    def holder(self) -> str:
        """Who holds it and why, for people."""
        return str(self.owner)

    def __str__(self) -> str:
        return (
            f"the archive is held by {self.holder}; its lease runs out in {self.expires_in_s:.0f} s "
            "unless renewed. Wait for that run to end, or stop it"
        )


def read_record(storage: Storage, path: str) -> LeaseRecord | None:
    """The lease in a file; None without the file.

    Raises:
        StorageError: it is not a lease file.
    """
    try:
        content = storage.read(path)
    except FileMissing:
        return None
    try:
        return LeaseRecord.model_validate_json(content)
    except ValidationError as error:
        raise StorageError(path, "is not a lease file; inspect it, and delete it if no run is active") from error


def read_lease(storage: Storage, path: str) -> LeaseRecord | None:
    """The lease at a path, with the end that its last renewal gave it; None if nobody has it.

    Raises:
        StorageError: the file is not one of ours.
    """
    holder = read_record(storage, path)
    return None if holder is None else read_record(storage, beat_path(path, holder.token)) or holder


def end_expired(storage: Storage, path: str, grace_s: float, clock: Callable[[], float]) -> None:
    """Move away a lease that has expired or whose process is gone; return silently if it is gone, or goes meanwhile.

    Raises:
        ArchiveHeld: it has not expired, and its process may run.
    """
    holder = read_lease(storage, path)
    if holder is None:
        return
    now = clock()
    if not holder.is_over(now, grace_s):
        raise ArchiveHeld(holder.owner, holder.expires_at + grace_s - now)
    try:
        storage.rename(path, over_path(path, holder.token))
    except (AlreadyThere, FileMissing):
        return
    late_s = now - holder.expires_at
    why = f"whose lease ran out {late_s:.0f} s ago" if late_s >= grace_s else "whose process is gone"
    logger.warning("took over %s from %s, %s", path, holder.owner, why)
    moved = read_record(storage, over_path(path, holder.token))
    if moved is None or moved.token != holder.token:
        raise StorageError(
            over_path(path, holder.token), "is not the lease to be ended; somebody is editing these files"
        )


def sweep(storage: Storage, path: str, *, older_than: float) -> None:
    """Delete files of ended leases, once no contender can still be reading them."""
    try:
        for entry in storage.list(_companions(path)):
            if not entry.is_dir and entry.modified_at < older_than:
                storage.delete(entry.path)
    except StorageError as error:
        logger.warning("ended leases not swept: %s", error)


def _companions(path: str) -> str:
    return f"{path.removesuffix('.json')}.d"


def beat_path(path: str, token: str) -> str:
    """Says until when the lease was renewed."""
    return f"{_companions(path)}/{token}.beat.json"


def over_path(path: str, token: str) -> str:
    """What the lease file is renamed to when the lease ends."""
    return f"{_companions(path)}/{token}.over.json"
