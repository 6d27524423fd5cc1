"""Contents packed side by side: worker processes read row groups and write parts of one pack."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from pipeline.git.pack_writer import ObjectDamaged, PackPart, PackWriter, PartWriter, writing_part
from pipeline.model.errors import CheckFailed, PipelineError
from pipeline.model.objects import GitObject
from pipeline.model.rows import CODECS
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.process import die_with_parent
from pipeline.storage.scratch import full_disk_reported
from pipeline.tables.snapshot.rows import Group, rows_of

_SMALLEST_TASK_BYTES = 64 << 20
_LARGEST_TASK_BYTES = 320 << 20
"""Raw bytes. The largest are a little more than a row group."""

_TASKS_EACH = 4
"""Tasks of a process, if there is enough for that many, so that all end at nearly the same time."""

MOST_PROCESSES = 8


class PackingStopped(PipelineError):
    """A worker process died."""

    def __str__(self) -> str:
        return (
            "a process that packed contents was killed, probably for lack of memory. Run the command where more is "
            "free, or on one processor (`taskset -c 0 pipeline restore ...`), where it starts a single one"
        )


def task_bytes(raw_bytes: int, processes: int) -> int:
    """Most raw bytes of a task: a part of the pack, whose deltas stay within it."""
    return min(max(raw_bytes // (_TASKS_EACH * processes), _SMALLEST_TASK_BYTES), _LARGEST_TASK_BYTES)


def tasks(groups: Sequence[Group]) -> list[list[Group]]:
    """Row groups in order, joined to tasks. One that is larger than a task is cut, else it is read only once."""
    most_bytes = task_bytes(sum(group.raw_bytes for group in groups), _processes())
    found: list[list[Group]] = []
    room = 0
    for group in groups:
        if group.raw_bytes > room:
            found.append([])
            room = most_bytes
        begin = 0
        ends = np.cumsum(group.sizes)
        while begin < len(group.positions):
            if room <= 0:
                found.append([])
                room = most_bytes
            done = int(ends[begin - 1]) if begin else 0
            end = max(int(np.searchsorted(ends, done + room, side="right")), begin + 1)
            part = group.part(slice(begin, end))
            found[-1].append(part)
            room = 0 if end < len(group.positions) else room - part.raw_bytes
            begin = end
    return found


def _processes() -> int:
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


@contextmanager
def packing(storage: Storage, work: Sequence[Sequence[Group]], scratch: Path) -> Iterator[Iterator[PackPart]]:
    """Start to pack tasks; yields their parts in order, which the caller deletes.

    Raises:
        StoredFileDamaged: a file cannot be read, or holds other bytes under an id.
        PackingStopped: a worker was killed.
        ScratchFailed: the disk is full.
    """
    pool = ProcessPoolExecutor(max(min(_processes(), len(work)), 1), mp_context=get_context("fork"), initializer=_begin)
    try:
        paths = (scratch / f"{number}.part" for number in range(len(work)))
        yield map(_result, [pool.submit(pack_part, storage, *task) for task in zip(work, paths, strict=True)])
    except BaseException:
        for process in list(pool._processes.values()):  # else each goes on to the end of its task
            process.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(future: Future[PackPart]) -> PackPart:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise PackingStopped from error


def _begin() -> None:
    """Only the parent acts on signals. What is inherited stays out of garbage collection, which would copy it."""
    die_with_parent()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def pack_part(storage: Storage, groups: Sequence[Group], path: Path) -> PackPart:
    """Pack one task into a new file.

    Raises:
        StoredFileDamaged: a file cannot be read, or holds other bytes under an id.
        ScratchFailed: the disk is full.
    """
    with full_disk_reported(path.parent), writing_part(path) as (writer, done):
        pack_contents(storage, groups, writer)
        return done()


def pack_contents(storage: Storage, groups: Sequence[Group], writer: PackWriter | PartWriter) -> None:
    """Add the blobs of some rows to a pack.

    Raises:
        StoredFileDamaged: a file cannot be read, or holds other bytes under an id.
    """
    codec = CODECS["contents"]
    for group in groups:
        try:
            for batch in rows_of(storage, group, ["oid", "name", *codec.columns]):
                for row in batch.to_pylist():
                    writer.add(GitObject(codec.type, row["oid"], codec.body(row)), row["name"] or "")
        except ObjectDamaged as error:
            raise StoredFileDamaged(group.path, f"it holds other bytes than those of {error.oid.hex()}") from error
        except StoredFileDamaged:
            raise
        except CheckFailed as error:
            raise StoredFileDamaged(group.path, str(error)) from error
