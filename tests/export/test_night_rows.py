"""Trainings that read a night's data files: every row once an epoch, whoever shares the work."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.model.origin import bucket_of, network_id
from pipeline.model.tombstone import OBJECT, Tombstone
from pipeline.read.export.night_rows import NightRows
from pipeline.rules.epochs import Share
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import IcebergTable, full_name
from pipeline.tables.snapshot.live_files import live_files
from pipeline.tables.snapshot.metadata import read_metadata
from pipeline.tables.tombstones import add_tombstones, set_removed
from tests.export.conftest import FIRST, PYTHON
from tests.tables.conftest import ADDED, night
from tests.tables.landing import BUCKETS, oid_of


def ids(spark: SparkSession, condition: str = "true") -> list[bytes]:
    return sorted(bytes(row.oid) for row in spark.table(full_name("contents")).where(condition).collect())


@pytest.mark.slow
def test_each_row_is_read_once_an_epoch_and_a_stop_loses_none(sealed: SparkSession, storage: Storage) -> None:
    everything = ids(sealed)
    rows = NightRows(storage, night(2), head_only=False, seed=1)
    assert len(rows.parts) > 1
    for ranks, workers in ((1, 1), (2, 3)):
        dealt = [
            row["oid"]
            for rank in range(ranks)
            for worker in range(workers)
            for row in rows.rows(Share(rank, ranks, worker, workers))
        ]
        assert sorted(dealt) == everything

    whole = [row["oid"] for row in rows]
    assert (sorted(whole), rows.epoch) == (everything, 1)
    again = pickle.loads(pickle.dumps(NightRows(storage, seed=1, head_only=False)))
    reading = iter(again)
    first = [next(reading)["oid"] for _ in range(5)]
    later = NightRows(storage, seed=1, head_only=False)
    later.load_state_dict(again.state_dict())
    assert first + [row["oid"] for row in later] == whole
    assert [row["oid"] for row in later] == [row["oid"] for row in rows]  # the second epoch of both


def test_only_what_may_be_read_is(sealed: SparkSession, storage: Storage) -> None:
    gone, network = oid_of(b"blob", PYTHON), network_id(FIRST)
    before, snapshot = ids(sealed), current_snapshot(sealed)
    try:
        add_tombstones(sealed, [Tombstone("t2", OBJECT, ADDED, bucket_of(network, BUCKETS), network, gone)])
        sealed.sql(f"ALTER TABLE {full_name('contents')} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
        sealed.sql(f"DELETE FROM {full_name('contents')} WHERE name = '3.py'")
        after = ids(sealed)
        of_the_night, current = NightRows(storage, night(2), ("oid",)), NightRows(storage, night(2), ("oid",))
        current._files = live_files(storage, read_metadata(storage, "contents").lists[current_snapshot(sealed)])
        assert {row["oid"] for row in of_the_night} == set(before) - {gone}
        assert {row["oid"] for row in current} == set(after) - {gone}
        assert len(after) < len(before)
    finally:
        set_removed(sealed, ["t2"])
        sealed.sql(f"CALL system.rollback_to_snapshot('code.contents', {snapshot})")


def test_the_page_s_example_runs(sealed: SparkSession, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/training_data.md").read_text()
    (block,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "NightRows" in block)
    exec(block.replace('"archive"', repr(str(root))), {})
    assert capsys.readouterr().out.strip().endswith((".py", ".c", ".png", ".rb"))


def current_snapshot(spark: SparkSession) -> int:
    return IcebergTable(spark, "contents").current().id


def test_workers_of_a_loader(sealed: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what torch tells a worker; test_loaders.py has torch itself."""
    told = SimpleNamespace(info=None)
    data: Any = ModuleType("torch.utils.data")
    data.IterableDataset, data.get_worker_info = type("IterableDataset", (), {}), lambda: told.info
    torch: Any = ModuleType("torch")
    torch.distributed = SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: 1, get_world_size=lambda: 2
    )
    for name, module in (("torch", torch), ("torch.utils", ModuleType("torch.utils")), ("torch.utils.data", data)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "pipeline.read.export.torch_rows", raising=False)
    from pipeline.read.export.torch_rows import TorchRows

    rows = TorchRows(storage)
    assert isinstance(rows, data.IterableDataset)
    assert rows.share == Share(1, 2)
    told.info = SimpleNamespace(id=2, num_workers=3)
    assert rows.share == Share(1, 2, 2, 3)
    plain = NightRows(storage)
    assert list(rows) == list(plain.rows(Share(1, 2, 2, 3)))
