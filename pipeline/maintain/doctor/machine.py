"""This machine: scratch, memory and clock."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.maintain.doctor.finding import Finding, machine_failure, ok, warning
from pipeline.storage.space import disk_space, nearest

GIB = 1 << 30
MIB = 1 << 20

LEAST_SCRATCH, LEAST_FOR_A_VISIT = GIB, GIB
SHARE_OF_A_VISIT = 0.25
"""Share of free scratch for one visit; docs/limits.md names it, and what a fetch task needs besides its visits."""

FETCH_BYTES, RUNS_HELD = 400 * MIB, 3

EARLIEST = 1_750_000_000
"""Approximate time when this was written, in seconds since 1970: no correct clock is earlier."""

CLOCK_STEP_S = 1.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a machine, in bytes."""

    total: int
    available: int


def check_scratch(folder: Path, scratch_bytes: int) -> Finding:
    """The scratch folder, or the nearest one above it that exists.

    Args:
        scratch_bytes: limit of one visit.
    """
    advice = "free space there, or set fetch.scratch to a folder on another disk"
    there = nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return machine_failure("scratch", f"{there} cannot be written: {error.strerror}", advice)
    return judge_scratch(there, disk_space(there).free_bytes, scratch_bytes)


def judge_scratch(folder: Path, free: int, scratch_bytes: int) -> Finding:
    """Compare free bytes with what a visit needs."""
    advice = "free space there, or set fetch.scratch to a folder on another disk"
    if free < LEAST_SCRATCH:
        return machine_failure("scratch", f"{gib(free)} free at {folder}", advice)
    visit = min(scratch_bytes, int(free * SHARE_OF_A_VISIT))
    found = f"{gib(free)} free at {folder}, of which a visit may take {gib(visit)}"
    if visit < LEAST_FOR_A_VISIT:
        return warning("scratch", f"{found}; larger visits end as limit_exceeded", advice)
    return ok("scratch", found)


def check_memory(memory: Memory, workers: int, run_bytes: int, visit_bytes: int, heap_bytes: int) -> Finding:
    """Compare memory with what a night needs.

    Args:
        workers: buckets fetched at once.
        run_bytes: as configured.
        visit_bytes: limit of the largest visit of a bucket.
        heap_bytes: heap of Spark's driver.
    """
    least = workers * (FETCH_BYTES + RUNS_HELD * run_bytes) + heap_bytes
    most = least + workers * visit_bytes
    found = (
        f"{gib(memory.available)} of {gib(memory.total)} free; a night takes up to {gib(least)}, "
        f"and {gib(most)} with the largest repositories that the limits allow"
    )
    advice = "lower fetch.workers, fetch.run_bytes, fetch.limits.memory_bytes or spark.driver_memory"
    if least > memory.total:
        return machine_failure("memory", found, advice)
    return warning("memory", found, advice) if most > memory.available else ok("memory", found)


def heap_bytes(text: str) -> int:
    """Bytes of a size as Spark writes it, ``12g`` or ``1536m``; a bare number is MiB.

    Raises:
        ValueError: it is not a size.
    """
    units = {"k": 1 << 10, "m": MIB, "g": GIB, "t": GIB << 10}
    word = text.strip().lower().removesuffix("b")
    return int(word[:-1]) * units[word[-1]] if word[-1:] in units else int(word) * MIB


def memory_here(meminfo: Path = Path("/proc/meminfo")) -> Memory:
    """Memory of this machine, according to the kernel."""
    values = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    total, available = (int(values[key].split()[0]) << 10 for key in ("MemTotal", "MemAvailable"))
    return Memory(total, available)


def check_clock() -> Finding:
    """Check that the clock runs steadily and shows a plausible time."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(0.01)
    drift = abs((time.time() - wall) - (time.monotonic() - steady))
    return judge_clock(wall, drift)


def judge_clock(now: float, drift_s: float) -> Finding:
    """Judge a clock that says ``now`` and jumped by ``drift_s`` during the check."""
    advice = "use ntp or chrony to keep time: nights, leases and retention depend on the clock"
    if now < EARLIEST:
        return machine_failure("clock", f"it says {time.strftime('%Y-%m-%d', time.gmtime(now))}", advice)
    if drift_s > CLOCK_STEP_S:
        return warning("clock", f"it jumped by {drift_s:.1f} s during the check", advice)
    return ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def gib(count: float) -> str:
    """Bytes for people."""
    return f"{count / GIB:,.1f} GiB"
