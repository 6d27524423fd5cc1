"""The data files that manifests name, from manifests as no writer of ours leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.errors import StorageError
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.snapshot import live_files


def bound(bucket: int) -> bytes:
    return bucket.to_bytes(4, "little", signed=True)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path)


class Snapshot:
    """A snapshot of one manifest."""

    def __init__(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.storage = storage
        self.manifest: dict[str, Any] = {
            "manifest_path": storage.uri("m"),
            "partition_spec_id": 0,
            "partitions": [{"lower_bound": bound(1), "upper_bound": bound(1)}],
        }
        self.entries = [{"status": 1, "data_file": self.file("data/1", {"bucket": 1}, content=0)}]
        monkeypatch.setattr(live_files, "_records", self.records)

    def records(self, _: Storage, uri: str) -> list[dict[str, Any]]:
        return [self.manifest] if uri.endswith("list") else self.entries

    def file(self, path: str, partition: dict[str, int], **columns: object) -> dict[str, Any]:
        return {"file_path": self.storage.uri(path), "partition": partition, "record_count": 1, **columns}

    def found(self, bucket: int | None) -> list[str]:
        return [file.path for file in live_files.live_files(self.storage, self.storage.uri("list"), bucket)]


@pytest.fixture
def snapshot(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    return Snapshot(storage, monkeypatch)


def test_files_of_a_bucket(snapshot: Snapshot) -> None:
    assert snapshot.found(1) == snapshot.found(None) == ["data/1"]
    assert snapshot.found(2) == []


def test_a_file_of_another_partition_spec_is_an_error(snapshot: Snapshot) -> None:
    """Its manifest's bounds are those of something else."""
    snapshot.manifest["partition_spec_id"] = 1
    snapshot.entries.append({"status": 1, "data_file": snapshot.file("data/2", {"day": 1}, content=0)})
    for bucket in (1, 2):
        with pytest.raises(StorageError, match="data/2: it belongs to no bucket"):
            snapshot.found(bucket)
    assert snapshot.found(None) == ["data/1", "data/2"]


def test_two_deletion_vectors_of_a_file_are_an_error(snapshot: Snapshot) -> None:
    for path in ("data/v1", "data/v2"):
        vector = snapshot.file(
            path,
            {"bucket": 1},
            content=1,
            file_format="PUFFIN",
            referenced_data_file=snapshot.storage.uri("data/1"),
            content_offset=4,
            content_size_in_bytes=40,
        )
        snapshot.entries.append({"status": 1, "data_file": vector})
    with pytest.raises(StorageError, match="data/1: it has two deletion vectors, in data/v1 and data/v2"):
        snapshot.found(1)
