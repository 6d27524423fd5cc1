"""The storage of the archive: that it takes a file and gives it back, its clock, its space, and how HDFS is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from pipeline.doctor.finding import Finding, damage, machine_failure, ok, warning
from pipeline.doctor.machine import gib
from pipeline.storage.hdfs_status import HdfsStatus
from pipeline.storage.interface import Storage

CLOCKS_MAY_DIFFER_S = 10.0
"""Of two hosts, as docs/limits.md says: leases allow for it."""

LITTLE, TOO_LITTLE = 0.1, 0.01
"""Shares of a disk."""

GET_SPACE = "add space, or let nights go: pipeline maintain"


def check_probe(storage: Storage) -> Iterator[Finding]:
    """Write a file, look at it, read it back and delete it."""
    if storage.stat("") is None:
        yield ok("storage", f"{storage.root_uri} is not there yet; nothing was written")
        return
    path, sent = f"doctor-{uuid4().hex}.probe", uuid4().bytes * 1024
    before = time.time()
    try:
        storage.create(path, sent)
        after = time.time()
        entry, read = storage.stat(path), storage.read(path)
    finally:
        storage.delete(path)
    if read != sent:
        yield damage("storage", "what was read back is not what was written", "suspect the network or a disk")
        return
    yield ok("storage", f"{storage.root_uri} takes a file and gives it back, in {time.time() - before:.2f} s")
    if entry is not None:
        yield judge_clocks(entry.modified_at, before, after)


def judge_clocks(modified_at: float, before: float, after: float) -> Finding:
    """The time of a file against our clock before and after it was written."""
    apart = max(before - modified_at, modified_at - after, 0.0)
    if apart > CLOCKS_MAY_DIFFER_S:
        return machine_failure(
            "storage clock",
            f"its clock and ours are {apart:,.0f} s apart, {CLOCKS_MAY_DIFFER_S:g} are allowed",
            "let ntp or chrony keep the time on all hosts: leases and sweeping compare file times with the clock",
        )
    return ok("storage clock", f"within {CLOCKS_MAY_DIFFER_S:g} s of ours")


def check_local_space(root_uri: str) -> Finding:
    """The disk below an archive in a local folder."""
    folder = Path(root_uri.removeprefix("file://"))
    there = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(there)
    return judge_space(usage.free, usage.total)


def judge_space(free: int, total: int) -> Finding:
    """Free bytes of a disk, or of HDFS."""
    share = free / max(total, 1)
    found = f"{gib(free)} of {gib(total)} free, {share:.0%}"
    if share < TOO_LITTLE:
        return machine_failure("space", found, GET_SPACE)
    return warning("space", found, GET_SPACE) if share < LITTLE else ok("space", found)


def judge_hdfs(status: HdfsStatus | None) -> Iterator[Finding]:
    """What the NameNode tells of HDFS."""
    if status is None:
        yield warning("hdfs", "the WebHDFS address tells nothing of the cluster", "look at `hdfs dfsadmin -report`")
        return
    if status.safe_mode:
        yield machine_failure(
            "hdfs", f"{status.namenode} takes no writes: {status.safe_mode}", "wait, or `hdfs dfsadmin -safemode leave`"
        )
    if status.live_datanodes == 0:
        yield machine_failure("hdfs", f"{status.namenode} has no DataNode", "start the DataNodes")
    elif status.dead_datanodes:
        yield warning("hdfs", f"{status.dead_datanodes} DataNodes are dead", "start them, or take them out")
    if status.missing_blocks:
        yield damage(
            "hdfs", f"{status.missing_blocks} blocks are missing", "look at `hdfs fsck / -list-corruptfileblocks`"
        )
    yield judge_space(status.free_bytes, status.total_bytes)
    if not status.safe_mode and status.live_datanodes:
        yield ok("hdfs", f"{status.namenode} answers, {status.live_datanodes} DataNodes are live")
