"""The quick check on an archive that real nights made."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.maintain.fsck import run_fsck as module
from pipeline.maintain.fsck.quick import check_files
from pipeline.model.layout import Load
from pipeline.read.inventory.ledger import copies, read_ledger, recordings
from pipeline.read.inventory.named import read_table, table_folders
from pipeline.read.inventory.record import record_changes, tidy_recordings
from pipeline.storage.interface import Storage
from tests.e2e.archive import night
from tests.fsck.conftest import Story
from tests.fsck.flips import any_bit, flip

pytestmark = pytest.mark.slow


def check(story: Story, *arguments: str, code: int = 3) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = story.archive.ask("fsck", *arguments, code=code)["findings"]
    return found


def kinds(findings: list[dict[str, Any]]) -> set[str]:
    return {finding["kind"] for finding in findings}


def test_nights_record_every_file_and_find_nothing(story: Story) -> None:
    said = story.archive.ask("fsck")
    assert said["findings"] == []
    assert said["first_seen"] == 0, "each night recorded what it wrote"
    storage = story.archive.storage
    ledger = read_ledger(storage)
    named = {
        file.path
        for name, folder in table_folders(storage).items()
        for file in read_table(storage, name, folder).files()
    }
    assert named <= ledger.entries.keys()
    assert len(ledger.names) == 4, "one from `origins add`, one per night"
    assert record_changes(storage).files == 0, "nothing has changed since the last night"


def test_a_job_that_runs_again_is_no_damage(intact: Story) -> None:
    lineage = intact.root / "results/language_census/2026-11-04.json"
    before = lineage.read_bytes()
    intact.archive.run("submit", "language_census", "--night", "2026-11-04")
    assert lineage.read_bytes() != before
    found = [finding["path"] for finding in intact.archive.ask("fsck")["findings"]]
    assert found == []


def test_what_a_night_records_follows_what_it_changed(story: Story) -> None:
    storage = story.archive.storage
    _of_origins_add, first, *_, last = [len(storage.read(path)) for path in recordings(storage)]
    paths = read_ledger(storage).entries
    copied = copies(storage, paths)
    assert last < first
    uncopied = {path for path in paths if path not in copied}
    assert uncopied
    assert all("/data/" in path for path in uncopied)
    assert not any(table in path for path in uncopied for table in ("/refs/", "/visits/", "/origins/"))


def test_a_flip_in_any_kind_of_file_is_found_and_named(intact: Story) -> None:
    patterns = {
        "tables/code/contents/data/**/*.parquet": "contents",
        "tables/code/files/data/**/*.parquet": "files",
        "tables/code/refs/metadata/*-m0.avro": "refs",
        "tables/code/trees/metadata/snap-*.avro": "trees",
        "tables/code/blobs/metadata/v[0-9]*.metadata.json": "blobs",
        "runs/*/manifests/*.json": "",
        "runs/*/plan/origins/*/*.parquet": "",
        "runs/*/plan/plan.json": "",
        "runs/*/night.json": "",
        "results/*/*.json": "",
        "archive.json": "",
        "checksums/*.parquet": "",
        "tables/code/*/metadata/.snap-*.crc": "",
        "tables/code/tags/metadata/version-hint.text": "tags",
    }
    chance = random.Random(9)
    for pattern, table in patterns.items():
        path = chance.choice(intact.files(pattern))
        bit = any_bit(path, chance)
        flip(path, bit)
        findings = check(intact)
        flip(path, bit)
        relative = path.relative_to(intact.root).as_posix()
        assert relative in {finding["path"] for finding in findings}, (path, bit, findings)
        if table:
            assert all(f["table"] == f"code.{table}" for f in findings if f["path"] == relative), findings
    check(intact, code=0)


def test_what_is_gone_cut_off_or_grown(intact: Story) -> None:
    data, manifest = intact.files("tables/code/commits/data/**/*.parquet")[:2]
    listed = intact.files("tables/code/visits/metadata/snap-*.avro")[-1]
    data.unlink()
    manifest.write_bytes(manifest.read_bytes()[:-1])
    listed.unlink()
    done = intact.files("runs/*/manifests/*.json")[0]
    done.unlink()
    findings = check(intact)
    by_path = {f["path"]: f for f in findings}
    assert by_path[data.relative_to(intact.root).as_posix()]["kind"] == "file_missing"
    assert by_path[data.relative_to(intact.root).as_posix()]["nights"]
    assert by_path[manifest.relative_to(intact.root).as_posix()]["kind"] == "file_size"
    assert by_path[listed.relative_to(intact.root).as_posix()]["kind"] == "file_missing"
    assert done.relative_to(intact.root).as_posix() in by_path
    assert json.loads(intact.files("fsck/reports/*.json")[-1].read_bytes())["findings"] == findings


def test_a_night_that_a_table_does_not_have(intact: Story) -> None:
    table = read_table(intact.archive.storage, "code.refs", "tables/code/refs")
    path = intact.root / table.metadata
    before = path.read_bytes()
    document = json.loads(before)
    tag = document["refs"].pop("night-2026-11-03")
    path.write_text(json.dumps(document))
    findings = check(intact)
    assert {tuple(f["nights"]) for f in findings if f["kind"] == "night_incomplete"} == {("2026-11-03",)}
    document["refs"]["night-2026-11-03"] = {**tag, "snapshot-id": 1}
    path.write_text(json.dumps(document))
    assert any("names snapshot 1," in finding["problem"] for finding in check(intact))


def test_one_bucket(intact: Story) -> None:
    buckets = {
        int(path.parent.name.partition("=")[2]): path for path in intact.files("tables/code/trees/data/**/*.parquet")
    }
    first, second = sorted(buckets)[:2]
    flip(buckets[first], 99)
    check(intact, "--bucket", str(second), code=0)
    (finding,) = check(intact, "--bucket", str(first))
    assert finding["bucket"] == first
    intact.archive.run("fsck", "--bucket", "4", code=2)


def test_an_archive_without_records_is_recorded_at_first_sight(intact: Story) -> None:
    for path in intact.files("checksums/*"):
        path.unlink()
    flipped = next(p for p in intact.files("tables/code/repositories/data/**/*.parquet") if not p.name.startswith("."))
    flip(flipped, 77)
    landed = intact.files("tables/code/contents/data/**/*.parquet")[0]
    flip(landed, 99)
    said = intact.archive.ask("fsck", code=3)
    assert {f["path"] for f in said["findings"]} == {
        path.relative_to(intact.root).as_posix() for path in (flipped, landed)
    }, "found by Hadoop's own checksums and the manifests of loads"
    assert said["first_seen"] > 200
    assert intact.archive.ask("fsck", code=3)["first_seen"] == 0


def test_goes_on_where_it_was_killed(intact: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[int] = []
    real = check_files

    class Killed(BaseException):
        pass

    def counting(storage: Storage, inventory: Any, files: Any, landed: Any) -> Any:
        parts.append(1)
        if len(parts) == 3:
            raise Killed
        return real(storage, inventory, files, landed)

    monkeypatch.setattr("pipeline.maintain.fsck.state.WRITE_EVERY_S", 0.0)
    flip(intact.files("tables/code/trees/data/*/bucket=0/*.parquet")[0], 99)
    monkeypatch.setattr(module, "check_files", counting)
    with pytest.raises(Killed):
        intact.archive.run("fsck")
    said = intact.archive.ask("fsck", code=3)
    assert said["resumed"] == 1
    assert len(said["findings"]) == 1, "includes the findings of the killed check"
    assert intact.archive.ask("fsck", code=3)["resumed"] == 0, "a finished check is not resumed"


def test_a_load_under_way(intact: Story) -> None:
    storage, load = intact.archive.storage, Load.of_night(night(3))
    for marker in (load.published, load.derived, load.sealed, load.night_summary):
        storage.delete(marker)
    flip(intact.files("tables/code/trees/data/2026-11-03/*/*.parquet")[0], 50)
    flip(intact.files("runs/2026-11-03/plan/origins/*/*.parquet")[0], 200)
    found = {(f["kind"], f["path"].split("/")[0]) for f in check(intact)}
    assert ("file_checksum", "tables") in found
    assert ("file_checksum", "runs") in found


def test_recordings_are_made_one(intact: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = intact.archive.storage
    before = read_ledger(storage)
    kept = copies(storage, before.entries)
    monkeypatch.setattr("pipeline.read.inventory.record.MOST_RECORDINGS", 1)
    assert tidy_recordings(storage) == 4
    after = read_ledger(storage)
    assert (len(before.names), len(after.names)) == (4, 1)
    assert after.entries == before.entries
    assert copies(storage, after.entries) == kept
    assert record_changes(storage).files == 0, "the progress of recording is kept, too"


def test_copies_of_what_is_gone_go(intact: Story) -> None:
    storage = intact.archive.storage
    assert tidy_recordings(storage) == 0
    shutil.rmtree(intact.root / "runs/2026-11-03/plan")
    assert tidy_recordings(storage) >= 1
    assert not [path for path in read_ledger(storage).entries if path.startswith("runs/2026-11-03/plan")]
    assert record_changes(storage).files == 0


def test_every_bit_of_a_recording_counts(intact: Story, tmp_path: Path) -> None:
    path, chance = intact.files("checksums/*.parquet")[-1], random.Random(3)
    for _ in range(20):
        bit = any_bit(path, chance)
        flip(path, bit)
        assert [f.path for f in read_ledger(intact.archive.storage).findings] == [
            path.relative_to(intact.root).as_posix()
        ]
        flip(path, bit)
