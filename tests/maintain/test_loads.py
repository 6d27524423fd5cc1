"""Finds what loads leave behind in storage, and nothing else."""

from __future__ import annotations

import os
import time
from datetime import date
from pathlib import Path

import pytest

from pipeline.maintain.loads import find_rubbish, load_states, remove
from pipeline.maintain.rubbish import Why
from pipeline.model.layout import Load
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage

LOAD = Load.of_night(date(2026, 11, 2))
LATER = date(2026, 12, 1)
HOUR = 3600.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def storage(root: Path) -> Storage:
    return LocalStorage(root)


def put(storage: Storage, path: str, data: bytes = b"12345") -> None:
    storage.replace(path, data)


def age(root: Path, seconds: float) -> None:
    """Make everything this much older."""
    then = time.time() - seconds
    for path in [root, *root.rglob("*")]:
        os.utime(path, (then, then))


def found(
    storage: Storage, *, plans_before: date | None = None, after_s: float = HOUR
) -> list[tuple[str, Why, int, int]]:
    rubbish = find_rubbish(
        storage, load_states(storage), untouched_since=time.time() - after_s, plans_before=plans_before
    )
    return [(r.path, r.why, r.files, r.size_bytes) for r in rubbish]


def attempt(storage: Storage, bucket: int, run: str, *names: str) -> str:
    folder = LOAD.landing(bucket, run)
    for name in names or ("contents.parquet",):
        put(storage, f"{folder}/{name}")
    return folder


def test_an_attempt_goes_when_no_manifest_names_it_and_nobody_is_at_it(storage: Storage, root: Path) -> None:
    killed = attempt(storage, 1, "killed", "contents.parquet", "trees.parquet")
    attempt(storage, 1, "won")
    put(storage, LOAD.manifest(1), b'{"run_id": "won"}')
    assert found(storage) == []
    age(root, 2 * HOUR)
    alone = attempt(storage, 2, "running")
    assert found(storage) == [(killed, Why.ATTEMPT, 2, 10)]
    age(root, 2 * HOUR)
    assert found(storage) == [(killed, Why.ATTEMPT, 2, 10), (alone, Why.ATTEMPT, 1, 5)]


def test_answers_to_questions_stay_until_the_load_is_published(storage: Storage, root: Path) -> None:
    put(storage, LOAD.asked(1, 0))
    age(root, 2 * HOUR)
    assert found(storage) == []
    put(storage, LOAD.published)
    assert found(storage) == [(LOAD.landings, Why.LANDING, 1, 5)]


def test_what_a_verdict_names_stays_until_the_load_is_published(storage: Storage, root: Path) -> None:
    attempt(storage, 1, "won-audit-1", "commits.parquet")
    other = attempt(storage, 11, "won-audit-1", "commits.parquet")
    put(storage, LOAD.verdict(1, 1), b'{"manifest": {"run_id": "won-audit-1"}}')
    put(storage, LOAD.verdict(1, 2), b"not JSON")
    age(root, 2 * HOUR)
    assert found(storage) == [(other, Why.ATTEMPT, 1, 5)]


def test_one_fresh_file_keeps_an_attempt(storage: Storage, root: Path) -> None:
    folder = attempt(storage, 1, "slow", "contents.parquet")
    age(root, 2 * HOUR)
    put(storage, f"{folder}/.trees.parquet.0123.tmp")
    os.utime(root / folder, (0, 0))
    assert found(storage) == []


def test_the_landing_of_a_published_load_goes_at_once(storage: Storage) -> None:
    attempt(storage, 1, "won")
    attempt(storage, 1, "late", ".trees.parquet.0123.tmp")
    put(storage, LOAD.manifest(1), b'{"run_id": "won"}')
    put(storage, LOAD.published)
    assert found(storage) == [(f"{LOAD.root}/landing", Why.LANDING, 2, 10)]


def test_unfinished_uploads_go_everywhere_once_they_are_old(storage: Storage, root: Path) -> None:
    paths = [
        ".archive.json.01.tmp",
        f"{LOAD.manifests}/.3.json.01.tmp",
        "results/job/.2026-11-02.json.01.tmp",
        "tables/code/contents/data/bucket=1/.compacted-01-0.parquet.01.tmp",
    ]
    put(storage, "tables/code/contents/data/bucket=1/compacted-01-0.parquet")
    named = attempt(storage, 1, "won", "contents.parquet", ".contents.parquet.01.tmp")
    put(storage, LOAD.manifest(1), b'{"run_id": "won"}')
    for path in paths:
        put(storage, path)
    assert found(storage) == []
    age(root, 2 * HOUR)
    wanted = [*paths, f"{named}/.contents.parquet.01.tmp"]
    assert found(storage) == sorted((path, Why.UPLOAD, 1, 5) for path in wanted)


def test_plans_of_complete_loads_go_after_the_retention(storage: Storage) -> None:
    batch = Load.of_batch(LOAD.night, 1)
    for load in (LOAD, batch):
        put(storage, load.plan)
        put(storage, f"{load.plan_origins}/bucket=1/part-0.parquet")
        put(storage, f"{load.quarantine}/bucket=1/won/commits.parquet")
        put(storage, load.published)
    assert found(storage, plans_before=LATER) == []
    put(storage, LOAD.night_summary)
    put(storage, batch.derived)
    assert found(storage, plans_before=LOAD.night) == []
    assert found(storage) == []
    expected = [
        gone
        for load in (batch, LOAD)
        for gone in ((f"{load.root}/plan", Why.PLAN, 2, 10), (load.quarantine, Why.EVIDENCE, 1, 5))
    ]
    assert found(storage, plans_before=LATER) == expected


def test_a_nights_plan_stays_until_the_night_is_sealed(storage: Storage) -> None:
    for path in (LOAD.plan, LOAD.published, LOAD.derived, LOAD.sealed):
        put(storage, path)
    assert found(storage, plans_before=LATER) == []


def test_removing_leaves_the_rest_and_may_be_repeated(storage: Storage, root: Path) -> None:
    attempt(storage, 1, "killed")
    won = attempt(storage, 1, "won", "contents.parquet", ".contents.parquet.01.tmp")
    put(storage, LOAD.manifest(1), b'{"run_id": "won"}')
    put(storage, "runs/notes/what.txt")
    age(root, 2 * HOUR)
    rubbish = find_rubbish(storage, load_states(storage), untouched_since=time.time() - HOUR, plans_before=None)
    for _ in range(2):
        for piece in rubbish:
            remove(storage, piece)
    left = {entry.path for entry in storage.walk()}
    assert left == {f"{won}/contents.parquet", LOAD.manifest(1), "runs/notes/what.txt"}
    assert found(storage) == []
