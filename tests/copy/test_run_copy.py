"""Copies of small archives, between any two storages; what a copy refuses; how it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.maintain.copy import pinned as pinned_module
from pipeline.maintain.copy import run_copy as run_copy_module
from pipeline.maintain.copy.pinned import LoadUnderWay, Pinned, PinnedTable, SourceChanges, pin
from pipeline.maintain.copy.run_copy import CopyRefused, run_copy
from pipeline.model.errors import ExitCode
from pipeline.model.layout import COPY
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.paths import temporary_name
from tests.copy.fake import FakeArchive, files


@pytest.fixture
def archive(tmp_path: Path) -> FakeArchive:
    made = FakeArchive(LocalStorage(tmp_path / "archive"), tmp_path / "scratch")
    made.night(1)
    return made


@pytest.fixture
def to(tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path / "copy")


def counted(archive: FakeArchive) -> dict[str, bytes]:
    """The files that a copy must have, and no others."""
    newest = f"v{archive.commits}.metadata.json"
    return {
        path: data
        for path, data in files(archive.storage).items()
        if "/landing/" not in path and (".metadata.json" not in path or path.endswith(f"/{newest}"))
    }


def test_night_by_night(archive: FakeArchive, to: Storage) -> None:
    first = run_copy(archive.place, to)
    assert (first.nights, first.kept, first.deleted) == (("2026-11-01",), 0, 0)
    assert files(to) == counted(archive)
    archive.night(2)
    second = run_copy(archive.place, to)
    assert second.nights == ("2026-11-01", "2026-11-02")
    assert second.files < first.files + second.kept
    assert second.deleted == 2, "the older metadata of two tables"
    assert files(to) == counted(archive)
    assert to.list("lease.d"), "the lease was held there"
    assert archive.storage.list("lease.d") == []


def test_data_are_not_sent_twice(archive: FakeArchive, to: Storage) -> None:
    run_copy(archive.place, to)
    archive.night(2)
    before = {path: to.stat(path) for path in files(to) if "/data/" in path}
    assert run_copy(archive.place, to).files > 0
    assert {path: to.stat(path) for path in before} == before


def test_what_the_archive_lost_the_copy_loses_too(archive: FakeArchive, to: Storage) -> None:
    """By a takedown, or with an old night."""
    archive.night(2)
    archive.storage.create("results/census/2026-11-01.json", b"{}")
    run_copy(archive.place, to)
    archive.storage.delete("runs/2026-11-01", recursive=True)
    archive.storage.delete("results", recursive=True)
    archive.storage.replace("runs/2026-11-02/plan/plan.json", b'{"load":"2026-11-02","buckets":[],"less":1}')
    assert run_copy(archive.place, to).deleted == 4
    assert files(to) == counted(archive)
    assert to.list("results") == []
    assert [entry.path for entry in to.list("runs")] == ["runs/2026-11-02"]


def test_a_load_that_is_not_published_is_not_copied(archive: FakeArchive, to: Storage) -> None:
    begun = archive.begin(2)
    assert run_copy(archive.place, to).nights == ("2026-11-01",)
    assert to.stat(begun.root) is None
    archive.storage.create(begun.publishing, b"{}")
    with pytest.raises(LoadUnderWay, match="2026-11-02 is being published") as raised:
        run_copy(archive.place, to)
    assert raised.value.exit_code == ExitCode.ARCHIVE_HELD


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda to: to.create("photos/me.jpg", b"x"), "is not empty"),
        (lambda to: FakeArchive(to, Path()).night(1), "is not empty"),
        (lambda to: edit(to, of="another"), "is a copy of another archive"),
        (lambda to: edit(to, sequence=99), "is ahead of the archive"),
        (lambda to: edit(to, relocating=True), "is on its way to be an archive of its own"),
    ],
)
def test_refused(archive: FakeArchive, to: Storage, spoil: Callable[[Storage], None], why: str) -> None:
    if "edit" in spoil.__code__.co_names:
        run_copy(archive.place, to)
    spoil(to)
    archive.night(2)
    before = {entry.path: to.read(entry.path) for entry in to.walk()}
    with pytest.raises(CopyRefused, match=why):
        run_copy(archive.place, to)
    assert {entry.path: to.read(entry.path) for entry in to.walk()} == before


def edit(to: Storage, **changes: object) -> None:
    to.replace(COPY, json.dumps({**json.loads(to.read(COPY)), **changes}).encode())


@pytest.mark.parametrize("path", ["archive", "archive/copy", "."])
def test_the_places_are_apart(archive: FakeArchive, tmp_path: Path, path: str) -> None:
    with pytest.raises(CopyRefused, match="are not apart"):
        run_copy(archive.place, LocalStorage(tmp_path / path))


def test_a_file_that_expires_meanwhile_leads_to_a_later_state(
    archive: FakeArchive, to: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.commit()
    archive.write_metadata()
    looks: list[Pinned] = []

    def pinned(storage: Storage) -> Pinned:
        looks.append(pin(storage))
        if len(looks) == 2:
            expire(archive)
        return looks[-1]

    monkeypatch.setattr(run_copy_module, "pin", pinned)
    assert run_copy(archive.place, to).nights == ("2026-11-01",)
    assert len(looks) == 3, "one before the lease, one that lost its file, one that was copied"
    assert files(to) == counted(archive)


def expire(archive: FakeArchive) -> None:
    """The newest snapshot was nobody's; a later one has its data."""
    archive.storage.delete("tables/code/refs/metadata/snap-2.avro")
    archive.storage.delete("tables/code/origins/metadata/snap-2.avro")
    archive.commit()
    del archive.snapshots[1]
    archive.write_metadata()


