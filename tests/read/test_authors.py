"""What the Python workers of ``authors`` do; on a night it is run in ``tests/jobs/test_on_a_night.py``."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.read.authors import _count_network, _named

COMMITS = pa.schema(
    [
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("oid", pa.binary()),
        ("parents", pa.list_(pa.binary())),
        ("author_name", pa.string()),
        ("author_email", pa.string()),
        ("origins", pa.list_(pa.string())),
    ]
)
PEOPLE = pa.schema(
    [
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("mailmap", pa.binary()),
        ("author_name", pa.string()),
        ("author_email", pa.string()),
    ]
)


def commit(oid: bytes, parents: list[bytes], name: str | None, origins: list[str] | None = None) -> pa.RecordBatch:
    email = None if name is None else f"{name}@x"
    cells: list[Any] = [1, 5, oid, parents, name, email, origins]
    return pa.RecordBatch.from_pylist([dict(zip(COMMITS.names, cells, strict=True))], COMMITS)


def test_each_origin_has_the_authors_of_what_it_reaches() -> None:
    batches = [
        commit(b"1", [], "a"),
        commit(b"2", [b"1", b"lost"], "b", ["fork", "same"]),
        commit(b"3", [b"2"], "a", ["root"]),
        commit(b"4", [], None, ["root"]),
        commit(b"5", [], "nobody's"),
    ]
    found = [row for batch in _count_network(iter(batches)) for row in batch.to_pylist()]
    assert {(row["bucket"], row["network"]) for row in found} == {(1, 5)}
    assert sorted((row["origin"], row["author_name"] or "", row["commits"]) for row in found) == [
        ("fork", "a", 1),
        ("fork", "b", 1),
        ("root", "", 1),
        ("root", "a", 2),
        ("root", "b", 1),
        ("same", "a", 1),
        ("same", "b", 1),
    ]
    assert [*_count_network(iter([commit(b"1", [], "a")]))] == []


def test_names_are_those_of_the_mailmap_and_programs_are_marked() -> None:
    people = [("Jo", "JO@old"), ("k8s-ci-robot", "x@y"), ("ci", "jenkins-x@y"), (None, None)]
    rows = [dict(zip(PEOPLE.names, (1, 5, b"m", *person), strict=True)) for person in people]
    written = pa.Table.from_pylist(rows, PEOPLE)
    mailmap = pa.table({"content": pa.array([b"Jo Doe <jo@new> <jo@old>\nThe CI <ci@y> <jenkins-x@y>\n"])})
    found = _named(written, mailmap).to_pylist()
    assert [(row["mailmap"], row["name"], row["email"], row["is_bot"]) for row in found] == [
        (b"m", "Jo Doe", "jo@new", False),
        (b"m", "k8s-ci-robot", "x@y", True),
        (b"m", "The CI", "ci@y", True),
        (b"m", None, None, False),
    ]
    assert _named(written, mailmap.slice(1)).column("name").to_pylist() == [name for name, _ in people]
    assert _named(written.slice(4), mailmap).num_rows == 0
