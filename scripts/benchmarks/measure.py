"""What a piece of work costs, in CPU seconds: machines are shared, and wall time depends on the neighbours."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import psutil

MB = 1_000_000

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """User and system time of a process and all its children.

    ``peak_bytes`` is the process's own peak memory plus that of the largest child that has ended; shared memory counts
    twice.
    """

    cpu_s: float
    wall_s: float
    peak_bytes: int


def total(parts: Sequence[Cost]) -> Cost:
    """The cost of all, one after the other; ``parts`` is not empty."""
    peak_bytes = max(part.peak_bytes for part in parts)
    return Cost(sum(part.cpu_s for part in parts), sum(part.wall_s for part in parts), peak_bytes)


def in_child(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it in a new process that has loaded only the function's module."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()


def cost_of(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, Cost]:
    """Do it in this process; what it returned, and what it cost. To look for running children does not count."""
    running_s, own_s, began = _running_s(), _own_s(), time.monotonic()
    found = work(*args, **kwargs)
    wall_s = time.monotonic() - began
    cpu_s = _own_s() - own_s
    return found, Cost(cpu_s + _running_s() - running_s, wall_s, _peak_bytes())


def measured(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, Cost]:
    """``cost_of`` in a new process, whose start does not count."""
    return in_child(cost_of, work, *args, **kwargs)  # type: ignore[arg-type]


def repeated(times: int, once: Callable[[], tuple[T, Cost]]) -> tuple[T, Cost]:
    """The run with the median CPU time of several."""
    return sorted((once() for _ in range(times)), key=lambda run: run[1].cpu_s)[times // 2]


def command(words: Sequence[str | Path]) -> str:
    """Run a program and return its output.

    Raises:
        CalledProcessError: it failed.
    """
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def _peak_bytes() -> int:
    """Peak resident memory; ``getrusage`` would include the parent's for the process itself (Linux)."""
    own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return (own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


def _own_s() -> float:
    """CPU time of this process and its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _running_s() -> float:
    """CPU time of running children, including Spark's JVM and workers, and of their ended ones."""
    cpu_s = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            cpu_s += times.user + times.system + times.children_user + times.children_system
    return cpu_s
