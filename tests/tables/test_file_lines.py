"""``files`` as lines: what readers see, what a night writes, and how tables of earlier versions become lines."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.maintain.rewrite import rewrite_statement
from pipeline.maintain.takedown.doomed import Doomed
from pipeline.maintain.takedown.file_lines import needed_rows
from pipeline.model.origin import Origin
from pipeline.model.tables import ALL, FILES, REPOSITORIES
from pipeline.night.derive import derive
from pipeline.night.publish import publish
from pipeline.night.seal import seal
from pipeline.read.archive import Archive
from pipeline.storage.interface import Storage
from pipeline.tables.change import RowChange, change_rows
from pipeline.tables.conflicts import is_conflict
from pipeline.tables.create import _create_statement, upgrade_table
from pipeline.tables.file_rows import file_rows
from pipeline.tables.iceberg import IcebergTable, full_name
from pipeline.tables.writer import unleased
from tests.tables.conftest import add, night
from tests.tables.landing import MadeLoad, Tree

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
ROOT = "https://example.org/root"


def fork(number: int) -> str:
    return f"https://example.org/fork{number}"


def folders(files: int) -> dict[bytes, dict[bytes, bytes]]:
    """Folders of 100 small files; the files of a folder are equal, so that blobs are few."""
    return {b"d%03d" % d: {b"f%02d.c" % n: b"int x%d;\n" % d for n in range(100)} for d in range(files // 100)}


class Nights:
    """Nights of one network: a root and its forks."""

    def __init__(self, spark: SparkSession, storage: Storage, forks: int) -> None:
        self.spark, self.storage, self.day = spark, storage, 1
        self.origins = {o.url: o for o in add(spark, ROOT, *((fork(n), ROOT) for n in range(forks)))}
        self.trees: dict[str, bytes] = {}
        self.bodies: dict[bytes, bytes] = {}
        self.archived: set[tuple[str, bytes]] = set()

    def night(self, changed: Mapping[str, Tree]) -> None:
        """Publish, derive and seal a night in which origins push a tree."""
        self.day += 1
        landing = MadeLoad(self.storage, night(self.day), f"run{self.day}")
        for url, tree in changed.items():
            origin: Origin = self.origins[url]
            self.trees[url] = landing.tree(origin.network, tree)
            landing.push(origin, landing.commit(origin.network, self.trees[url], message=f"{url} {self.day}"))
        for table, rows in landing.rows.items():
            if rows and "oid" in rows[0]:
                landing.rows[table] = [row for row in rows if (table, row["oid"]) not in self.archived]
                self.archived |= {(table, row["oid"]) for row in rows}
        self.bodies |= {row["oid"]: row["content"] for row in landing.rows["trees"]}
        writer = unleased(self.spark)
        publish(writer, self.storage, landing.load, landing.write(), landing.run_id)
        derive(writer, self.storage, landing.load)
        seal(writer, landing.load)

    def listed(self, url: str, folder: Path) -> list[tuple[str, int, str]]:
        """Path, mode and id of each file at HEAD, as git lists them."""
        objects: list[bytes] = [self.trees[url]]
        git = ["git", "-C", str(folder)]
        subprocess.run(["git", "init", "-q", "--bare", str(folder)], check=True)
        while objects:
            body = self.bodies[objects.pop()]
            command = [*git, "hash-object", "-w", "-t", "tree", "--stdin"]
            subprocess.run(command, input=body, check=True, capture_output=True)
            at = 0
            while at < len(body):
                end = body.index(b"\0", at)
                if body[at:end].startswith(b"40000"):
                    objects.append(body[end + 1 : end + 21])
                at = end + 21
        command = [*git, "ls-tree", "-r", self.trees[url].hex()]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        rows = (line.partition("\t") for line in lines)
        return sorted((path, int(facts.split()[0], 8), facts.split()[2]) for facts, _, path in rows)

    def seen(self, url: str, day: int | None = None) -> list[tuple[str, int, str]]:
        rows = Archive(self.spark).table("files", None if day is None else night(day)).where(f"origin = '{url}'")
        return sorted((r["path"], r["mode"], bytes(r["oid"]).hex()) for r in rows.collect())


def added(spark: SparkSession, table: str) -> int:
    """Rows that the last commit to a table wrote."""
    current = IcebergTable(spark, table).current()
    assert current is not None
    return int(current.summary.get("added-records", "0"))


def check_documented_join(spark: SparkSession) -> None:
    """What docs/architecture.md tells other programs to run gives the rows of the view."""
    documented = spark.sql(re.findall(r"```sql\n(WITH pointers.*?)```", ARCHITECTURE.read_text(), re.DOTALL)[0])
    shown = Archive(spark).table("files").select(*documented.columns)
    assert sorted(map(str, documented.collect())) == sorted(map(str, shown.collect()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "forks"),
    [(2000, 50), pytest.param(20_000, 500, marks=[pytest.mark.long, pytest.mark.timeout(7200)])],
    ids=["50 forks", "500 forks"],
)
def test_forks_with_a_head_of_their_own_cost_their_differences(
    spark: SparkSession, storage: Storage, tmp_path: Path, files: int, forks: int
) -> None:
    nights, base = Nights(spark, storage, forks), folders(files)
    own = {fork(n): {**base, b"d000": {**base[b"d000"], b"own.py": b"n = %d\n" % n}} for n in range(forks)}
    nights.night({ROOT: base, **own})
    stored = spark.table(full_name("files")).count()
    assert stored == files + 1 + forks * 2
    assert stored <= 2 * (files + len(nights.bodies) * 2)
    assert Archive(spark).table("files").count() == files + forks * (files + 1)
    for number in (0, forks // 2, forks - 1):
        assert nights.seen(fork(number)) == nights.listed(fork(number), tmp_path / f"fork{number}.git")
    catalogue = {row["origin"]: row for row in spark.table("repositories").collect()}
    assert {row["files"] for url, row in catalogue.items() if url != ROOT} == {files + 1}
    assert (catalogue[ROOT]["files"], catalogue[ROOT]["language"]) == (files, "C")
    assert catalogue[fork(7)]["bytes"] == catalogue[ROOT]["bytes"] + len(b"n = 7\n")
    assert spark.table("head_blobs").count() == files // 100 + forks

    before, first = nights.seen(fork(1)), dict(base)
    base[b"d001"] = {**base[b"d001"], b"f00.c": b"int y;\n"}
    nights.night({ROOT: base, fork(1): {b"only": b"this\n"}})
    assert added(spark, "files") == 2 + 2  # a path and a root for the new line of the root, and of the fork
    assert added(spark, "repositories") == 2
    assert added(spark, "head_blobs") == 2
    assert nights.seen(ROOT) == nights.listed(ROOT, tmp_path / "root.git")
    assert [path for path, _, _ in nights.seen(fork(1))] == ["only"]
    assert nights.seen(fork(1), day=2) == before
    assert len(nights.seen(ROOT, day=2)) == sum(map(len, first.values()))
    assert spark.table("head_blobs").where("name = 'own.py'").count() == forks - 1


@pytest.mark.slow
def test_a_repository_of_its_own_is_kept_in_full_and_changed_by_row(spark: SparkSession, storage: Storage) -> None:
    nights, base = Nights(spark, storage, 0), folders(300)
    nights.night({ROOT: base})
    base[b"d001"] = {**base[b"d001"], b"f00.c": b"int y;\n"}
    del base[b"d002"][b"f07.c"]
    nights.night({ROOT: base})
    assert spark.table(full_name("files")).count() == 300
    assert added(spark, "files") == 2
    assert len(nights.seen(ROOT)) == 299
    spark.sql(rewrite_statement("files", range(4), 1 << 20))
    assert len(nights.seen(ROOT)) == 299


@pytest.mark.slow
def test_tables_of_an_earlier_version_become_lines_as_origins_move(spark: SparkSession, storage: Storage) -> None:
    nights, base = Nights(spark, storage, 2), folders(200)
    nights.night({ROOT: base, fork(0): base, fork(1): {b"a": b"1\n"}})
    seen = {url: nights.seen(url) for url in nights.origins}
    for table, kept in ((FILES, FILES.columns[:-2]), (REPOSITORIES, REPOSITORIES.columns[:-1])):
        rows = Archive(spark).table(table.name).toArrow() if table is FILES else spark.table(table.name).toArrow()
        earlier = replace(table, columns=kept)
        spark.sql(f"DROP TABLE {full_name(table.name)} PURGE")
        spark.sql(_create_statement(earlier, 4))
        spark.createDataFrame(rows).select(*earlier.column_names).writeTo(full_name(table.name)).append()
        iceberg = unleased(spark).table(table.name)
        iceberg.create_tag("night-2026-11-02")
        iceberg.set_properties({"write.merge.mode": "copy-on-write", "write.wap.enabled": "false"})
    for table in (*ALL, FILES):
        upgrade_table(unleased(spark), table, 4)
    assert {url: nights.seen(url) for url in seen} == seen
    assert {url: nights.seen(url, day=2) for url in seen} == seen

    nights.night({ROOT: {**base, b"new": b"2\n"}})
    assert [path for path, _, _ in nights.seen(ROOT)][-1] == "new"
    assert {url: nights.seen(url) for url in (fork(0), fork(1))} == {url: seen[url] for url in (fork(0), fork(1))}
    assert spark.table(full_name("files")).where(f"line IS NULL AND origin = '{ROOT}'").isEmpty()
    assert {row["files"] for row in spark.table("repositories").collect()} == {201, 200, 1}
    check_documented_join(spark)
    nights.night({fork(0): base, fork(1): {b"a": b"2\n"}})
    check_documented_join(spark)
    assert spark.table(full_name("files")).where("line IS NULL").isEmpty()
    assert nights.seen(fork(0)) == seen[fork(0)]


@pytest.mark.slow
def test_a_change_is_refused_if_others_wrote_since(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tables.change.MOST_WRITTEN", 0)
    nights: Any = Nights(spark, storage, 0)
    nights.night({ROOT: {b"a": b"1\n"}})
    seen = unleased(spark).see("repositories")
    gone, new = seen.rows().select("bucket", "origin"), seen.rows().withColumn("language", F.col("head_ref"))
    unleased(spark).table("repositories").commit_nothing()
    current = IcebergTable(spark, "repositories").current()
    with pytest.raises(Exception) as refused:  # noqa: PT011 - the next line says which
        change_rows(seen, RowChange(new, 1, gone, 1, range(4)))
    assert is_conflict(refused.value)
    assert IcebergTable(spark, "repositories").current() == current
    assert spark.table("repositories").where("language IS NOT NULL").isEmpty()


@pytest.mark.slow
def test_a_change_that_was_staged_and_not_published_never_happened(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    Nights(spark, storage, 2).night({ROOT: {b"a": b"1\n"}})
    before = sorted(map(str, spark.table("origins").collect()))

    def change() -> None:
        seen = unleased(spark).see("origins")
        gone = seen.rows().where(f"url = '{ROOT}'").select("bucket", "url")
        new = seen.rows().where(f"url = '{ROOT}'").withColumn("failures", F.lit(7))
        change_rows(seen, RowChange(new, 1, gone, 1, range(4)), {"pipeline.load": "this"})

    def kill(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.tables.change.MOST_WRITTEN", 0)
    with monkeypatch.context() as killed:
        killed.setattr(IcebergTable, "publish_staged", kill)
        with pytest.raises(KeyboardInterrupt):
            change()
    assert sorted(map(str, spark.table("origins").collect())) == before
    assert IcebergTable(spark, "origins").snapshots_with("pipeline.load", "this") == []
    change()
    assert len(IcebergTable(spark, "origins").snapshots_with("pipeline.load", "this")) == 1
    assert spark.table("origins").where("failures = 7").count() == 1
    assert spark.table("origins").count() == len(before)


@pytest.mark.slow
def test_a_takedown_leaves_what_other_lines_need(spark: SparkSession, storage: Storage) -> None:
    """The root goes, on whose line its forks are based; on the second night its line has moved on."""
    nights, base = Nights(spark, storage, 2), folders(200)
    with_secret: Tree = {**base, b"secret": {b"only.txt": b"hidden\n"}, b"also.txt": b"1\n"}
    nights.night({ROOT: with_secret, fork(0): {**base, b"own": b"2\n"}, fork(1): {**base, b"also.txt": b"1\n"}})
    nights.night({ROOT: {**with_secret, b"more.txt": b"3\n"}})
    network = nights.origins[ROOT].network
    tags = IcebergTable(spark, "files").tags()
    snapshots = {tags[f"night-2026-11-0{day}"] for day in (2, 3)}
    gone = {nights.trees[ROOT], *(oid for oid, body in nights.bodies.items() if b"secret\0" in body)}
    gone |= {oid for oid, body in nights.bodies.items() if b"only.txt\0" in body}
    doomed = Doomed({network: frozenset({ROOT})}, objects={network: frozenset(gone)}, buckets=frozenset(range(4)))
    doomed = replace(doomed, needed=needed_rows(spark, snapshots, doomed))
    heads = spark.table("repositories").where(f"origin <> '{ROOT}'")
    for snapshot in snapshots:
        stored = spark.read.option("versionAsOf", snapshot).table(full_name("files"))
        rows = stored.toArrow().cast(FILES.arrow_schema)
        left = rows.filter(pc.invert(doomed.rows("files", rows)))
        named = " ".join(map(str, left["path"].to_pylist()))
        assert ("only.txt" in named, "more.txt" in named, "also.txt" in named, "own" in named) == (
            False,
            False,
            True,
            True,
        )
        assert gone.isdisjoint(left["oid"].to_pylist())
        shown = file_rows(spark.createDataFrame(left), heads).collect()
        for url in (fork(0), fork(1)):
            mine = sorted((r["path"], r["mode"], bytes(r["oid"]).hex()) for r in shown if r["origin"] == url)
            assert mine == nights.seen(url)
