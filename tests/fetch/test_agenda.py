"""The order of visits and questions, whatever workers do and die of."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch.agenda import Agenda, DueNetwork, Errand
from pipeline.rules.ref_digest import DIGEST_BYTES, UNKNOWN


def digest(number: int) -> bytes:
    return b"%0*d" % (DIGEST_BYTES, number)


def family(count: int, *, surveyed: bool = True) -> DueNetwork:
    network = DueNetwork(0, 1, [f"git://h/{n}" for n in range(count)])
    if surveyed:
        network.surveyed(b"".join(map(digest, range(1, count + 1))))
    return network


def visit(network: DueNetwork, index: int) -> Errand:
    return Errand(network, index)


def question(network: DueNetwork, index: int) -> Errand:
    return Errand(network, index, digest(index + 1))


def test_one_worker_visits_and_the_others_ask() -> None:
    forks, single = family(4, surveyed=False), family(1)
    agenda = Agenda([forks, family(0), single])
    assert agenda.next(None) == visit(forks, 0)
    assert agenda.next(None) == visit(single, 0), "no question before the refs are known"
    forks.surveyed(b"".join(map(digest, range(1, 5))))
    assert [agenda.next(None) for _ in range(4)] == [*(question(forks, n) for n in (1, 2, 3)), None]


def test_one_worker_alone_asks_nothing() -> None:
    forks = family(3)
    agenda, held = Agenda([forks]), None
    for index in range(3):
        assert agenda.next(held) == visit(forks, index)
        forks.end(index)
        held = forks
    assert agenda.next(held) is None
    assert forks.is_done


def test_changed_origins_are_visited_in_their_order() -> None:
    forks = family(4)
    agenda = Agenda([forks])
    for _ in range(4):
        agenda.next(None)
    for index in (3, 2):
        forks.must_be_visited(index)
    forks.end(0)
    assert agenda.next(forks) is None, "the answer of the second may come any time"
    forks.end(1)
    assert agenda.next(forks) == visit(forks, 2)
    assert agenda.next(None) is None, "one at a time"
    forks.end(2)
    assert agenda.next(forks) == visit(forks, 3)


def test_an_origin_without_known_refs_is_not_asked() -> None:
    forks = family(3, surveyed=False)
    forks.surveyed(digest(1) + UNKNOWN + digest(3))
    agenda = Agenda([forks])
    assert [agenda.next(None) for _ in range(3)] == [visit(forks, 0), question(forks, 2), None]
    forks.end(0)
    assert agenda.next(forks) == visit(forks, 1)


def test_networks_that_nobody_holds_come_before_questions() -> None:
    forks, first, second = family(3), family(1), family(1)
    agenda = Agenda([forks, first, second])
    errands = [visit(forks, 0), visit(first, 0), visit(second, 0), question(forks, 1)]
    assert [agenda.next(None) for _ in errands] == errands


def test_every_due_origin_has_a_digest() -> None:
    with pytest.raises(ValueError, match="31 bytes of digests for 2 origins"):
        family(2, surveyed=False).surveyed(b"x" * 31)


def test_a_slow_answer_keeps_no_other_network_waiting() -> None:
    """Its worker lets go of the network, and whoever is free takes it up later."""
    forks, other = family(3), family(2)
    agenda = Agenda([forks, other])
    assert [agenda.next(None) for _ in range(3)] == [visit(forks, 0), visit(other, 0), question(forks, 1)]
    forks.end(0)
    assert agenda.next(forks) == question(forks, 2)
    forks.must_be_visited(2)
    other.end(0)  # with its worker
    agenda.let_go(other)
    other.begin(1)
    assert agenda.next(forks) is None, "the answer of its next origin, too, may come any time"
    other.must_be_visited(1)
    assert agenda.next(forks) == visit(other, 1)
    forks.end(1)
    assert agenda.next(None) == visit(forks, 2)


@dataclass
class Hand:
    """A worker: what it holds and does."""

    held: DueNetwork | None = None
    errand: Errand | None = None


@dataclass
class Trial:
    networks: list[DueNetwork]
    hands: list[Hand]
    ended: list[tuple[int, int]] = field(default_factory=list)
    begun: list[tuple[int, int]] = field(default_factory=list)


SIZES = st.lists(st.integers(0, 6), min_size=1, max_size=4)


@given(sizes=SIZES, hands=st.integers(1, 5), data=st.data())
def test_every_origin_ends_once_and_visits_keep_their_order(sizes: list[int], hands: int, data: st.DataObject) -> None:
    networks = [DueNetwork(n, n, [f"git://h/{n}/{o}" for o in range(size)]) for n, size in enumerate(sizes)]
    agenda = Agenda(networks)
    trial = Trial(networks, [Hand() for _ in range(hands)])
    while True:
        for hand in trial.hands:
            if hand.errand is None and (errand := agenda.next(hand.held)) is not None:
                begin(trial, hand, errand)
        busy = [hand for hand in trial.hands if hand.errand is not None]
        if not busy:
            break
        carry_out(trial, agenda, data.draw(st.sampled_from(busy)), data)
    assert sorted(trial.ended) == sorted((n.place, o) for n in networks for o in range(len(n.due)))
    assert all(network.is_done for network in networks)
    for network in networks:
        order = [index for place, index in trial.begun if place == network.place]
        assert order == sorted(order)


def begin(trial: Trial, hand: Hand, errand: Errand) -> None:
    hand.errand = errand
    if errand.is_visit:
        visits = [h.errand for h in trial.hands if h.errand is not None and h.errand.is_visit]
        assert [other.network for other in visits].count(errand.network) == 1, "one at a time"
        assert not any(h.held is errand.network for h in trial.hands if h is not hand), "one holds it"
        hand.held = errand.network
        trial.begun.append((errand.network.place, errand.index))


def carry_out(trial: Trial, agenda: Agenda, hand: Hand, data: st.DataObject) -> None:
    errand, hand.errand = hand.errand, None
    assert errand is not None
    network = errand.network
    what = data.draw(st.sampled_from(["ends", "changed", "dies", "surveyed"]))
    if what == "surveyed" and errand.is_visit:
        network.surveyed(b"".join(map(digest, range(1, len(network.due) + 1))))
        hand.errand = errand
        return
    if what == "changed" and not errand.is_visit:
        network.must_be_visited(errand.index)
        return
    network.end(errand.index)
    trial.ended.append((network.place, errand.index))
    if what == "dies" and hand.held is not None:
        held, hand.held = hand.held, None
        agenda.let_go(held)
