"""Executors that fit what a cluster's nodes offer. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.rules.cluster import GIB, MIB, Cluster, Executors, executors, executors_of

LEAST_HEAP_BYTES = GIB
"""Least heap of an executor of one core: it may hold one compacted row group (decision 12)."""


GOOD_ENOUGH = 0.9
"""Share of the threads that other executors could have, at which those with more cores are preferred."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node, with what it has and what of it nobody uses now."""

    cores: int
    memory_bytes: int
    free_cores: int
    free_bytes: int

    @property
    def empty(self) -> Node:
        """The same node when nobody uses it."""
        return replace(self, free_cores=self.cores, free_bytes=self.memory_bytes)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the nodes of a cluster offer; there may be none.

    Attributes:
        unit_bytes: memory is given in multiples of this.
        most_cores, most_bytes: the largest that is ever given at once; 0 for as much as a node has.
    """

    nodes: tuple[Node, ...]
    unit_bytes: int = MIB
    most_cores: int = 0
    most_bytes: int = 0

    def __str__(self) -> str:
        if not self.nodes:
            return "there are no nodes"
        cores, free_cores = sum(n.cores for n in self.nodes), sum(n.free_cores for n in self.nodes)
        memory, free = sum(n.memory_bytes for n in self.nodes), sum(n.free_bytes for n in self.nodes)
        largest = max(node.free_bytes for node in self.nodes)
        return (
            f"nodes: {len(self.nodes)}, cores: {cores} ({free_cores} free), memory: {in_gib(memory)} ({in_gib(free)} "
            f"free, at most {in_gib(largest)} on one node)"
        )

    def without(self, cores: int, memory_bytes: int) -> Offer:
        """What is left when a driver of this size runs on the node with the most free memory."""
        nodes = sorted(self.nodes, key=lambda node: node.free_bytes, reverse=True)
        if not nodes:
            return self
        first, taken = nodes[0], self._given(memory_bytes)
        left = Node(
            max(first.cores - cores, 0),
            max(first.memory_bytes - taken, 0),
            max(first.free_cores - cores, 0),
            max(first.free_bytes - taken, 0),
        )
        return replace(self, nodes=(left, *nodes[1:]))

    def places(self, one: Executors) -> int:
        """How many executors of this size fit beside each other now."""
        taken = self._given(one.bytes_each)
        if one.cores > (self.most_cores or one.cores) or taken > (self.most_bytes or taken):
            return 0
        return sum(min(node.free_cores // one.cores, node.free_bytes // taken) for node in self.nodes)

    def largest(self) -> tuple[int, ...]:
        """For each node with a free core the most memory that one container there may have now."""
        whole = [node.free_bytes // self.unit_bytes * self.unit_bytes for node in self.nodes if node.free_cores]
        return tuple(min(size, self.most_bytes or size) for size in whole)

    def emptied(self) -> Offer:
        """What the nodes offer when nobody uses them."""
        return replace(self, nodes=tuple(node.empty for node in self.nodes))

    def _given(self, memory_bytes: int) -> int:
        return -(-memory_bytes // self.unit_bytes) * self.unit_bytes


def fit(cluster: Cluster, offer: Offer) -> Executors | None:
    """The executors for a cluster of this shape, made smaller if its nodes are smaller.

    What is free now decides. If nothing is, what the nodes have decides: an executor of that size waits, and starts
    when others end.

    Returns:
        None if no node could ever hold the smallest useful executor.
    """
    return _fit(cluster, offer) or _fit(cluster, offer.emptied())


def _fit(cluster: Cluster, offer: Offer) -> Executors | None:
    threads = executors(cluster).threads
    possible = [
        replace(one, count=min(offer.places(one), threads // cores))
        for cores in range(executors(cluster).cores, 0, -1)
        for one in [executors_of(cores)]
    ]
    most = max(shape.threads for shape in possible)
    if not most:
        return _shrunk(threads, offer)
    return next(shape for shape in possible if shape.threads >= GOOD_ENOUGH * most)


def _shrunk(threads: int, offer: Offer) -> Executors | None:
    """At most one executor of one core per node, all as large as the smallest of those nodes allows."""
    one = executors_of(1)
    least = one.bytes_each * LEAST_HEAP_BYTES // one.heap_bytes
    sizes = sorted((size for size in offer.largest() if size >= least), reverse=True)[:threads]
    if not sizes:
        return None
    share = min(sizes[-1] / one.bytes_each, 1.0)
    return Executors(
        len(sizes), 1, _part(one.heap_bytes, share), _part(one.overhead_bytes, share), _part(one.off_heap_bytes, share)
    )


def _part(size_bytes: int, share: float) -> int:
    return int(size_bytes * share) // MIB * MIB


def in_gib(size_bytes: int) -> str:
    """Memory for people."""
    return f"{size_bytes / GIB:.1f} GiB"