def test_a_takedown_meanwhile_leads_to_a_later_state(
    archive: FakeArchive, to: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of its rows may be gone where the tombstone was not yet there."""
    path, read = "tables/code/takedowns/metadata/v%d.metadata.json", pinned_module._tables
    versions: list[int] = []

    def tables(storage: Storage) -> dict[str, PinnedTable]:
        found = read(storage)
        if len(versions) < 2:
            versions.append(len(versions) + 1)
            archive.storage.create(
                path % versions[-1], archive.storage.read("tables/code/refs/metadata/v1.metadata.json")
            )
        return found

    monkeypatch.setattr(pinned_module, "_tables", tables)
    state = pin(archive.storage)
    assert list(state.tables) == ["code.refs", "code.takedowns", "code.origins"], (
        "what is hidden stays hidden on the way"
    )
    assert state.tables["code.takedowns"].version == 2


def test_a_copy_killed_before_its_first_file_goes_on(archive: FakeArchive, to: Storage) -> None:
    for name in ("lease.json", COPY):
        to.create(temporary_name(name), b"half")
    assert run_copy(archive.place, to).nights == ("2026-11-01",)


def test_damage_is_not_copied(archive: FakeArchive, to: Storage) -> None:
    run_copy(archive.place, to)
    before = files(to)
    archive.night(2)
    path = "tables/code/refs/data/2.parquet"
    archive.storage.replace(path, b"refs 3")
    with pytest.raises(StoredFileDamaged, match=path):
        run_copy(archive.place, to)
    assert {name: data for name, data in files(to).items() if name in before} == before
    archive.storage.delete(path)
    with pytest.raises(StoredFileDamaged, match=f"{path}.* gone"):
        run_copy(archive.place, to)


def test_verify_mends_the_copy(archive: FakeArchive, to: Storage) -> None:
    run_copy(archive.place, to)
    for path in ("tables/code/refs/data/1.parquet", "runs/2026-11-01/plan/plan.json"):
        damaged = bytearray(to.read(path))
        damaged[0] ^= 1
        to.replace(path, bytes(damaged))
    assert run_copy(archive.place, to, verify=True).files >= 2
    assert files(to) == counted(archive)


def test_nights_that_are_retired_at_every_look(archive: FakeArchive, to: Storage) -> None:
    path = "tables/code/refs/metadata/v1.metadata.json"
    document = json.loads(archive.storage.read(path))
    archive.storage.replace(path, json.dumps({**document, "refs": {}}).encode())
    with pytest.raises(SourceChanges):
        run_copy(archive.place, to)
    assert list(to.walk()) == []
