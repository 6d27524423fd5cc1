"""The progress of a check, so that a killed one can continue, and the reports of finished checks."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.model.layout import FSCK
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage

WRITE_EVERY_S = 5.0


@dataclass(slots=True)
class Progress:
    """Finished parts of a check, each with a digest of its files, and its findings.

    A part whose files have changed since is checked again; a check that finishes forgets its progress.
    """

    storage: Storage
    name: str
    done: dict[str, str] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=dict)
    written_at: float = 0.0

    @property
    def path(self) -> str:
        """Path of the progress file."""
        return f"{FSCK}/{self.name}.json"

    @classmethod
    def resume(cls, storage: Storage, name: str) -> Progress:
        """The progress of an earlier check; empty if that finished, or if its file cannot be read."""
        progress = cls(storage, name)
        try:
            document = json.loads(storage.read(progress.path))
            progress.done = {str(part): str(digest) for part, digest in document["done"].items()}
            progress.findings = {part: [_finding(f) for f in found] for part, found in document["findings"].items()}
        except (FileMissing, ValueError, KeyError, TypeError, AttributeError):
            return cls(storage, name)
        return progress

    def has(self, part: str, digest: str) -> bool:
        """Whether a part is done and has not changed since."""
        return self.done.get(part) == digest

    def finish(self, part: str, digest: str, findings: list[Finding]) -> None:
        """Note that a part is done; ``write`` stores it."""
        self.done[part], self.findings[part] = digest, findings

    def is_due(self) -> bool:
        """Whether the last write is so long ago that a kill would cost more than writing."""
        return time.monotonic() - self.written_at >= WRITE_EVERY_S

    def write(self) -> None:
        """Store it for a later check."""
        document = {
            "done": self.done,
            "findings": {p: [asdict(f) for f in fs] for p, fs in self.findings.items() if fs},
        }
        self.storage.replace(self.path, json.dumps(document).encode())
        self.written_at = time.monotonic()

    def forget(self) -> None:
        """Forget the progress: the check has finished."""
        self.storage.delete(self.path)


def digest_of(items: Iterable[str]) -> str:
    """A digest of the items of a part."""
    return hashlib.sha256("\n".join(sorted(items)).encode()).hexdigest()


def keep_report(storage: Storage, document: Any) -> str:  # noqa: ANN401 - JSON
    """Store a report; return its path."""
    path = f"{FSCK}/reports/{datetime.now(UTC):%Y%m%dT%H%M%S%f}.json"
    storage.create(path, json.dumps(document, indent=1).encode())
    return path


def _finding(said: dict[str, Any]) -> Finding:
    return Finding(**{**said, "kind": Kind(said["kind"]), "nights": tuple(said["nights"])})
