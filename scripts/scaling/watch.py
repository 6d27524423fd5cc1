"""Watches a program of ours from outside: CPU time by stage, peak memory by kind of process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import psutil

from benchmarks.archive import Bed, CommandFailed

LOOK_EVERY_S = 0.2
_JVM = ("java", "bash", "spark-submit")  # it is started by a script


class Kind(StrEnum):
    """A kind of process: the one that leads; Spark's JVM; fetch tasks; their workers; Spark's Python."""

    LEADER = "leader"
    JVM = "JVM"
    TASK = "fetch task"
    WORKER = "fetch worker"
    PYTHON = "Spark's Python"


_FETCHING = (Kind.TASK, Kind.WORKER)


@dataclass
class Watched:
    """What a program took.

    Attributes:
        cpu_s: of its processes altogether, ended ones included.
        fetch_cpu_s: of fetch tasks and their workers.
        cpu_by_stage: of a night's stages, in their order; "besides" is all that was outside of them.
        peak_bytes: the largest resident memory of any process of a kind.
        output: what it wrote.
    """

    cpu_s: float = 0.0
    fetch_cpu_s: float = 0.0
    wall_s: float = 0.0
    cpu_by_stage: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[Kind, int] = field(default_factory=dict)
    output: Any = None


def pipeline(bed: Bed, *words: str, stdin: str = "") -> Watched:
    """Run a command of ours as its users do, to its end.

    Raises:
        CommandFailed: its exit code is not 0.
    """
    program: list[str | Path] = [
        Path(sys.executable).with_name("pipeline"),
        *words,
        "--config",
        bed.config_path,
        "--output",
        "json",
    ]
    began = time.monotonic()
    told, errors = bed.folder / "told.json", bed.folder / "errors.txt"
    with told.open("w+") as out, errors.open("w") as log, _typed(bed.folder / "typed.txt", stdin) as typed:
        process = subprocess.Popen(program, stdin=typed, stdout=out, stderr=log)
        found = watch(process, bed.config.fetch.scratch_folder)
        out.seek(0)
        text = out.read()
    found.wall_s = time.monotonic() - began
    if process.returncode != 0:
        raise CommandFailed(f"{' '.join(words)} ended with {process.returncode}: {errors.read_text()[-2000:]}")
    found.output = json.loads(text) if text.strip() else None
    return found


def _typed(path: Path, text: str) -> IO[str]:
    path.write_text(text)
    return path.open()


def watch(process: subprocess.Popen[bytes], scratch: Path) -> Watched:
    """Watch a process and all that it starts until it ends; its event files are somewhere below ``scratch``."""
    root, found, stages = psutil.Process(process.pid), Watched(), _Stages(scratch)
    workers = dict[psutil.Process, float]()
    times: list[float] = []
    used: list[float] = []
    while True:
        with suppress(psutil.NoSuchProcess):
            cpu_s, fetch_cpu_s = _look(root, found.peak_bytes, workers)
            times.append(time.time())
            used.append(max(cpu_s, used[-1] if used else 0.0))
            found.fetch_cpu_s = max(found.fetch_cpu_s, fetch_cpu_s)
        stages.look()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY_S)
            break
    found.cpu_s = used[-1] if used else 0.0

    def at(moment: float) -> float:
        place = bisect_right(times, moment)
        return used[place - 1] if place else 0.0

    for name, spans in stages.read().items():
        found.cpu_by_stage[name] = sum(at(ended) - at(began) for began, ended in _apart(spans))
    if found.cpu_by_stage:
        found.cpu_by_stage["besides"] = found.cpu_s - sum(found.cpu_by_stage.values())
    return found


def _apart(spans: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """The spans without what they share: a stage's tasks may run at once."""
    last = 0.0
    for began, ended in sorted(spans):
        if ended > last:
            yield max(began, last), ended
            last = ended


def _look(root: psutil.Process, peaks: dict[Kind, int], workers: dict[psutil.Process, float]) -> tuple[float, float]:
    """CPU seconds so far of the tree and of its fetch tasks; notes the peaks, and what each worker of Spark's took.

    What has ended counts for the process that has waited for it; the leader waits for fetch tasks alone. For Spark's
    Python workers nobody waits, so they are remembered: what they took since they were last seen is missing.
    """
    cpu_s = fetch_cpu_s = 0.0
    tree = {process.pid: process for process in (root, *root.children(recursive=True))}
    for process in tree.values():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, ProcessLookupError):
            taken = process.cpu_times()
            own_s, ended_s = taken.user + taken.system, taken.children_user + taken.children_system
            kind = _kind(process, root.pid, tree)
            parent = tree.get(process.ppid())
            if kind is Kind.PYTHON and parent is not None and _kind(parent, root.pid, tree) is Kind.PYTHON:
                workers[process] = own_s + ended_s
            else:
                cpu_s += own_s + ended_s
            fetch_cpu_s += ended_s if kind is Kind.LEADER else own_s + ended_s if kind in _FETCHING else 0.0
            peaks[kind] = max(peaks.get(kind, 0), _peak_bytes(process.pid))
    return cpu_s + sum(workers.values()), fetch_cpu_s


def _kind(process: psutil.Process, root: int, tree: Mapping[int, psutil.Process]) -> Kind:
    if process.pid == root:
        return Kind.LEADER
    if process.name() in _JVM:
        return Kind.JVM
    parent = tree.get(process.ppid())
    above = Kind.LEADER if parent is None else _kind(parent, root, tree)
    if above is Kind.JVM and parent is not None and process.exe() == parent.exe():
        return Kind.JVM  # about to become another program, with the JVM's memory until then
    if above in (Kind.JVM, Kind.PYTHON):
        return Kind.PYTHON
    return Kind.TASK if above is Kind.LEADER else Kind.WORKER


def _peak_bytes(pid: int) -> int:
    found = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()
    return int(found[0]) * 1024 if found else 0


class _Stages:
    """The stages of a run, from its event file, which is deleted at the end: it is opened while it is there."""

    def __init__(self, scratch: Path) -> None:
        self._scratch, self._files = scratch, dict[Path, IO[bytes]]()

    def look(self) -> None:
        found: list[Path] = []
        with suppress(FileNotFoundError):  # a folder goes while it is listed
            found = list(self._scratch.glob("*/run/*.jsonl"))
        for path in found:
            if path not in self._files:
                with suppress(FileNotFoundError):
                    self._files[path] = path.open("rb")

    def read(self) -> dict[str, list[tuple[float, float]]]:
        """When each stage began and ended, in order; the last, which only sums up, is left out."""
        found: dict[str, list[tuple[float, float]]] = {}
        for file in self._files.values():
            with file:
                for line in file:
                    event = json.loads(line) if b'"stage"' in line else {}
                    if event.get("kind") == "stage":
                        found.setdefault(event["stage"], []).append((event["began"], event["ended"]))
        return found
