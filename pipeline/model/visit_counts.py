"""How many visits of a load ended how, and the first of those that did not end well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import heappush, heappushpop, nlargest
from itertools import chain, islice
from operator import attrgetter

from pydantic import BaseModel, ConfigDict

from pipeline.model.host_counts import ByHost, HostCounts
from pipeline.model.visit import Visit, VisitStatus

FAILURES_SHOWN = 100
SLOWEST_SHOWN = 20

DAMAGED = "damaged"
"""Error code of visits that could not be made, or whose objects could not be published, because the archive is damaged;
the detail begins with the file."""


WELL = (VisitStatus.FULL, VisitStatus.UNCHANGED, VisitStatus.DEFERRED)
"""Statuses that need nobody's attention."""


class FailedVisit(BaseModel):
    """A visit whose origin is not archived, or not completely, and not only deferred."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    status: VisitStatus
    error: str | None
    detail: str | None


class SlowVisit(BaseModel):
    """A visit that took long; ``duration_s`` in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    status: VisitStatus
    duration_s: float
    objects: int
    wire_bytes: int


class VisitCounts(BaseModel):
    """How many visits ended how, and what they fetched.

    ``errors``: visits by error code; ``objects``: objects new to their networks; ``wire_bytes``: bytes of received
    packs; ``failed``: the first ``FAILURES_SHOWN`` visits whose origins are not archived, or not completely;
    ``slowest``: the ``SLOWEST_SHOWN`` that took longest, the longest first; ``damaged``: files of the archive that
    could not be read; ``hosts``: visits by host and status, of the hosts with most; ``host_seconds``: how long the
    visits to these took, added up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    origins: dict[VisitStatus, int] = {}
    objects: int = 0
    wire_bytes: int = 0
    failed: tuple[FailedVisit, ...] = ()
    damaged: tuple[str, ...] = ()
    errors: dict[str, int] = {}
    slowest: tuple[SlowVisit, ...] = ()
    hosts: ByHost = {}
    host_seconds: dict[str, float] = {}


class ListedVisit(BaseModel):
    """A visit as manifests of earlier versions listed it."""

    origin: str
    status: VisitStatus
    error: str | None
    detail: str | None
    pack_bytes: int
    objects: int
    duration_s: float


def count_visits(visits: Iterable[Visit | ListedVisit]) -> VisitCounts:
    """Count visits, one at a time."""
    origins: Counter[VisitStatus] = Counter()
    errors: Counter[str] = Counter()
    objects = wire_bytes = 0
    failed: list[FailedVisit] = []
    slowest: list[tuple[float, int, Visit | ListedVisit]] = []
    damaged: set[str] = set()
    hosts = HostCounts()
    for number, visit in enumerate(visits):
        origins[visit.status] += 1
        hosts.add(visit.origin, visit.status, visit.duration_s)
        errors.update([visit.error] if visit.error is not None else ())
        (heappush if number < SLOWEST_SHOWN else heappushpop)(slowest, (visit.duration_s, -number, visit))
        objects += visit.objects
        wire_bytes += visit.pack_bytes
        if visit.error == DAMAGED and visit.detail is not None:
            damaged.add(visit.detail.partition(" cannot be read: ")[0])
        if visit.status not in WELL and len(failed) < FAILURES_SHOWN:
            failed.append(FailedVisit(origin=visit.origin, status=visit.status, error=visit.error, detail=visit.detail))
    return VisitCounts(
        origins=dict(sorted(origins.items())),
        objects=objects,
        wire_bytes=wire_bytes,
        failed=tuple(failed),
        damaged=tuple(sorted(damaged)),
        errors=dict(sorted(errors.items())),
        slowest=tuple(_slow(visit) for _, _, visit in sorted(slowest, reverse=True)),
        hosts=hosts.most(),
        host_seconds=hosts.seconds(),
    )


def _slow(visit: Visit | ListedVisit) -> SlowVisit:
    return SlowVisit(
        origin=visit.origin,
        status=visit.status,
        duration_s=round(visit.duration_s, 3),
        objects=visit.objects,
        wire_bytes=visit.pack_bytes,
    )


def sum_counts(parts: Sequence[VisitCounts]) -> VisitCounts:
    """The counts of all parts together; of the failed visits, those of the first parts."""
    origins: Counter[VisitStatus] = Counter()
    errors: Counter[str] = Counter()
    hosts = HostCounts()
    for part in parts:
        origins.update(part.origins)
        errors.update(part.errors)
        hosts.add_all(part.hosts, part.host_seconds)
    slow = chain.from_iterable(part.slowest for part in parts)
    return VisitCounts(
        origins=dict(sorted(origins.items())),
        objects=sum(part.objects for part in parts),
        wire_bytes=sum(part.wire_bytes for part in parts),
        failed=tuple(islice(chain.from_iterable(part.failed for part in parts), FAILURES_SHOWN)),
        damaged=tuple(sorted({path for part in parts for path in part.damaged})),
        errors=dict(sorted(errors.items())),
        slowest=tuple(nlargest(SLOWEST_SHOWN, slow, key=attrgetter("duration_s"))),
        hosts=hosts.most(),
        host_seconds=hosts.seconds(),
    )
