"""The targets of a takedown, the rows that it dooms, and what it removes from records: without Spark."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.maintain.takedown.doomed import Doomed
from pipeline.maintain.takedown.runs import without
from pipeline.maintain.takedown.targets import BadTargets, Target, parse_target, parse_targets
from pipeline.model.errors import UsageError

A, B, C = (bytes([n]) * 20 for n in (1, 2, 3))
URL, OTHER = "https://host/a", "https://host/a/b"


def test_targets_are_urls_and_ids() -> None:
    assert parse_target("HTTPS://host/a/") == Target(url=URL)
    assert parse_target(A.hex().upper()) == Target(oid=A)
    for bad in ("host/a", "ab", A.hex()[1:], "https://user:secret@host/a", ""):
        with pytest.raises(UsageError) as refused:
            parse_target(bad)
        assert "secret" not in str(refused.value)
    assert parse_targets("f", [f"{URL} # why", "# x", "", URL, A.hex()]) == [Target(url=URL), Target(oid=A)]
    with pytest.raises(BadTargets) as bad_list:
        parse_targets("f", [URL, "nonsense", f"{URL} {OTHER}"])
    assert [where for where, _ in bad_list.value.problems] == ["line 2", "line 3"]


def objects(*rows: tuple[int | None, bytes | None], stored: str = "yes") -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "network": pa.array([row[0] for row in rows], pa.int64()),
            "oid": pa.array([row[1] for row in rows], pa.binary()),
            "stored": [stored] * len(rows),
        }
    )


def test_rows_are_told_by_network_and_id() -> None:
    doomed = Doomed(networks=frozenset({7}), objects={1: frozenset({A})}, marked={1: frozenset({B}), 2: frozenset({B})})
    rows = objects((1, A), (2, A), (1, B), (2, B), (3, B), (7, C), (None, A), (1, None))
    assert doomed.rows("contents", rows).to_pylist() == [True, False, True, True, False, True, False, False]
    assert doomed.to_mark("blobs", rows).to_pylist() == [False, False, True, True, False, False, False, False]
    again = objects((1, B), (1, A), stored="taken_down")
    assert doomed.rows("blobs", again).to_pylist() == [False, True], "marked once"
    assert doomed.where("contents") == {1, 2, 7}
    assert doomed.where("refs") == frozenset()


def test_rows_of_an_origin_are_told_by_its_whole_url() -> None:
    doomed = Doomed(urls={1: frozenset({URL})})
    rows = pa.RecordBatch.from_pydict({"network": [1, 1, 2, None], "origin": [URL, OTHER, URL, URL]})
    assert doomed.rows("refs", rows).to_pylist() == [True, False, False, False]
    assert doomed.where("contents") == frozenset()


def test_records_of_an_origin_go_and_all_else_stays() -> None:
    document = {
        "visits": [{"origin": URL, "n": 1}, {"origin": OTHER, "url": None}],
        "manifest": {"visits": [{"url": URL}], "files": [["x"]]},
        "note": URL,
    }
    assert without(document, {URL}) == {
        "visits": [{"origin": OTHER, "url": None}],
        "manifest": {"visits": [], "files": [["x"]]},
        "note": URL,
    }
