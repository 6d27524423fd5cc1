"""A copy becomes an archive of its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli.main import cli
from pipeline.context.archive import ArchiveIsCopy, NoArchive, check_place
from pipeline.context.workplace import Workplace
from pipeline.maintain.copy.run_copy import CopyRefused, run_copy
from pipeline.maintain.copy.run_relocate import CopyNotComplete, run_relocate
from pipeline.maintain.doctor.loads import check_archive
from pipeline.model.layout import ARCHIVE, COPY
from pipeline.read.inventory.ledger import last_state, read_ledger
from pipeline.read.inventory.named import read_table, table_folders
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.snapshot.avro import AvroDamaged, edited_avro, read_avro
from tests.copy.fake import FakeArchive, avro, files, number, text
from tests.support.crash import Crash


@pytest.fixture
def archive(tmp_path: Path) -> FakeArchive:
    made = FakeArchive(LocalStorage(tmp_path / "archive"), tmp_path / "scratch")
    made.night(1)
    return made


@pytest.fixture
def copy(archive: FakeArchive, tmp_path: Path) -> Workplace:
    to = LocalStorage(tmp_path / "copy")
    run_copy(archive.place, to)
    return dataclasses.replace(archive.place, storage=to)


def problems(storage: Storage) -> list[object]:
    """What is wrong with the tables: files that are not there, or not here."""
    former = f"{storage.root_uri.rpartition('/')[0]}/archive/".encode()
    found: list[object] = []
    for name, folder in table_folders(storage).items():
        table = read_table(storage, name, folder)
        found += table.findings
        for file in table.files():
            entry = storage.stat(file.path)
            if entry is None or file.size_bytes not in (None, entry.size_bytes):
                found.append(file)
            if "/metadata/" in file.path and former in storage.read(file.path):
                found.append(file)
            if file.path not in read_ledger(storage).entries:
                found.append(file)
    return found


def test_it_names_its_own_files(archive: FakeArchive, copy: Workplace) -> None:
    archive.night(2)
    run_copy(archive.place, copy.storage)
    for check in (check_place, check_archive):
        with pytest.raises(ArchiveIsCopy):
            check(copy.storage)
    copy.storage.delete(ARCHIVE)  # as until the first copy is complete
    said = CliRunner().invoke(cli, ["init", "--archive", copy.storage.root_uri.removeprefix("file://")])
    assert (said.exit_code, "is a copy" in said.stderr) == (2, True), said.stderr
    run_copy(archive.place, copy.storage)
    done = run_relocate(copy)
    assert (done.former, done.tables, done.files) == (archive.storage.root_uri, 2, 10)
    check_place(copy.storage)
    assert problems(copy.storage) == []
    assert run_relocate(copy).tables == 0
    with pytest.raises(CopyRefused, match="is not empty"):
        run_copy(archive.place, copy.storage)


def test_a_killed_copy_goes_back_to_its_last_complete_state(
    archive: FakeArchive, copy: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(copy.storage)
    recorded = last_state(copy.storage)
    archive.storage.create("results/census/2026-11-02.json", b"{}")
    archive.storage.create("forges/a/1/merged-1.json", b"{}")
    archive.night(2)
    archive.storage.create("runs/underived.json", b"{}")
    real = LocalStorage.replace

    def dies(self: LocalStorage, path: str, data: bytes) -> None:
        if path == COPY:
            raise Crash
        real(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "replace", dies)
        with pytest.raises(Crash):
            run_copy(archive.place, copy.storage)
    for path in ("runs/2026-11-02", "results/census/2026-11-02.json", "forges/a/1/merged-1.json"):
        assert copy.storage.stat(path) is not None
    assert last_state(copy.storage) != recorded
    run_relocate(copy)
    assert problems(copy.storage) == []
    assert [entry.path for entry in copy.storage.list("runs")] == ["runs/2026-11-01"]
    assert [*copy.storage.walk("results"), *copy.storage.walk("forges")] == []
    assert last_state(copy.storage) == recorded
    document = json.loads(copy.storage.read("tables/code/origins/metadata/v3.metadata.json"))
    assert list(document["refs"]) == ["night-2026-11-01"]
    kept = {path: data for path, data in files(copy.storage).items() if path in before and "hint" not in path}
    assert kept == {path: data for path, data in before.items() if "hint" not in path}


def test_killed_anywhere_it_is_completed(archive: FakeArchive, copy: Workplace) -> None:
    """Until then it is still a copy, which no other copy overwrites."""
    for point in range(100):
        doomed = _Doomed(copy.storage, point)
        try:
            run_relocate(dataclasses.replace(copy, storage=doomed))
        except Crash:
            if doomed.left < 0 and copy.storage.stat(COPY) is not None and point > 0:
                with pytest.raises(CopyRefused, match="on its way"):
                    run_copy(archive.place, copy.storage)
            continue
        break
    assert 5 < point < 99
    check_place(copy.storage)
    assert problems(copy.storage) == []


class _Doomed(LocalStorage):
    def __init__(self, storage: Storage, writes: int) -> None:
        super().__init__(Path(storage.root_uri.removeprefix("file://")))
        self.left = writes

    def replace(self, path: str, data: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise Crash
        super().replace(path, data)


def test_an_archive_that_was_moved(archive: FakeArchive, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    (tmp_path / "archive").rename(moved)
    assert run_relocate(dataclasses.replace(archive.place, storage=LocalStorage(moved))).tables == 2
    assert problems(LocalStorage(moved)) == []


def test_what_is_no_archive(archive: FakeArchive, copy: Workplace, tmp_path: Path) -> None:
    with pytest.raises(NoArchive):
        run_relocate(dataclasses.replace(archive.place, storage=LocalStorage(tmp_path / "nothing")))
    copy.storage.replace(COPY, json.dumps({**json.loads(copy.storage.read(COPY)), "tables": {}}).encode())
    with pytest.raises(CopyNotComplete):
        run_relocate(copy)


def test_an_edit_changes_nothing_else() -> None:
    inner = {"type": "record", "name": "in", "fields": [{"name": "path", "type": ["null", "string"]}]}
    schema: dict[str, Any] = {
        "type": "record",
        "name": "all",
        "fields": [
            {"name": "bounds", "type": {"type": "map", "values": "bytes"}},
            {"name": "many", "type": {"type": "array", "items": inner}},
            {"name": "again", "type": "in"},
            {"name": "four", "type": {"type": "fixed", "name": "f4", "size": 4}},
            {"name": "fourth", "type": "f4"},
            {"name": "length", "type": "long"},
            {"name": "path", "type": "bytes"},
        ],
    }
    size = b"\x01" + number(9)  # minus one item, in so many bytes
    record = number(1) + text(b"k") + text(b"path") + number(0)
    record += size + number(1) + text(b"file:/a/1") + number(0) + number(0)
    record += b"1234" + b"5678" + number(300) + text(b"file:/a/2")
    data = avro(schema, [record, record])
    edited = edited_avro(data, {"path": lambda path: path + "0" * 100, "length": lambda length: -length})
    expected = read_avro(data)
    for row in expected:
        row["many"][0]["path"] += "0" * 100
        row["length"] = -300
    assert read_avro(edited) == expected
    assert edited_avro(edited, {"path": lambda path: path[:9], "length": abs}) == edited_avro(data, {})
    fewer = data.replace(number(2) + number(2 * len(record)), number(1) + number(2 * len(record)))
    assert fewer != data
    with pytest.raises(AvroDamaged, match="left over"):
        edited_avro(fewer, {})
    assert read_avro(edited_avro(data, {})) == read_avro(data)
