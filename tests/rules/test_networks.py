"""Very many forks of one root are divided into networks of their own."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.model.origin import Origin, network_id
from pipeline.rules import networks
from pipeline.rules.networks import NETWORK_ORIGINS, placed

ROOT = "https://example.org/root"


def forks(count: int) -> list[Origin]:
    return [Origin(f"https://example.org/fork-{n}", ROOT) for n in range(count)]


def test_origins_of_usual_networks_are_where_they_always_were() -> None:
    origins = [Origin(ROOT), *forks(NETWORK_ORIGINS - 1), Origin("https://example.org/other")]
    assert [network for _, network in placed(origins, {})] == [origin.network for origin in origins]


def test_no_part_has_more_origins_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "NETWORK_ORIGINS", 10)
    found = Counter(network for _, network in placed([Origin(ROOT), *forks(34)], {}))
    assert list(found.items()) == [(network_id(ROOT, part), 10 if part < 3 else 5) for part in range(4)]


def test_what_is_added_later_continues_where_others_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "NETWORK_ORIGINS", 10)
    at_once = list(placed(forks(25), {}))
    assert at_once == [*placed(forks(12), {}), *placed(forks(25)[12:], {ROOT: 12})]


def test_nothing_is_added_to_a_part_that_was_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "NETWORK_ORIGINS", 10)
    closed = {network_id(ROOT, 1), network_id(ROOT, 2)}
    assert {network for _, network in placed(forks(15)[10:], {ROOT: 10}, closed)} == {network_id(ROOT, 3)}


def test_parts_have_ids_that_no_root_has() -> None:
    assert len({network_id(ROOT), network_id(ROOT, 1), network_id(ROOT, 2), network_id(f"{ROOT}1")}) == 4
