"""What no benchmark of ours measures: hosts, network, NameNode and driver of a cluster that we do not have."""

from __future__ import annotations

from pipeline.rules.cluster import Cluster

THREADS = 1_000
RAW_BYTES = 2e15
"""Raw bytes of a full archive: at our usual ratio 100 TB stored, 300 TB on disk, of 500."""

DOWNLOAD_BYTES_S = 20e6
"""Bytes per second of one pack. Clones of public repositories: 1.5 to 64 MiB/s."""

DRIVER_TASKS_S = 2_500.0
"""Tasks that a Spark driver begins per second: 1,500 published in 2013, 1,500 to 4,000 guessed now."""

SLOWDOWN_SIGMA = 0.3
"""Tasks of equal work differ: lognormal. Guess; published stragglers stretch the median job by a third."""

RENAME_S, RENAMES_AT_ONCE = 0.005, 16
"""A NameNode's rename through WebHDFS (guess), and how many the leader has under way (night/landed.py)."""

FILE_ROW_BYTES = 30
"""Stored bytes of a row of ``files``, and of one moved path."""

NAME_BYTES = 20
"""Bytes of a blob's ext and name."""

TREE_MEMORY_BYTES, WANTED_MEMORY_BYTES, INDEXED_MEMORY_BYTES = 160, 100, 280
"""Memory of a restore per commit, tag and tree, per object that refs lead to, and per object of a pack that is indexed;
docs/limits.md."""

PACKING_MEMORY_BYTES, BATCH_MEMORY_BYTES = 64 * 2**20, 128 * 2**20
"""Memory of a restore in each of its processes, and in each that packs contents besides; docs/limits.md."""

DISK_BYTES_S = 200e6
"""Bytes per second that a disk writes. Spinning disks: 150 to 250 MB/s, guess."""

NAMENODE_BYTES_AN_OBJECT = 1_000
"""Heap of a NameNode for an inode or a block: it takes about a million of them per GB. Guess, of Hadoop's folklore."""

LEADER_BYTES, LEADER_BYTES_OF_A_MILLION = 221e6, 424e6
"""Memory of the leading process in a night of few visits, and in one of a million; docs/scale.md. It is taken to grow
by the visit. A night of 100,000 took 288 MB, so it grew faster at first."""

LEADER_BYTES_A_FIRST_VISIT = 700
"""The same per origin of a batch of the first crawl (pipeline/rules/batches.py)."""


def cluster(threads: int = THREADS) -> Cluster:
    """The cluster with this many threads and memory in proportion."""
    return Cluster(threads, threads * 6 * 10**9, threads * 500 * 10**9)
