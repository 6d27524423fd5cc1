"""Degree of authorship and truck factor, on histories whose answers follow from the published formula by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from jobs.authorship import Change, Commit, FileHistory, histories, oldest_first, truck_factor


@pytest.mark.parametrize(
    ("first", "deliveries", "authors"),
    [
        ("a", {}, {"a"}),  # 4.391
        ("a", {"b": 1}, {"a", "b"}),  # 4.168, and 3.457, which is 0.83 of it
        ("a", {"a": 5, "b": 1}, {"a"}),  # 4.988, and 2.882
        ("a", {"b": 20}, {"b"}),  # 3.414, which is 0.52 of 6.573
        (None, {"a": 1, "b": 1}, set()),  # 3.235 both, below 3.293
        (None, {"a": 2}, {"a"}),
        (None, {}, set()),
    ],
)
def test_authors_of_a_file(first: str | None, deliveries: dict[str, int], authors: set[str]) -> None:
    assert FileHistory(first, Counter(deliveries)).authors() == authors


def test_a_history_follows_renames_and_forgets_what_was_deleted() -> None:
    found = histories(
        [
            ("a", [Change("A", "one", None), Change("A", "two", None), Change("A", "gone", None)]),
            ("b", [Change("M", "one", None), Change("D", "gone", None)]),
            ("c", [Change("R", "two", "one"), Change("R", "three", "two")]),  # in turn
            (None, [Change("M", "two", None), Change("A", "robot", None)]),
            ("b", [Change("A", "gone", None), Change("T", "robot", None), Change("M", "from a merge", None)]),
            ("a", [Change("A", "two", None)]),  # on another branch
        ]
    )
    assert {path: (each.first, dict(each.deliveries)) for path, each in found.items()} == {
        "two": ("a", {"b": 1, "c": 1, "a": 1}),
        "three": ("a", {"c": 1}),
        "gone": ("b", {}),
        "robot": (None, {"b": 1}),
        "from a merge": (None, {"b": 1}),
    }


def test_commits_come_after_their_parents_and_by_time() -> None:
    commits = {
        b"root": Commit((), 5, None),
        b"late": Commit((b"root",), 9, None),
        b"early": Commit((b"root",), 1, None),
        b"merge": Commit((b"late", b"early", b"early"), 0, None),
        b"lost parent": Commit((b"nowhere", b"merge"), 3, None),
        b"aside": Commit((b"root",), 2, None),
    }
    assert [*oldest_first(commits, b"lost parent")] == [b"root", b"early", b"late", b"merge", b"lost parent"]
    assert [*oldest_first(commits, b"nowhere")] == []


@pytest.mark.parametrize(
    ("files", "lost"),
    [
        ([], []),
        ([{"a"}], ["a"]),
        ([{"a"}, {"a"}, {"b"}, {"b"}, {"c"}], ["a", "b"]),
        ([{"a", "b"}, {"a", "b"}], ["a", "b"]),
        ([set(), set(), set(), {"a"}], []),
        ([{"c"}, {"b"}, {"a"}, {"d"}], ["a", "b", "c"]),
    ],
)
def test_who_has_to_go(files: list[set[str]], lost: list[str]) -> None:
    assert truck_factor(files) == lost
