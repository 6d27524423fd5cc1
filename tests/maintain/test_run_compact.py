"""The lease of a compaction, and when it may renew ``at_head``; no Spark."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.context.config import Config, FetchSection
from pipeline.context.run import hold
from pipeline.context.workplace import Workplace
from pipeline.maintain.compact import Compacted, Manner, _Bucket, _Run
from pipeline.maintain.rewrite_piece import Layout
from pipeline.maintain.run_compact import PURPOSE, Renewal, compact_chosen
from pipeline.model.layout import Load
from pipeline.model.tables import CONTENTS
from pipeline.rules.budget import Budget
from pipeline.rules.cluster import PieceJobs
from pipeline.rules.compaction import BucketStats
from pipeline.storage.errors import StorageUnavailable, StoredFileDamaged
from pipeline.storage.interface import Uploaded
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.lease_record import ArchiveHeld
from pipeline.storage.local import LocalStorage
from pipeline.tables.maintained import BucketFiles, FilesChanged
from pipeline.tables.writer import Writer


def test_a_night_waits_for_a_commit_of_a_compaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path / "archive")
    place = Workplace(Config(fetch=FetchSection(scratch=tmp_path / "scratch")), storage)
    committing = Lease.acquire(storage, Owner.here("r1", PURPOSE), heartbeat=False)
    refused: list[str] = []

    def refuse_and_commit(*arguments: Any, **settings: Any) -> Lease:
        try:
            return Lease.acquire(*arguments, **settings)
        except ArchiveHeld as held:
            refused.append(held.owner.purpose)
            committing.release()
            raise

    monkeypatch.setattr("pipeline.context.run.Lease", SimpleNamespace(acquire=refuse_and_commit))
    with hold(place, "night 2026-11-02"):
        assert refused == [PURPOSE]
        with pytest.raises(ArchiveHeld), hold(place, "maintain"):
            pytest.fail("two runs held the archive")


def test_at_head_is_renewed_only_when_every_load_is_complete(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    renewal = Renewal(storage)
    assert renewal.may_begin()
    first, second = (Load.of_night(date(2026, 11, day)) for day in (2, 3))
    storage.create(first.plan, b"{}")
    assert not renewal.may_begin()
    assert not renewal.may_begin()
    storage.create(first.finished, b"{}")
    assert renewal.may_begin()
    storage.create(second.plan, b"{}")
    assert not renewal.may_begin()
    assert renewal.complete == {first.name}


NEW = [Uploaded(f"tables/code/contents/data/bucket={n}/compacted-1.parquet", 5, "00" * 32) for n in range(3)]


@pytest.mark.parametrize(("each_s", "recordings"), [(0.0, [[0], [1], [2]]), (1e9, [[0, 1, 2]])])
def test_what_was_committed_is_recorded_now_and_then_and_before_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each_s: float, recordings: list[list[int]]
) -> None:
    recorded: list[list[str]] = []

    def fails(spark: object, storage: object, chosen: object, budget: object, manner: Manner, writing: object) -> Any:
        for number, file in enumerate(NEW):
            manner.on_new([file])
            yield Compacted("contents", number, 1, 1, 9, 1, 5, 1.0)
        raise StorageUnavailable("tables", "no NameNode answers")

    def noted(storage: object, uploaded: dict[str, tuple[int, bytes]]) -> None:
        recorded.append(sorted(uploaded))
        assert set(uploaded.values()) == {(5, bytes(32))}

    monkeypatch.setattr("pipeline.maintain.run_compact.RECORD_EACH_S", each_s)
    monkeypatch.setattr("pipeline.maintain.run_compact.compact", fails)
    monkeypatch.setattr("pipeline.maintain.run_compact.record_changes", noted)
    monkeypatch.setattr(Workplace, "spark", lambda self: None)
    place = Workplace(Config(fetch=FetchSection(scratch=tmp_path / "scratch")), LocalStorage(tmp_path / "archive"))
    with pytest.raises(StorageUnavailable):
        compact_chosen(place, [], Budget(), on_damage=pytest.fail)
    assert recorded == [[NEW[n].path for n in numbers] for numbers in recordings]


def test_damage_that_a_commit_finds_costs_only_its_bucket(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    damaged: list[str] = []
    errors = iter([StoredFileDamaged("tables/code/files/data/bucket=0/1.parquet", "is torn"), FilesChanged("x", "y")])

    def writing(patiently: bool) -> AbstractContextManager[Writer]:
        raise next(errors)

    manner = Manner(Layout(1, 1), PieceJobs(1, 1), None, lambda: True, on_damage=damaged.append)
    run = _Run(cast("Any", None), storage, iter(()), Budget(), manner, writing, cast("Any", None), taken_bytes=20)
    stats = BucketStats("contents", 0, 1, 10, 1, 1, 10, 0, "")
    run.held_up = [_Bucket(stats, CONTENTS, BucketFiles(0, (), (), {}), None, (), None, 0.0) for _ in range(2)]
    assert list(run._commit(patiently=True)) == []
    assert damaged == ["tables/code/files/data/bucket=0/1.parquet"]
    assert (run.held_up, run.taken_bytes) == ([], 0)
