"""Repair end to end: restored repositories are the same before and after, judged by git."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.storage.lease import Lease, Owner
from tests.fsck.conftest import NIGHTS, Restored, Story
from tests.fsck.flips import flip
from tests.fsck.test_deep import doubled, forget_sizes, lost, other_bytes, other_message, other_sum, rewrite
from tests.support.git import git

pytestmark = pytest.mark.slow


def same_as(before: Restored, story: Story, folder: Path) -> None:
    for (name, day), old in before.items():
        new = story.restore(name, day, folder / f"{name}-{day}")
        assert story.differences(name, old, new) == [], (name, day)


def rows_of(story: Story, table: str) -> dict[int, list[str]]:
    return {day: story.archive.rows(table, day) for day in NIGHTS}


def test_whatever_has_a_copy_is_put_back_byte_for_byte(intact: Story) -> None:
    patterns = (
        "tables/code/*/metadata/*-m0.avro",
        "tables/code/*/metadata/snap-*.avro",
        "tables/code/refs/data/**/[!.]*.parquet",
        "tables/code/origins/data/**/[!.]*.parquet",
        "runs/*/*.json",
        "runs/*/*/*.json",
        "results/*/*.json",
    )
    for pattern in patterns:
        first, *_, last = intact.files(pattern)
        flip(first, 81)
        last.unlink()
    flip(intact.root / "archive.json", 81)
    flip(intact.files("tables/code/commits/metadata/.snap-*.crc")[0], 70)
    newest = max(
        intact.files("tables/code/trees/metadata/v*.metadata.json"), key=lambda p: int(p.name[1:].split(".")[0])
    )
    flip(newest, 1000)
    (intact.root / "tables/code/trees/metadata/version-hint.text").write_text("x")
    said = intact.archive.ask("fsck", "--repair")
    assert said["findings"] == []
    assert len(said["repaired"]) >= 15
    for path in intact.pristine.rglob("*"):
        here = intact.root / path.relative_to(intact.pristine)
        if path.is_file() and not path.name.startswith(".") and "lease" not in path.name:
            assert here.read_bytes() == path.read_bytes(), path
    intact.archive.ask("fsck")


def test_objects_are_fetched_again_and_every_night_is_what_it_was(
    intact: Story, before: Restored, tmp_path: Path
) -> None:
    tables = ("contents", "trees", "commits", "blobs", "tags")
    was = {table: rows_of(intact, table) for table in tables}
    flip(intact.files("tables/code/contents/data/2026-11-02/bucket=0/*.parquet")[0], 8 * 100)
    intact.files("tables/code/trees/data/2026-11-03/bucket=0/*.parquet")[0].unlink()
    commits = intact.files("tables/code/commits/data/2026-11-02/bucket=1/*.parquet")[0]
    commits.write_bytes(commits.read_bytes()[:-20])
    intact.files("tables/code/tags/data/2026-11-02/bucket=1/*.parquet")[0].unlink()
    intact.files("tables/code/blobs/data/2026-11-02/bucket=3/*.parquet")[0].unlink()
    assert len(intact.archive.ask("fsck", code=3)["findings"]) == 5
    said = intact.archive.ask("fsck", "--repair")
    assert said["findings"] == []
    assert any("fetched again" in sentence for sentence in said["repaired"])
    assert intact.archive.ask("fsck", "--deep")["findings"] == []
    same_as(before, intact, tmp_path)
    for table in tables:
        for day in NIGHTS:
            assert len(intact.archive.rows(table, day)) == len(was[table][day]), (table, day)


def test_a_derived_table_is_made_anew(intact: Story) -> None:
    tables = ("files", "head_blobs", "repositories")
    was = {table: intact.archive.rows(table, 4) for table in tables}
    for table in tables:
        flip(by_age(intact, table, 1)[-1], 8 * 60)
    said = intact.archive.ask("fsck", "--repair")
    assert said["findings"] == []
    assert {table: intact.archive.rows(table, 4) for table in tables} == was


def test_a_row_that_only_an_older_night_has_stays_a_finding(intact: Story) -> None:
    """It was derived from a state of the origin that the newest night no longer has."""
    was = intact.archive.rows("repositories", 4)
    older, *_, _newest = by_age(intact, "repositories", 1)
    flip(older, 8 * 60)
    said = intact.archive.ask("fsck", "--repair", code=3)
    assert [finding["nights"] for finding in said["findings"]] == [["2026-11-02"]], said
    assert intact.archive.rows("repositories", 4) == was


def by_age(story: Story, table: str, bucket: int) -> list[Path]:
    """Data files of a bucket, oldest first. Their names begin with numbers of tasks and do not sort by age."""
    found = story.files(f"tables/code/{table}/data/bucket={bucket}/[!.]*.parquet")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def test_what_nobody_serves_any_more_stays_a_finding(intact: Story, before: Restored) -> None:
    """Even of a quick repair, which looks at files only. The readable part of the damaged file is kept."""
    a = intact.repositories[0]
    hidden = a.rename(a.with_suffix(".hidden"))
    fork = intact.repositories[3]
    hidden_fork = fork.rename(fork.with_suffix(".hidden"))
    try:
        contents = intact.files("tables/code/contents/data/2026-11-02/bucket=0/*.parquet")[0]
        flip(contents, 8 * 100)
        said = intact.archive.ask("fsck", "--repair", code=3)
    finally:
        hidden.rename(a)
        hidden_fork.rename(fork)
    assert {finding["kind"] for finding in said["findings"]} == {"content_disagrees"}
    assert any("still readable" in sentence for sentence in said["repaired"])
    assert any("not_found" in sentence for sentence in said["repaired"])
    healed = intact.archive.ask("fsck", "--repair", "--deep")
    assert healed["findings"] == []
    assert git(intact.archive.restore(intact.daemon.url(a.name), before[a.name, 2].parent / "again"), "fsck") == b""


def test_what_writers_did_wrong_is_put_right(
    intact: Story, before: Restored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with different bytes, of no object, doubled or missing, in intact files."""
    forget_sizes(intact, monkeypatch)
    rewrite(intact, "contents", 0, other_bytes)
    rewrite(intact, "commits", 0, other_message)
    rewrite(intact, "trees", 1, lost)
    rewrite(intact, "commits", 1, doubled)
    rewrite(intact, "blobs", 3, other_sum)
    said = intact.archive.ask("fsck", "--repair", "--deep")
    assert said["findings"] == []
    same_as(before, intact, tmp_path)


