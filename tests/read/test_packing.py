"""Contents from a data file to a pack, by worker processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.fetch.parquet import PAGE_BYTES, ZSTD_LEVEL, open_parquet
from pipeline.git.pack_writer import PackWriter
from pipeline.model.errors import ScratchFailed
from pipeline.model.objects import BLOB, object_id
from pipeline.model.rows import ContentRow
from pipeline.model.tables import CONTENTS
from pipeline.read import packing
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.local import LocalStorage
from pipeline.tables.snapshot.live_files import DataFile
from pipeline.tables.snapshot.rows import ROW_ID, Group, groups, rows
from tests.support.git import git
from tests.support.repos import init

MINE, OTHER = 7, 8
BODIES = [b"line\n" * 100 + b"version %d\n" % number for number in range(60)]


def row(network: int, body: bytes, oid: bytes | None = None) -> ContentRow:
    oid = object_id(BLOB, body) if oid is None else oid
    return ContentRow(0, network, oid, len(body), "py", "a.py", False, body)


def write(storage: LocalStorage, tmp_path: Path, parts: list[list[ContentRow]]) -> str:
    """A data file with these row groups; its path."""
    with open_parquet(CONTENTS, tmp_path / "new.parquet", ZSTD_LEVEL, PAGE_BYTES) as writer:
        for part in parts:
            columns = [
                pa.array(values, field.type)
                for values, field in zip(zip(*part, strict=True), CONTENTS.arrow_schema, strict=True)
            ]
            writer.write_table(pa.table(columns, schema=CONTENTS.arrow_schema), row_group_size=len(part))
    return storage.upload(tmp_path / "new.parquet", "data/contents.parquet").path


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    (tmp_path / "archive").mkdir()
    return LocalStorage(tmp_path / "archive")


def found(storage: LocalStorage, file: DataFile) -> list[Group]:
    return [group for group, _ in groups(storage, file, "oid", "size", {"network": MINE})]


def pack(storage: LocalStorage, file: DataFile, tmp_path: Path) -> list[bytes]:
    """Pack what a file has of the network, and list the bodies that git finds."""
    repo = init(tmp_path / "a.git")
    work = packing.tasks(found(storage, file))
    assert len(work) > 2
    with (
        PackWriter(repo / "objects" / "pack") as writer,
        packing.packing(storage, work, tmp_path) as parts,
    ):
        for part in parts:
            writer.append(part)
            part.path.unlink()
        writer.finish()
    (index,) = repo.glob("objects/pack/*.idx")
    git(repo, "index-pack", "--strict", str(index.with_suffix(".pack")))
    listed = git(repo, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode().split()
    return sorted(git(repo, "cat-file", "blob", oid) for oid in listed)


def test_tasks_have_the_rows_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_SMALLEST_TASK_BYTES", 10)

    def group(number: int, *sizes: int) -> Group:
        return Group("x", number, np.arange(len(sizes)) * 2, np.array(sizes, np.int64))

    done = packing.tasks([group(0, 3, 3), group(1, 3, 3, 30, 4, 6), group(2, 1)])
    assert [[(g.number, g.positions.tolist()) for g in task] for task in done] == [
        [(0, [0, 2])],
        [(1, [0, 2])],
        [(1, [4])],
        [(1, [6, 8])],
        [(2, [0])],
    ]


def test_large_row_groups_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_SMALLEST_TASK_BYTES", 10)
    monkeypatch.setattr(packing, "_LARGEST_TASK_BYTES", 35)
    monkeypatch.setattr(packing, "MOST_PROCESSES", 1)
    large = [Group("x", number, np.arange(3), np.array([10, 10, 10], np.int64)) for number in range(20)]
    assert [[(g.number, len(g.positions)) for g in task] for task in packing.tasks(large)] == [
        [(number, 3)] for number in range(20)
    ]
    assert [[len(g.positions) for g in task] for task in packing.tasks(large[:2])] == [[1], [1], [1]] * 2


def test_processes_pack_the_rows_of_one_network(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_SMALLEST_TASK_BYTES", 5_000)
    mine = [row(MINE, body) for body in BODIES]
    others = [row(OTHER, b"other %d" % number) for number in range(5)]
    path = write(storage, tmp_path, [others, [*mine[:30], *others], [*others, *mine[30:]]])
    deleted = np.array([5, 44], np.int64)  # the first of mine, and the last of the others
    file = DataFile(path, 0, 1_000, deleted)
    assert pack(storage, file, tmp_path) == sorted(BODIES[1:])
    assert list(tmp_path.glob("*.part")) == []
    (read,) = [batch.to_pylist() for batch in rows(storage, file, ["oid", ROW_ID], {"network": MINE}, batch_rows=100)][
        :1
    ]
    assert read[0] == {"oid": mine[1].oid, ROW_ID: 1_006}


def test_other_bytes_under_an_id_name_their_file(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_SMALLEST_TASK_BYTES", 5_000)
    wrong = row(MINE, b"other bytes", object_id(BLOB, b"bytes"))
    path = write(storage, tmp_path, [[*(row(MINE, body) for body in BODIES), wrong]])
    with pytest.raises(StoredFileDamaged, match=f"{path} .*other bytes than those of {wrong.oid.hex()}"):
        pack(storage, DataFile(path), tmp_path)


@pytest.mark.timeout(60)
def test_an_error_ends_running_tasks(storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_SMALLEST_TASK_BYTES", 5_000)
    begun, begin = os.pipe()

    def endless(*_: object) -> None:
        os.write(begin, b"%d\n" % os.getpid())
        signal.pause()

    monkeypatch.setattr(packing, "pack_contents", endless)
    path = write(storage, tmp_path, [[row(MINE, body) for body in BODIES]])
    work = packing.tasks(found(storage, DataFile(path)))
    pids = []

    def interrupted() -> None:
        with packing.packing(storage, work, tmp_path):
            pids.append(int(os.read(begun, 100).split()[0]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_full_scratch_is_told(storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", **options: Any) -> IO[Any]:
        return opened(Path("/dev/full"), "wb", **options) if self.suffix == ".part" else opened(self, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(packing, "_SMALLEST_TASK_BYTES", 5_000)
    path = write(storage, tmp_path, [[row(MINE, body) for body in BODIES]])
    with pytest.raises(ScratchFailed, match=f"{tmp_path}: No space left"):
        pack(storage, DataFile(path), tmp_path)
