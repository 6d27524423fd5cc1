"""How many visits of a load ended how, and the first of those that did not end well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from pipeline.model.manifest import Manifest
from pipeline.model.visit import VisitStatus

FAILURES_SHOWN = 100

DAMAGED = "damaged"
"""Error code of visits that could not be made, or whose objects could not be published, because the archive is damaged;
the detail begins with the file."""


class FailedVisit(BaseModel):
    """A visit whose origin is not archived, or not completely."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    status: VisitStatus
    error: str | None
    detail: str | None


class VisitCounts(BaseModel):
    """How many visits ended how, and what they fetched.

    ``objects``: objects new to their networks; ``wire_bytes``: bytes of received packs; ``failed``: the first
    ``FAILURES_SHOWN`` visits whose origins are not archived, or not completely; ``damaged``: files of the archive that
    could not be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    origins: dict[VisitStatus, int] = {}
    objects: int = 0
    wire_bytes: int = 0
    failed: tuple[FailedVisit, ...] = ()
    damaged: tuple[str, ...] = ()


def count_visits(manifests: Iterable[Manifest]) -> VisitCounts:
    """Count the visits of some manifests."""
    origins: Counter[VisitStatus] = Counter()
    objects = wire_bytes = 0
    failed: list[FailedVisit] = []
    damaged: set[str] = set()
    for manifest in manifests:
        damaged.update(manifest.damaged)
        for line in manifest.visits:
            origins[line.status] += 1
            objects += line.objects
            wire_bytes += line.pack_bytes
            if line.error == DAMAGED and line.detail is not None:
                damaged.add(line.detail.partition(" cannot be read: ")[0])
            if line.status not in (VisitStatus.FULL, VisitStatus.UNCHANGED) and len(failed) < FAILURES_SHOWN:
                failed.append(FailedVisit(origin=line.origin, status=line.status, error=line.error, detail=line.detail))
    return VisitCounts(
        origins=dict(sorted(origins.items())),
        objects=objects,
        wire_bytes=wire_bytes,
        failed=tuple(failed),
        damaged=tuple(sorted(damaged)),
    )
