"""Damaged recordings: their readable parts still count, and they block no takedown."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipeline.maintain.fsck.put_back import put_back
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.read.inventory.ledger import add_recording, copies, copies_where, forget, mend_recordings, read_ledger
from pipeline.read.inventory.record import Wanted, recorded
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage

PATHS = [f"runs/{name}" for name in "abcd"]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = LocalStorage(tmp_path / "archive")
    for path in PATHS:
        storage.create(path, random.Random(path).randbytes(500))
    return storage


def record(storage: Storage, *paths: str) -> str:
    path = add_recording(storage, recorded(storage, [Wanted(path, keep_copy=True) for path in paths]))
    assert path is not None
    return path


def flip(storage: Storage, path: str, at: int) -> None:
    data = bytearray(storage.read(path))
    data[at] ^= 1
    storage.replace(path, bytes(data))


def damage_copy(storage: Storage, recording: str, path: str) -> None:
    copy = storage.read(path)
    storage.replace(recording, storage.read(recording).replace(copy, bytes([copy[0] ^ 1]) + copy[1:]))


def test_what_can_be_read_is_recorded_anew(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.read.inventory.ledger.PART_BYTES", 1)  # one row per group
    damaged = record(storage, *PATHS)
    storage.replace(PATHS[3], b"newer")
    record(storage, PATHS[3])
    before = read_ledger(storage).entries
    damage_copy(storage, damaged, PATHS[1])
    finding = Finding(Kind.FILE_CHECKSUM, "damaged", damaged)
    assert put_back(storage, [finding], lambda: None) == [f"{damaged}: its readable part is recorded again"]
    after = read_ledger(storage)
    assert after.findings == []
    assert after.entries == before
    assert copies(storage, PATHS) == {path: storage.read(path) for path in PATHS if path != PATHS[1]}
    assert [entry.path for entry in storage.walk("fsck")] == []
    assert mend_recordings(storage) == []


def test_any_flip_in_a_recording_leaves_no_trace_of_it(storage: Storage) -> None:
    pristine, chance = record(storage, *PATHS), random.Random(5)
    before, data = read_ledger(storage).entries, storage.read(pristine)
    for _ in range(12):
        storage.replace(pristine, data)
        flip(storage, pristine, chance.randrange(len(data)))
        assert mend_recordings(storage) == [pristine]
        ledger = read_ledger(storage)
        assert ledger.findings == []
        assert ledger.entries.items() <= before.items()
        for name in ledger.names:
            storage.delete(name)


def test_a_damaged_recording_holds_up_no_takedown(storage: Storage) -> None:
    damaged = record(storage, *PATHS)
    damage_copy(storage, damaged, PATHS[1])
    record(storage, PATHS[2])
    forget(storage, lambda path: path == PATHS[0], lambda path: path == PATHS[2])
    ledger = read_ledger(storage)
    assert ledger.findings == []
    assert PATHS[0] not in ledger.entries
    assert copies_where(storage, lambda path, copy: path in PATHS[:3]) == {}
