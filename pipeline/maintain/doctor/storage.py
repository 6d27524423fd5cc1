"""The archive's storage: whether it stores a file correctly, its clock, its space, and the state of HDFS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

from pipeline.maintain.doctor.finding import Finding, damage, machine_failure, ok, warning
from pipeline.maintain.doctor.machine import gib
from pipeline.storage.hdfs_status import HdfsStatus
from pipeline.storage.interface import Storage
from pipeline.storage.space import disk_space, local_folder

CLOCKS_MAY_DIFFER_S = 10.0
"""Allowed difference of two hosts' clocks, as in docs/limits.md; leases tolerate it."""

LITTLE, TOO_LITTLE = 0.1, 0.01
"""Shares of a disk that are free."""

GET_SPACE = "add space, or retire nights: pipeline maintain"


def check_probe(storage: Storage) -> Iterator[Finding]:
    """Write a file, stat it, read it back and delete it."""
    if storage.stat("") is None:
        yield ok("storage", f"{storage.root_uri} does not exist yet; nothing was written")
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
        yield damage("storage", "a file read back differs from what was written", "suspect the network or a disk")
        return
    yield ok("storage", f"{storage.root_uri} stores and returns a file, in {time.time() - before:.2f} s")
    if entry is not None:
        yield judge_clocks(entry.modified_at, before, after)


def judge_clocks(modified_at: float, before: float, after: float) -> Finding:
    """Compare a file's time with our clock before and after it was written."""
    apart = max(before - modified_at, modified_at - after, 0.0)
    if apart > CLOCKS_MAY_DIFFER_S:
        return machine_failure(
            "storage clock",
            f"its clock and ours are {apart:,.0f} s apart, {CLOCKS_MAY_DIFFER_S:g} are allowed",
            "use ntp or chrony to keep time on all hosts: leases and sweeping compare file times with the clock",
        )
    return ok("storage clock", f"within {CLOCKS_MAY_DIFFER_S:g} s of ours")


def check_local_space(root_uri: str) -> Finding:
    """Check the disk of an archive in a local folder."""
    space = disk_space(local_folder(root_uri))
    return judge_space(space.free_bytes, space.total_bytes)


def judge_space(free: int, total: int) -> Finding:
    """Judge the free bytes of a disk, or of HDFS."""
    share = free / max(total, 1)
    found = f"{gib(free)} of {gib(total)} free, {share:.0%}"
    if share < TOO_LITTLE:
        return machine_failure("space", found, GET_SPACE)
    return warning("space", found, GET_SPACE) if share < LITTLE else ok("space", found)


def judge_hdfs(status: HdfsStatus | None) -> Iterator[Finding]:
    """Judge HDFS by the NameNode's report."""
    if status is None:
        yield warning("hdfs", "the WebHDFS address reports nothing about the cluster", "run `hdfs dfsadmin -report`")
        return
    if status.safe_mode:
        yield machine_failure(
            "hdfs", f"{status.namenode} is read-only: {status.safe_mode}", "wait, or `hdfs dfsadmin -safemode leave`"
        )
    if status.live_datanodes == 0:
        yield machine_failure("hdfs", f"{status.namenode} has no DataNode", "start the DataNodes")
    elif status.dead_datanodes:
        yield warning("hdfs", f"{status.dead_datanodes} DataNodes are dead", "start them, or remove them")
    if status.missing_blocks:
        yield damage("hdfs", f"{status.missing_blocks} blocks are missing", "run `hdfs fsck / -list-corruptfileblocks`")
    yield judge_space(status.free_bytes, status.total_bytes)
    if not status.safe_mode and status.live_datanodes:
        yield ok("hdfs", f"{status.namenode} answers, {status.live_datanodes} DataNodes are live")
