"""How far a check has come, so that one that was killed goes on; and the reports of those that ended."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.inventory.finding import Finding, Kind
from pipeline.model.layout import FSCK
from pipeline.storage.errors import FileMissing
from pipeline.storage.interface import Storage

WRITE_EVERY_S = 5.0


@dataclass(slots=True)
class Progress:
    """Parts of a check that are done, each with a digest of what it was made of, and what was found in it.

    A part whose files have changed since is done again; a check that comes to its end forgets.
    """

    storage: Storage
    name: str
    done: dict[str, str] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=dict)
    written_at: float = 0.0

    @property
    def path(self) -> str:
        """Where it is kept."""
        return f"{FSCK}/{self.name}.json"

    @classmethod
    def resume(cls, storage: Storage, name: str) -> Progress:
        """What an earlier check left; nothing if it ended, or if its file cannot be read."""
        progress = cls(storage, name)
        try:
            document = json.loads(storage.read(progress.path))
            progress.done = {str(part): str(digest) for part, digest in document["done"].items()}
            progress.findings = {part: [_finding(f) for f in found] for part, found in document["findings"].items()}
        except (FileMissing, ValueError, KeyError, TypeError, AttributeError):
            return cls(storage, name)
        return progress

    def has(self, part: str, digest: str) -> bool:
        """Whether a part was done, and was what it is now."""
        return self.done.get(part) == digest

    def finish(self, part: str, digest: str, findings: list[Finding]) -> None:
        """Note that a part is done; ``write`` keeps it."""
        self.done[part], self.findings[part] = digest, findings

    def is_due(self) -> bool:
        """Whether it was not written down for so long that a kill would cost more than writing does."""
        return time.monotonic() - self.written_at >= WRITE_EVERY_S

    def write(self) -> None:
        """Keep it for a check after this one."""
        document = {
            "done": self.done,
            "findings": {p: [asdict(f) for f in fs] for p, fs in self.findings.items() if fs},
        }
        self.storage.replace(self.path, json.dumps(document).encode())
        self.written_at = time.monotonic()

    def forget(self) -> None:
        """The check has come to its end."""
        self.storage.delete(self.path)


def digest_of(items: Iterable[str]) -> str:
    """Names what a part is made of."""
    return hashlib.sha256("\n".join(sorted(items)).encode()).hexdigest()


def keep_report(storage: Storage, document: Any) -> str:  # noqa: ANN401 - JSON
    """Keep a report; its path."""
    path = f"{FSCK}/reports/{datetime.now(UTC):%Y%m%dT%H%M%S%f}.json"
    storage.create(path, json.dumps(document, indent=1).encode())
    return path


def _finding(said: dict[str, Any]) -> Finding:
    return Finding(**{**said, "kind": Kind(said["kind"]), "nights": tuple(said["nights"])})
