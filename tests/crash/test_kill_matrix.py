"""Kills runs, with their process groups, at one point after another, on HDFS.

However a night dies, one more run of it makes the archive equal, row for row, to one whose night was never killed.
Each day has its points: one of the first half of a night and one of its second, one of everything else. All of them:
``.venv/bin/pytest tests/crash``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.layout import WAREHOUSE, Load
from pipeline.model.tables import ALL, NAMESPACE, OBJECT_TABLES
from tests.crash.conftest import Nights
from tests.crash.points import BACKFILL, BESIDES, COMPACT, MAINTAIN, NIGHTLY, REPAIR, UPGRADE
from tests.crash.trial import WHEN, Rows, Trial
from tests.e2e.archive import Archive, night
from tests.support.older import lacking, make_older
from tests.support.sample import of_each_part, of_the_day

pytestmark = [pytest.mark.slow, pytest.mark.hdfs, pytest.mark.spark, pytest.mark.timeout(1500)]


def besides(points: Iterable[str]) -> list[Any]:
    """One a day of everything but nights."""
    return of_the_day(points, 1, BESIDES)


@pytest.mark.parametrize("point", of_each_part(NIGHTLY, 2))
def test_a_killed_night_is_completed_by_the_next_run(nights: Nights, point: str) -> None:
    trial = nights.trial
    trial.back_to("first")
    trial.kill(point, "nightly", "--night", str(night(2)), today=night(2))
    assert trial.archive.nightly(2)["already"] is False
    nights.check()
    nights.check_restore()


@dataclass(frozen=True)
class Backfilled:
    """A list of origins, and the second night after visits of all of them."""

    source: Path
    second: Rows


LATE = 4
BATCH = ("--batch", str(LATE // 2))
BEGUN = "backfill: a batch is published and not derived"
"""Here all batches have begun: a nightly alone completes the rest."""


@pytest.fixture(scope="module")
def backfilled(nights: Nights, tmp_path_factory: pytest.TempPathFactory) -> Backfilled:
    trial = nights.trial
    urls = [nights.origins.add(f"late{number}", number % 2) for number in range(LATE)]
    source = tmp_path_factory.mktemp("list") / "origins.txt"
    source.write_text("".join(f"{url}\n" for url in urls))
    trial.back_to("first")
    backfill(trial, source)
    trial.archive.nightly(2)
    assert trial.doubles(2) == {}
    assert trial.restored_differs(urls[-1], nights.origins.repo(f"late{LATE - 1}")) == []
    return Backfilled(source, trial.rows(2))


def backfill(trial: Trial, source: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.cli.backfill.today", lambda: night(2))
        trial.archive.run("backfill", "origins", "--from", source, *BATCH)


@pytest.mark.parametrize("point", besides(BACKFILL))
def test_a_killed_backfill_is_taken_up_again(nights: Nights, backfilled: Backfilled, point: str) -> None:
    trial = nights.trial
    trial.back_to("first")
    trial.kill(point, "backfill", "origins", "--from", backfilled.source, *BATCH, today=night(2))
    if point != BEGUN:
        backfill(trial, backfilled.source)
    trial.archive.nightly(2)
    assert trial.left_behind() == []
    assert trial.rows(2) == backfilled.second


@dataclass(frozen=True)
class Kept:
    """Housekeeping that keeps one night, and the third night after it."""

    strict: Archive
    third: Rows
    files: Counter[str]


EVERYTHING_GOES = {"dailies": 1, "monthlies": 0, "snapshot_age_s": 0, "sweep_after_s": 0}

RUBBISH = (
    f"{Load.of_night(night(2)).root}/landing/bucket=0/slower/contents.parquet",
    f"{Load.of_night(night(3)).root}/landing/bucket=0/killed/contents.parquet",
    f"{Load.of_night(night(3)).manifests}/.0.json.0123456789abcdef.tmp",
    f"{WAREHOUSE}/{NAMESPACE}/files/data/bucket=0/00000-0-nobody.parquet",
)


@pytest.fixture(scope="module")
def kept(nights: Nights) -> Kept:
    trial = nights.trial
    strict = trial.archive.with_settings(maintain={**EVERYTHING_GOES, "compact_budget": "0s"})
    littered(trial)
    strict.run("maintain")
    trial.archive.nightly(3)
    strict.run("maintain")
    return Kept(strict, trial.rows(3), trial.data_files())


def littered(trial: Trial) -> None:
    trial.back_to("second")
    for path in RUBBISH:
        trial.archive.storage.create(path, b"rubbish")


@pytest.mark.parametrize("point", besides(MAINTAIN))
def test_a_killed_housekeeper_does_no_harm(nights: Nights, kept: Kept, point: str) -> None:
    trial = nights.trial
    littered(trial)
    trial.kill(point, "maintain", today=night(3), archive=kept.strict)
    trial.archive.nightly(3)
    assert trial.rows(3) == kept.third
    assert readable(trial) >= {night(2), night(3)}
    kept.strict.run("maintain")
    assert readable(trial) == {night(3)}
    assert trial.left_behind() == []
    assert not [path for path in RUBBISH if trial.archive.storage.stat(path)]
    assert trial.data_files() == kept.files
    assert trial.rows(3) == kept.third
    nights.check_restore()


@pytest.mark.parametrize("point", besides(COMPACT))
def test_a_killed_compaction_loses_and_doubles_nothing(nights: Nights, kept: Kept, point: str) -> None:
    trial = nights.trial
    trial.back_to("second")
    compacting = trial.archive.with_settings(maintain=EVERYTHING_GOES)
    trial.kill(point, "maintain", today=night(3), archive=compacting)
    trial.archive.nightly(3)
    assert unflagged(trial.rows(3)) == unflagged(kept.third)
    assert compacting.run("maintain", "--output", "json").json["compacted"]
    assert compacting.run("maintain", "--output", "json").json["compacted"] == []
    assert trial.left_behind() == []
    trial.archive.nightly(4)
    assert trial.doubles(4) == {}
    third, fourth = unflagged(kept.third), unflagged(trial.rows(4))
    assert all(fourth[table.name] == third[table.name] for table in OBJECT_TABLES)


def unflagged(rows: Rows) -> Rows:
    """Without ``at_head``, which compaction renews."""
    return {table: sorted(re.sub(r"\('at_head', \w+\), ", "", row) for row in found) for table, found in rows.items()}


def readable(trial: Trial) -> set[date]:
    """Nights that exist; each can be read."""
    found = trial.archive.read().nights()
    for day in found:
        assert trial.rows(day.day)["visits"]
    return set(found)


DAMAGED = ("contents/data", "trees/data", "commits/data", "files/data")
"""What loses its file of the first bucket, or a bit of it; all origins of that bucket are still served."""


def damage(trial: Trial) -> set[str]:
    """Flip a bit of the first file of some tables, and of a snapshot's list of manifests; another file disappears.

    Returns:
        The paths of these files.
    """
    storage = trial.archive.storage
    paths = [entry.path for entry in storage.walk(f"{WAREHOUSE}/{NAMESPACE}")]
    rows = trial.archive.spark.sql("SELECT file_path FROM archive.code.files.files").collect()
    now = {storage.path_of(row["file_path"]) for row in rows}  # of a past night alone it could not be made again
    paths = [path for path in paths if "/files/data/" not in path or path in now]
    chosen = [min(path for path in paths if f"/{part}/" in path and "/bucket=0/" in path) for part in DAMAGED]
    lost, *flipped = [*chosen, min(path for path in paths if "/refs/metadata/snap-" in path)]
    storage.delete(lost)
    for path in flipped:
        data = bytearray(storage.read(path))
        data[len(data) // 2] ^= 1
        storage.delete(path)
        storage.create(path, bytes(data))
    return {lost, *flipped}


ALL_OBJECTS = {table.name for table in OBJECT_TABLES}


def ids_of(trial: Trial, day: int) -> set[tuple[str, int, str]]:
    """Table, network and id of every object of a night."""
    tables = {name: trial.archive.read(day).table(name).select("network", "oid").collect() for name in ALL_OBJECTS}
    return {(name, row["network"], bytes(row["oid"]).hex()) for name, rows in tables.items() for row in rows}


@pytest.mark.parametrize("point", besides(REPAIR))
def test_a_killed_repair_is_completed_by_the_next_one(nights: Nights, point: str) -> None:
    trial = nights.trial
    trial.back_to("second")
    ids = {day: ids_of(trial, day) for day in (1, 2)}
    damaged = damage(trial)
    assert {finding["path"] for finding in trial.archive.ask("fsck", code=3)["findings"]} == damaged
    trial.kill(point, "fsck", "--repair", today=night(2))
    assert trial.archive.ask("fsck", "--repair")["findings"] == []
    assert trial.archive.ask("fsck", "--deep")["findings"] == []
    for day in (1, 2):
        assert trial.doubles(day) == {}
        assert ids_of(trial, day) >= ids[day]
    assert ids_of(trial, 2) == ids[2]
    nights.check_restore()
    assert {table: rows for table, rows in trial.rows(2).items() if table not in ALL_OBJECTS} == {
        table: rows for table, rows in nights.second.items() if table not in ALL_OBJECTS
    }
    assert trial.left_behind() == []


def rows_kept(trial: Trial, day: int) -> Rows:
    """Every table on a night, without what format 1 lacks."""
    lost = lacking(1)
    return {
        table.name: trial.archive.rows(table.name, day, without=(*WHEN, *lost.get(table.name, ()))) for table in ALL
    }


@pytest.mark.parametrize("point", besides(UPGRADE))
def test_a_killed_upgrade_is_completed_by_the_next_one(nights: Nights, point: str) -> None:
    trial = nights.trial
    trial.back_to("second")
    rows = {day: rows_kept(trial, day) for day in (1, 2)}
    make_older(trial.archive.read(), trial.archive.storage, 1)
    trial.kill(point, "upgrade", today=night(2))
    assert "run `pipeline upgrade`" in trial.archive.run("nightly", "--night", str(night(3)), code=2).stderr
    assert trial.archive.ask("upgrade")["before"] == 1
    assert {day: rows_kept(trial, day) for day in (1, 2)} == rows
    assert trial.archive.ask("fsck")["findings"] == []
    nights.check_restore()
    trial.archive.nightly(3)
    assert trial.doubles(3) == {}
    assert trial.left_behind() == []
