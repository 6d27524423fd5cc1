"""The content of a lease file."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.storage.errors import FileMissing, StorageError
from pipeline.storage.interface import Storage
from pipeline.storage.process import is_gone, process_identity


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
        return cls(
            run_id=owner.run_id,
            host=owner.host,
            pid=owner.pid,
            purpose=owner.purpose,
            process=owner.process,
            token=token,
            acquired_at=now,
            ttl_s=ttl_s,
            expires_at=now + ttl_s,
        )

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
