"""What a run that goes on and an archive have alike: counts of visits, and the disk of scratch.

A metric has a series even if that says 0: a Pushgateway that gets none keeps those of the night before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pipeline.model.host_counts import OTHER, ByHost
from pipeline.model.visit import VisitStatus
from pipeline.storage.space import disk_space
from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.known import Labels, Values

MOST_CODES = 64
"""Error codes that are told apart: more than there are."""


def by_status(counts: Mapping[VisitStatus, int]) -> dict[Labels, float]:
    """Every status, also those without a visit: a series that is sometimes missing has no rate."""
    return {(str(status),): counts.get(status, 0) for status in VisitStatus}


def by_code(counts: Mapping[str, int]) -> dict[Labels, float]:
    """The codes with most visits, and all others together."""
    ranked = Counter(counts).most_common()
    found: dict[Labels, float] = {(code,): count for code, count in ranked[:MOST_CODES]}
    rest = sum(count for _, count in ranked[MOST_CODES:])
    return found | ({(OTHER,): rest} if rest or not found else {})


def by_host(counts: ByHost) -> dict[Labels, float]:
    """Hosts that are bounded in number already."""
    found: dict[Labels, float] = {
        (host, str(status)): count for host, found in counts.items() for status, count in found.items()
    }
    return found or {(OTHER, str(VisitStatus.FULL)): 0}


def scratch_values(folder: Path) -> Values:
    """The disk of scratch."""
    space = disk_space(folder)
    return {known.SCRATCH_FREE: {(): space.free_bytes}, known.SCRATCH_SIZE: {(): space.total_bytes}}