def test_what_people_told_us_is_put_back(intact: Story) -> None:
    """Tombstones, opt-outs and states are recorded as soon as the command ends, whoever holds the archive."""
    archive, url = intact.archive, intact.daemon.url(intact.repositories[0].name)
    with Lease.acquire(archive.storage, Owner.here("other", "test")):
        archive.ask("origins", "opt-out", "https://elsewhere.example/*")
        archive.ask("origins", "pause", url)
        archive.ask("takedown", "--object", "0" * 40, "--reason", "asked")
    tables = [f"tables/code/{name}" for name in ("opt_outs", "takedowns", "origins")]
    damaged = [max(intact.files(f"{table}/data/**/[!.]*.parquet"), key=written) for table in tables]
    damaged += [max(intact.files(f"{table}/metadata/v*.metadata.json"), key=written) for table in tables]
    before = {path: path.read_bytes() for path in damaged}
    for path in damaged:
        flip(path, 8 * (len(before[path]) // 2))
    archive.ask("fsck", "--repair")
    assert {path: path.read_bytes() for path in damaged} == before
    rules = archive.ask("origins", "opt-out", "https://elsewhere.example/*")["rules"]
    assert (rules, len(archive.ask("takedown", "--list"))) == (0, 1)


def written(path: Path) -> int:
    return path.stat().st_mtime_ns
