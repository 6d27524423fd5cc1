"""Executors that fit a cluster's nodes."""

from __future__ import annotations

import pytest

from pipeline.rules.cluster import GIB, MIB, Cluster, Executors, executors
from pipeline.rules.offer import LEAST_HEAP_BYTES, Node, Offer, fit

CLUSTER = Cluster(threads=1000, memory_bytes=6 * 10**12)
TWO = Cluster(threads=2, memory_bytes=24 * GIB)


def idle(cores: int, gib: float) -> Node:
    return Node(cores, int(gib * GIB), cores, int(gib * GIB))


def total(shape: Executors) -> int:
    return shape.heap_bytes + shape.overhead_bytes + shape.off_heap_bytes


def test_nodes_that_are_large_enough_change_nothing() -> None:
    assert fit(CLUSTER, Offer((idle(32, 192),) * 32)) == Executors(192, 5, 12 * GIB, 8 * GIB, 2 * GIB)
    assert fit(TWO, Offer((idle(2, 24),))) == executors(TWO)


def test_two_workers_of_one_core_get_one_executor_each() -> None:
    """Executors of two cores, as two threads ask for, fit on neither."""
    assert fit(TWO, Offer((idle(1, 8), idle(1, 8)))) == Executors(2, 1, 4 * GIB, 2 * GIB, 409 * MIB)


def test_small_nodes_get_small_executors_that_fit() -> None:
    shape = fit(TWO, Offer((idle(1, 2), idle(1, 3))))
    assert shape is not None
    assert (shape.count, shape.cores) == (2, 1)
    assert total(shape) <= 2 * GIB
    assert shape.heap_bytes >= LEAST_HEAP_BYTES


def test_no_more_threads_than_configured() -> None:
    assert fit(Cluster(1, 24 * GIB), Offer((idle(1, 2),) * 5)).count == 1
    assert fit(Cluster(3, 96 * GIB), Offer((idle(64, 512),) * 5)).threads == 3


def test_what_is_free_decides_and_if_nothing_is_what_there_is() -> None:
    busy = Node(8, 64 * GIB, 1, 8 * GIB)
    assert fit(TWO, Offer((busy,))).cores == 1
    full = Node(8, 64 * GIB, 0, 0)
    assert fit(TWO, Offer((full,))) == executors(TWO)


@pytest.mark.parametrize("nodes", [(), (idle(1, 1.5),), (idle(0, 64),)])
def test_where_nothing_can_ever_fit(nodes: tuple[Node, ...]) -> None:
    assert fit(TWO, Offer(nodes)) is None


def test_a_driver_takes_its_place_on_the_largest_node() -> None:
    offer = Offer((idle(1, 2), idle(2, 9)), unit_bytes=GIB).without(1, int(1.2 * GIB))
    assert sorted(offer.nodes, key=lambda node: node.free_bytes) == [idle(1, 2), idle(1, 7)]
    assert Offer(()).without(1, GIB).nodes == ()


def test_containers_are_whole_units_and_have_a_largest_size() -> None:
    node = idle(1, 6.9)
    assert fit(TWO, Offer((node,))).heap_bytes == 4 * GIB
    in_units = fit(TWO, Offer((node,), unit_bytes=2 * GIB))  # three units, and the fourth is not whole
    capped = fit(TWO, Offer((idle(8, 64),), most_bytes=3 * GIB))
    assert in_units is not None
    assert capped is not None
    assert total(in_units) <= 6 * GIB
    assert total(capped) <= 3 * GIB
    assert fit(TWO, Offer((idle(8, 64),), most_cores=1)).cores == 1


def test_an_offer_is_told_in_a_sentence() -> None:
    told = str(Offer((idle(1, 2), Node(4, 8 * GIB, 1, GIB))))
    assert told == "nodes: 2, cores: 5 (2 free), memory: 10.0 GiB (3.0 GiB free, at most 2.0 GiB on one node)"
    assert str(Offer(())) == "there are no nodes"
