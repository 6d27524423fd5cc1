"""What the Python workers of ``truck_factor`` do; on a night it is run in ``tests/jobs/test_on_a_night.py``."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from jobs import truck_factor

ROWS = pa.schema(
    [
        ("origin", pa.string()),
        ("head_commit", pa.binary()),
        ("oid", pa.binary()),
        ("parents", pa.list_(pa.binary())),
        ("time", pa.int64()),
        ("developer", pa.string()),
        ("status", pa.string()),
        ("path", pa.string()),
        ("old_path", pa.string()),
    ]
)


def factor(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    full = [{"origin": "o", "head_commit": b"1"} | row for row in rows]
    batches = pa.Table.from_pylist(full, ROWS).to_batches(max_chunksize=2)
    return [row for batch in truck_factor._factor(iter(batches)) for row in batch.to_pylist()]


COMMIT = {"oid": b"1", "time": 1, "developer": "jo"}
CHANGE = {"oid": b"1", "status": "A", "path": "a.py"}


def test_files_without_a_history_have_no_author() -> None:
    (found,) = factor(COMMIT, CHANGE, {"path": "a.py"}, {"path": "b.py"}, {"path": "c.py"})
    assert (found["files"], found["authors"], found["truck_factor"]) == (3, 1, 0)
    assert factor(COMMIT, CHANGE) == []


def test_a_repository_with_too_many_rows_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (COMMIT, CHANGE, {"path": "a.py"})
    monkeypatch.setattr(truck_factor, "MOST_ROWS", 3)
    assert len(factor(*rows)) == 1
    monkeypatch.setattr(truck_factor, "MOST_ROWS", 2)
    assert factor(*rows) == []
    assert factor(*rows, {"path": "a.py"}) == []
