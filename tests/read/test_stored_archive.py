"""What Python reads without Spark is what Spark reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

import pipeline
from pipeline.context.archive import FORMAT
from pipeline.model.errors import UsageError
from pipeline.model.layout import ARCHIVE
from pipeline.model.objects import TREE
from pipeline.model.origin import bucket_of
from pipeline.model.tables import ALL, shown_columns
from pipeline.read import head_files
from pipeline.read.archive import Archive
from pipeline.read.blame import NoSuchFile
from pipeline.read.duckdb_query import DuckDBMissing
from pipeline.read.head_files import TooManyPaths
from pipeline.read.network_objects import ObjectsMissing
from pipeline.read.nights import NightNotFound
from pipeline.read.one_origin import OriginNotFound
from pipeline.read.revision import CommitNotFound
from pipeline.read.scratch_repository import NotKept
from pipeline.read.stored_archive import NoSuchColumn, NoSuchTable, PolarsMissing
from pipeline.rules.walk import Budget
from pipeline.storage.interface import Storage
from pipeline.tables.settings import SparkSettings
from tests.night.test_nights import FORK, OTHER, URL, finish
from tests.read.grown import GONE, grow
from tests.support.spark import QUICK_SPARK
from tests.tables.conftest import add, night
from tests.tables.landing import BUCKETS, MadeLoad
from tests.tables.test_writers import session_beside


def in_order(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=repr)


def never() -> SparkSession:
    raise AssertionError("Spark was started")


def describe(storage: Storage) -> None:
    """Give tables the description that makes them an archive."""
    text = f'{{"format": {FORMAT}, "buckets": {BUCKETS}, "created_at": "2026-11-01T00:00:00Z"}}'
    storage.create(ARCHIVE, text.encode())


@pytest.mark.slow
def test_every_table_of_every_night_is_what_spark_reads(spark: SparkSession, storage: Storage) -> None:
    grow(spark, storage)
    files, through_spark = Archive(never, None, storage), Archive(spark, None, storage)
    assert files.nights() == [night(2), night(3)]
    for day in (2, 3):
        for table in ALL:
            schema = pa.schema([table.arrow_schema.field(name) for name in shown_columns(table)])
            there = through_spark.table(table.name, night(day)).toArrow().cast(schema)
            assert in_order(files.arrow(table.name, night=night(day))) == in_order(there), (day, table.name)
    assert files.arrow("contents", ["oid"]).num_rows == 1, "one of three is left, two were taken down"
    assert files.arrow("files", ["path"], {"origin": URL}).to_pydict() == {"path": ["c.py"]}
    assert files.arrow("files", ["path"], {"origin": URL, "ext": "c"}, night(2)).to_pydict() == {"path": ["x/b.c"]}
    assert files.arrow("visits", ["status"], {"night": night(3)}).to_pydict() == {"status": ["full"]}
    assert files.arrow("files", ["path"], {"origin": GONE}).num_rows == 0


def test_queries_frames_and_their_faults(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = grow(spark, storage)
    archive = Archive(never, None, storage)
    counted = "SELECT author_name, count(*) AS commits, min(author_time) AS first FROM commits GROUP BY 1"
    (row,) = archive.arrow(counted).to_pylist()
    (there,) = Archive(spark, None, storage).sql(counted).toArrow().to_pylist()
    assert row == {**there, "first": there["first"].replace(tzinfo=None)}
    assert archive.pandas("SELECT hex(oid) AS id FROM commits ORDER BY ALL").id.tolist() == sorted(
        oid.hex().upper() for oid in (grown.one, grown.two)
    )
    joined = "SELECT count(*) FROM commits c JOIN trees t ON c.tree = t.oid, commits d"
    assert archive.arrow(joined).column(0).to_pylist() == [4]
    frame, polar = archive.pandas("refs", ["name"]), archive.polars("refs", ["name"], night=night(2))
    assert (type(frame), type(polar)) == (pd.DataFrame, pl.DataFrame)
    assert (len(frame), polar.height) == (7, 4)
    for problem, says, call in (
        (NoSuchTable, "no table 'packs'; known tables: blobs", lambda: archive.arrow("packs")),
        (NoSuchColumn, "tags has no column a, b; it has bucket", lambda: archive.arrow("tags", ["a"], {"b": 1})),
        (UsageError, "DuckDB refuses the query: .*nowhere", lambda: archive.arrow("SELECT 1 FROM nowhere")),
        (UsageError, "the query returns no rows", lambda: archive.arrow("CREATE TABLE a (b int)")),
        (UsageError, "belong into its text", lambda: archive.arrow("SELECT 1", ["a"])),
        (NightNotFound, "no night 2026-11-09", lambda: archive.arrow("SELECT 1 FROM tags", night=night(9))),
    ):
        with pytest.raises(problem, match=says):
            call()
    archive.below = 0  # as ``--sample`` chooses networks
    assert [archive.arrow(what).num_rows for what in ("commits", "files", "SELECT oid FROM commits")] == [0, 0, 0]
    archive.below = None
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(DuckDBMissing, match=r"extra \[duckdb\]"):
        archive.pandas("SELECT 1")
    with pytest.raises(PolarsMissing, match=r"extra \[polars\]"):
        archive.polars("refs")


def test_commits_are_found_by_id_and_name(spark: SparkSession, storage: Storage) -> None:
    grown = grow(spark, storage)
    archive = Archive(never, None, storage)

    def paths(commit: str | bytes | None = None, day: int | None = None) -> list[str]:
        found: list[str] = archive.files(URL, commit, None if day is None else night(day)).column("path").to_pylist()
        return found

    assert paths() == paths("main") == paths(grown.two) == ["c.py"]
    assert paths("v1") == paths("refs/tags/v1") == paths(grown.one.hex()) == paths(day=2) == ["a.py", "x/b.c"]
    assert paths("old", day=2) == ["a.py", "x/b.c"]
    for commit in ("old", "no-such", "0" * 40, b"\0" * 20):
        with pytest.raises(CommitNotFound, match=r"has no commit (old|no-such|0{40}): give a full id"):
            paths(commit)
    for url in (GONE, OTHER, "https://example.org/unknown"):
        with pytest.raises(OriginNotFound, match="is not an origin that was visited by that night; `pipeline status"):
            archive.files(url)
    changes = archive.history(URL, "x/b.c").to_pylist()
    assert [(change["commit"], change["status"]) for change in changes] == [(grown.two, "D"), (grown.one, "A")]
    assert changes[0]["author_name"] == "A"
    assert archive.history(URL, "x", "v1").column("status").to_pylist() == ["A"]
    assert archive.history(URL, "nothing").num_rows == 0
    assert archive.history(URL, b"c.py").column("status").to_pylist() == ["A"]
    for ask in (archive.patch, archive.commit_stats, lambda url: archive.blame(url, "c.py")):
        with pytest.raises(NotKept, match="they were taken down"):
            ask(URL)
    with pytest.raises(NoSuchFile, match=r"x/b\.c is not a file of this commit"):
        archive.blame(URL, "x/b.c")
    with pytest.raises(UsageError, match="give a path"):
        archive.history(URL, "/")
    assert FORK not in archive.arrow("files", ["origin"]).column("origin").to_pylist()


@pytest.mark.slow
def test_an_odd_head_fails_nobody_elses_files(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    landing = MadeLoad(storage, night(2))
    bare, lost, many, good = add(spark, *(f"https://example.org/{name}" for name in ("bare", "lost", "many", "good")))
    trees = {
        bare: None,
        lost: landing.raw_tree(lost.network, b"40000 gone\0" + b"x" * 20),
        many: landing.tree(many.network, dict.fromkeys((b"a", b"b", b"c"), b"")),
        good: landing.tree(good.network, {b"a": b"1\n", b"b": b"2\n"}),
    }
    below = {origin: landing.commit(origin.network, tree) for origin, tree in trees.items()}
    top = landing.commit(bare.network, landing.tree(bare.network, {b"f": b"1\n"}), below[bare])
    for origin, commit in below.items():
        landing.push(origin, commit)
    landing.ref(bare, "refs/heads/top", top)
    finish(spark, storage, landing)
    archive = Archive(never, None, storage)
    monkeypatch.setattr(head_files, "Budget", lambda: Budget(paths=2))
    rows = archive.arrow("SELECT origin, path FROM files ORDER BY ALL").to_pylist()
    assert [(row["origin"], row["path"]) for row in rows] == [
        (origin.url, path) for origin in (good, many) for path in ("a", "b")
    ]
    said = [record.getMessage() for record in caplog.records if record.name == head_files.__name__]
    assert [message.split()[0] for message in said] == [lost.url, many.url]
    with pytest.raises(TooManyPaths, match="more than 2 paths"):
        archive.files(many.url)
    with pytest.raises(ObjectsMissing):
        archive.files(lost.url)
    assert archive.files(bare.url).num_rows == archive.commit_stats(bare.url).num_rows == 0
    assert archive.patch(bare.url) == b""
    assert archive.history(bare.url, "f", "top").column("status").to_pylist() == ["A"]
    assert archive.commit_stats(bare.url, "top").column("path").to_pylist() == ["f"]
    with pytest.raises(NoSuchFile):
        archive.blame(bare.url, "f")


def test_an_opened_archive_is_one_object_with_and_without_spark(
    spark: SparkSession, storage: Storage, spark_root: Path
) -> None:
    grow(spark, storage)
    describe(storage)
    archive = pipeline.open(spark_root)
    assert archive.pandas("repositories").origin.tolist() == [URL]
    assert archive.spark is spark, "one Spark a process, one session an archive"
    assert archive.sql("SELECT origin FROM repositories").toArrow().to_pydict() == {"origin": [URL]}
    past = pipeline.open(str(spark_root), "2026-11-02")
    assert past.table("commits").count() == len(past.pandas("commits")) == 1
    with pytest.raises(NightNotFound):
        pipeline.open(spark_root, night(9))
    with pytest.raises(UsageError, match="'yesterday' is not a date"):
        pipeline.open(spark_root, "yesterday")


def test_a_session_of_ones_own_keeps_its_settings(
    spark: SparkSession, storage: Storage, spark_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tables import session

    grow(spark, storage)
    describe(storage)
    monkeypatch.setattr(session, "_SESSIONS", {})
    own = spark.newSession()
    before = own.conf.get("spark.sql.session.timeZone", "none")
    archive = pipeline.open(spark_root, spark=own)
    assert archive.table("commits").count() == 2
    assert archive.sql("SELECT count(*) AS n FROM files").toArrow().to_pydict() == {"n": [1]}
    assert archive.spark is not own
    assert archive.spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert own.conf.get("spark.sql.session.timeZone", "none") == before
    assert own._jsparkSession.sessionState().catalog().getTempView("commits").isEmpty()
    monkeypatch.setattr(
        session,
        "session_conf",
        lambda *_: {session.WAREHOUSE_SETTING: "file:/x", "spark.sql.catalog.archive": "no.Such"},
    )
    with pytest.raises(session.NoIceberg, match="start it with --packages org"):
        session.adopt_session(own, SparkSettings(**QUICK_SPARK), "file:///x")


def test_a_session_reads_nights_that_others_sealed_after_it_last_looked(spark: SparkSession, storage: Storage) -> None:
    origin = grow(spark, storage).origin
    archive = Archive(spark, None, storage)
    assert archive.register_views() == night(3)
    landing = MadeLoad(storage, night(5), "run5")
    tree = landing.tree(origin.network, {b"d.py": b"5\n"})
    landing.push(origin, landing.commit(origin.network, tree))
    finish(session_beside(spark), storage, landing)

    stats = archive.stats(["commits"])
    assert archive.sql(f"SELECT path FROM files WHERE origin = '{URL}'").toArrow().to_pydict() == {"path": ["d.py"]}
    assert archive.table("commits").count() == stats[0].rows == 4
    assert sum(found.type == TREE for found in archive.objects(origin.network, bucket_of(origin.network, BUCKETS))) == 4


def test_a_copied_archive_is_read_here_and_never_written(
    spark: SparkSession, storage: Storage, spark_root: Path, tmp_path: Path
) -> None:
    """Its tables name the files of the original, which Spark would read, and a writer would mix with its own."""
    import shutil

    from pipeline.context.archive import ArchiveMoved

    grow(spark, storage)
    describe(storage)
    shutil.copytree(spark_root, tmp_path / "below" / "copy")
    original = pipeline.open(spark_root)
    expected = {table.name: in_order(original.arrow(table.name)) for table in ALL}
    for table in ALL:
        shutil.move(spark_root / "tables" / "code" / table.name, tmp_path / "away" / table.name)
    copy = pipeline.open(tmp_path / "below" / "copy")
    assert {table.name: in_order(copy.arrow(table.name)) for table in ALL} == expected
    assert copy.files(URL).num_rows == 1
    for call in (lambda: copy.table("commits"), lambda: copy.sql("SELECT 1")):
        with pytest.raises(ArchiveMoved, match=f"below/copy was made at {spark_root.as_uri()}, .*move it back"):
            call()
