"""Exports of a night against what was landed: which rows, the same bytes each time, nothing half done."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.model.listing import LISTINGS
from pipeline.model.origin import bucket_of, network_id
from pipeline.model.pattern import Pattern
from pipeline.model.tombstone import OBJECT, Tombstone
from pipeline.night.opt_outs import add_opt_outs, remove_opt_outs
from pipeline.read.export.choose import NoListing
from pipeline.read.export.columns import ROWS
from pipeline.read.export.run_export import NothingChosen, OtherExport
from pipeline.read.minhash import SIMILAR
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import full_name
from pipeline.tables.tombstones import add_tombstones, set_removed
from tests.export.conftest import FIRST, FORK, NEAR, PYTHON, SECOND, SHARED, SMALL, Whole, exported, files_below
from tests.support.near_texts import jaccard
from tests.tables.conftest import ADDED
from tests.tables.landing import BUCKETS, oid_of


def rows_of(folder: Path) -> list[dict]:
    return [row for path in sorted((folder / "data").iterdir()) for row in pq.read_table(path).to_pylist()]


@pytest.mark.slow
def test_each_wanted_content_is_exported_once(sealed: SparkSession, whole: Whole) -> None:
    found = whole.manifest
    files = rows_of(whole.folder)
    rows = {(row["origin"], row["path"]): row for row in files}
    assert len(rows) == len(files)
    assert set(rows) == {
        (FIRST, "/a.py"),
        (FIRST, "/z.c"),
        (FORK, "/b.py"),
        *((SECOND, f"/{at}.py") for at in range(20)),
        *((origin, f"/{path}") for origin, texts in NEAR.items() for path in texts),
    }
    assert found.total.rows == len(rows)
    assert found.left_out == {"not UTF-8": 1}
    row = rows[FIRST, "/a.py"]
    assert list(row) == ROWS.names
    assert row["content"].encode() == PYTHON
    assert row["blob_id"] == hashlib.sha1(PYTHON).hexdigest()
    assert row["content_id"] == oid_of(b"blob", PYTHON).hex()
    assert (row["repo_name"], row["branch_name"], row["extension"]) == ("alice/first", "refs/heads/main", "py")
    assert (row["language"], row["is_vendor"], row["length_bytes"]) == ("Python", False, len(PYTHON))
    assert row["visit_date"] == datetime(2026, 11, 2, tzinfo=UTC)
    assert row["revision_date"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert row["committer_date"] == datetime.fromtimestamp(1_700_000_060, UTC)
    commit = sealed.table(full_name("repositories")).where(f"origin = '{FIRST}'").first().head_commit.hex()
    assert row["revision_id"] == commit
    tree = sealed.table(full_name("commits")).where(f"hex(oid) = upper('{commit}')").first().tree
    assert row["directory_id"] == tree.hex()


def test_filters(sealed: SparkSession, storage: Storage, tmp_path: Path) -> None:
    exported(sealed, storage, tmp_path / "small", max_bytes=20, vendored=True, generated=True)
    assert {row["path"]: row["is_vendor"] for row in rows_of(tmp_path / "small")} == {
        "/b.py": False,
        "/package-lock.json": False,
        "/vendor/v.py": True,
    }
    with pytest.raises(NothingChosen):
        exported(sealed, storage, tmp_path / "none", languages=("cobol",))
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_licences_and_stars_choose_the_origin_of_a_content(
    sealed: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    exported(sealed, storage, tmp_path / "licence", languages=("c",), licences=("apache-2.0",))
    (row,) = rows_of(tmp_path / "licence")
    assert (row["origin"], row["path"], row["detected_licenses"]) == (SECOND, "/lib.c", ["Apache-2.0"])
    assert row["is_generated"] is False
    with pytest.raises(NothingChosen):
        exported(sealed, storage, tmp_path / "none", licences=("mit",))
    exported(sealed, storage, tmp_path / "own", languages=("python",))
    own = {row["path"]: row["detected_licenses"] for row in rows_of(tmp_path / "own") if row["origin"] == FORK}
    assert own == {"/b.py": ["NOASSERTION"]}

    with pytest.raises(NoListing):
        exported(sealed, storage, tmp_path / "stars", min_stars=7)
    listed = [(f"{SECOND}.git", 7, 2), (f"{SECOND}.git", 1, 1), (FIRST, 6, 2), (FIRST, 9, 1)]
    stars = " UNION ALL ".join(
        f"SELECT '{url}' AS url, {n}L AS stars, timestamp_seconds({at}) AS last_seen" for url, n, at in listed
    )
    assert {"url", "stars", "last_seen"} <= set(LISTINGS.column_names)
    sealed.sql(f"CREATE TABLE {full_name(LISTINGS.name)} USING iceberg AS {stars}")
    try:
        exported(sealed, storage, tmp_path / "stars", languages=("c",), min_stars=7)
    finally:
        sealed.sql(f"DROP TABLE {full_name(LISTINGS.name)}")
    assert [row["origin"] for row in rows_of(tmp_path / "stars")] == [SECOND]


def test_of_near_duplicates_in_all_networks_the_preferred_one_stays(
    sealed: SparkSession, storage: Storage, tmp_path: Path
) -> None:
    texts = {
        (origin == FORK, oid_of(b"blob", text)): text for origin, folder in NEAR.items() for text in folder.values()
    }
    exact = {(one, other): jaccard(texts[one], texts[other]) for one, other in combinations(sorted(texts), 2)}
    assert not [similarity for similarity in exact.values() if 0.5 < similarity < 0.9]  # where an estimate could err
    alike = {other for (_, other), similarity in exact.items() if similarity >= SIMILAR}
    assert len(alike) == 3
    found = exported(sealed, storage, tmp_path / "near", languages=("ruby",), near_dedup=True)
    kept = {row["content"].encode() for row in rows_of(tmp_path / "near")}
    assert kept == {text for key, text in texts.items() if key not in alike}
    assert (found.total.rows, found.plan.near_duplicates) == (len(texts) - 3, 3)


def test_the_same_bytes_from_a_killed_export_and_from_other_tasks(
    sealed: SparkSession, storage: Storage, whole: Whole, tmp_path: Path
) -> None:
    cut, found = tmp_path / "cut", whole.manifest
    assert len(found.shards) > 2
    files = files_below(whole.folder)
    assert {shard.path: shard.sha256 for shard in found.shards} == {
        path: hashlib.sha256(data).hexdigest() for path, data in files.items() if path.startswith("data/")
    }

    # What a kill leaves: the plan, a shard with its record, one without, and half of nothing else.
    first, second, *_ = found.shards
    for path, data in files.items():
        if path in (first.path, second.path):
            (cut / path).parent.mkdir(parents=True, exist_ok=True)
            (cut / path).write_bytes(data)
    (cut / "_export").mkdir()
    (cut / "_export/plan.json").write_text(found.plan.model_dump_json())
    (cut / first.record).write_text(first.model_dump_json())
    kept = (cut / first.path).stat().st_ino
    (cut / second.path).write_bytes(b"of another attempt")
    partitions = str(sealed.conf.get("spark.sql.shuffle.partitions"))
    sealed.conf.set("spark.sql.shuffle.partitions", "7")
    try:
        again = exported(sealed, storage, cut, **SMALL)
    finally:
        sealed.conf.set("spark.sql.shuffle.partitions", partitions)  # unset would make it Spark's own 200
    assert again == found
    assert files_below(cut) == files
    assert (cut / first.path).stat().st_ino == kept


def test_a_complete_export_is_left_alone_and_another_refused(
    sealed: SparkSession, storage: Storage, whole: Whole, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole.folder, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert exported(sealed, storage, out, **SMALL) == whole.manifest
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(OtherExport, match="other options"):
        exported(sealed, storage, out, languages=("c",))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    exported(sealed, storage, out, languages=("c",), replace=True)
    assert [row["content"].encode() for row in rows_of(out)] == [SHARED]
    shutil.rmtree(out)
    out.mkdir()
    (out / "mine.txt").write_text("dear")
    with pytest.raises(OtherExport, match="no export"):
        exported(sealed, storage, out, replace=True)
    assert files_below(out) == {"mine.txt": b"dear"}


@pytest.mark.slow
def test_what_was_opted_out_or_taken_down_is_not_exported(
    sealed: SparkSession, storage: Storage, whole: Whole, tmp_path: Path
) -> None:
    network = network_id(FIRST)
    gone = Tombstone("t1", OBJECT, ADDED, bucket_of(network, BUCKETS), network, oid_of(b"blob", PYTHON))
    try:
        add_tombstones(sealed, [gone])
        add_opt_outs(sealed, [Pattern(SECOND)])
        with pytest.raises(OtherExport, match="opt-outs"):
            exported(sealed, storage, whole.folder, **SMALL)
        exported(sealed, storage, tmp_path / "after")
    finally:
        set_removed(sealed, ["t1"])
        remove_opt_outs(sealed, [Pattern(SECOND)])
    assert {(row["origin"], row["path"]) for row in rows_of(tmp_path / "after")} == {
        (FIRST, "/z.c"),
        (FORK, "/b.py"),
        *((origin, f"/{path}") for origin in (FIRST, FORK) for path in NEAR[origin]),
    }
