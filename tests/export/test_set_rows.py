"""Trainings that read an export: every row once an epoch, whoever shares the work."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.read.export.manifest import MANIFEST
from pipeline.read.export.set_rows import NoSet, SetRows
from pipeline.rules.epochs import Share
from pipeline.storage.local import LocalStorage
from tests.export.made_set import made_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_set(tmp_path_factory.mktemp("set"), shards=3, groups=2, rows=5)


def test_each_row_is_read_once_an_epoch_and_a_stop_loses_none(folder: Path) -> None:
    rows = SetRows(LocalStorage(folder), seed=1)
    assert len(rows.parts) == 6
    for ranks, workers in ((1, 1), (2, 2), (3, 4)):
        shares = [Share(rank, ranks, worker, workers) for rank in range(ranks) for worker in range(workers)]
        dealt = [row["path"] for share in shares for row in rows.rows(share)]
        assert sorted(dealt) == [f"/{at:02}.py" for at in range(30)]
    whole = [row["path"] for row in rows]
    assert rows.epoch == 1
    again = pickle.loads(pickle.dumps(SetRows(LocalStorage(folder), seed=1)))
    reading = iter(again)
    first = [next(reading)["path"] for _ in range(7)]
    later = SetRows(LocalStorage(folder), seed=1)
    later.load_state_dict(again.state_dict())
    assert first + [row["path"] for row in later] == whole
    second = [row["path"] for row in later]
    assert second == [row["path"] for row in rows]  # the second epoch of both
    assert sorted(second) == sorted(whole)
    assert second != whole


def test_a_look_at_the_first_row_loses_none(folder: Path) -> None:
    rows = SetRows(LocalStorage(folder), seed=1)
    first = next(iter(rows))
    copy = pickle.loads(pickle.dumps(rows))  # as a worker of a loader gets it
    for each in (rows, copy):
        assert next(iter(each)) == first
    begun = iter(copy)
    assert copy.state_dict()["rows"] == 0
    assert len(list(begun)) == 30


def test_columns_are_those_asked_for(folder: Path) -> None:
    assert next(iter(SetRows(LocalStorage(folder), ("content",)))) == {"content": "0\n"}


def test_only_complete_exports_in_parquet_are_read(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSet):
        SetRows(LocalStorage(tmp_path))
    text = (folder / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace('"format": "parquet"', '"format": "jsonl"'))
    with pytest.raises(NoSet):
        SetRows(LocalStorage(tmp_path))


def test_a_row_group_is_arrow_s_own(folder: Path) -> None:
    rows = SetRows(LocalStorage(folder))
    group = rows._wanted(rows.parts[1])
    assert (group.number, len(group.positions), pa.array(group.positions).to_pylist()) == (1, 5, [0, 1, 2, 3, 4])
