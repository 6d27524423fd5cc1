"""Finds the bucket to blame when work on many buckets fails; needs no Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.errors import PipelineError
from pipeline.storage.errors import StorageUnavailable, StoredFileDamaged
from pipeline.storage.local import LocalStorage
from pipeline.tables import isolate as module
from pipeline.tables.failures import SparkFailed
from pipeline.tables.isolate import isolate_buckets, isolate_networks

ODD = SparkFailed("RuntimeException", "odd data")


class Spark:
    """Counts to one, unless it is broken."""

    ill = False

    def range(self, count: int) -> Spark:
        return self

    def count(self) -> int:
        if self.ill:
            raise ODD
        return 1


class Work:
    """Fails as long as it gets a bad item."""

    def __init__(self, bad: Mapping[int, PipelineError]) -> None:
        self.bad = bad
        self.asked: list[list[int]] = []

    def __call__(self, items: list[int]) -> list[int]:
        self.asked.append(items)
        for item in items:
            if item in self.bad:
                raise self.bad[item]
        return items


def damaged(bucket: int, *, named: bool = True) -> StoredFileDamaged:
    return StoredFileDamaged(f"file:///a/tables/code/refs/data/bucket={bucket}/1.parquet" if named else "", "torn")


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(module, "find_damaged", lambda spark, storage, buckets: damaged(buckets[0]))
    storage = LocalStorage(tmp_path)

    def run(work: Work, buckets: int = 16, spark: Spark | None = None, suspects: tuple[int, ...] = ()) -> Any:
        return isolate_buckets(spark or Spark(), storage, range(buckets), work, suspects)  # type: ignore[arg-type]

    return run


def done(result: Any) -> list[int]:
    return sorted(item for items in result.done for item in items)


@pytest.mark.parametrize("bad", [[], [3], [0, 15], [4, 5, 6]])
@pytest.mark.parametrize("named", [True, False])
def test_all_others_are_done(isolated: Callable[..., Any], bad: list[int], named: bool) -> None:
    work = Work({bucket: damaged(bucket, named=named) for bucket in bad})
    result = isolated(work)
    assert done(result) == [bucket for bucket in range(16) if bucket not in bad]
    assert {bucket: error.path for bucket, error in result.failed.items()} == {b: damaged(b).path for b in bad}
    if named:
        assert len(work.asked) == len(bad) + 1


def test_odd_data_is_found_by_halves(isolated: Callable[..., Any]) -> None:
    result = isolated(Work({7: ODD}))
    assert (done(result), result.failed) == ([b for b in range(16) if b != 7], {7: ODD})


def test_suspects_hold_up_nobody(isolated: Callable[..., Any]) -> None:
    work = Work({7: ODD})
    assert list(isolated(work, suspects=(7, 9)).failed) == [7]
    assert work.asked == [[b for b in range(16) if b not in (7, 9)], [7], [9]]


@pytest.mark.parametrize(
    "error",
    [
        StoredFileDamaged("file:///a/tables/code/refs/metadata/v3.metadata.json", "torn"),
        damaged(99),
        StorageUnavailable("hdfs://n/a", "away"),
    ],
)
def test_what_no_bucket_is_to_blame_for_is_raised(isolated: Callable[..., Any], error: PipelineError) -> None:
    with pytest.raises(type(error)):
        isolated(Work(dict.fromkeys(range(16), error)))


def test_an_ill_spark_is_not_taken_for_odd_data(isolated: Callable[..., Any]) -> None:
    ill = Spark()
    ill.ill = True
    with pytest.raises(SparkFailed):
        isolated(Work({7: ODD}), spark=ill)
    with pytest.raises(SparkFailed):
        isolated(Work(dict.fromkeys(range(16), ODD)))


def test_networks_are_not_blamed_for_damage() -> None:
    assert isolate_networks(Spark(), "file:///a", [5, 6, 7], Work({6: ODD})).failed == {6: ODD}  # type: ignore[arg-type]
    with pytest.raises(StoredFileDamaged):
        isolate_networks(Spark(), "file:///a", [5, 6], Work({6: damaged(1)}))  # type: ignore[arg-type]
