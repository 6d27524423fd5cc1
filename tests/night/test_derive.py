"""Derive against real Spark: what is at HEAD, night after night."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.maintain.fsck.repair_derived import rebuild
from pipeline.model.layout import WAREHOUSE, Load
from pipeline.model.origin import Origin, bucket_of, network_id
from pipeline.model.visit import VisitStatus
from pipeline.night import derive as derive_module
from pipeline.night import files as head_files
from pipeline.night.blobs import _differing, contents_to_read
from pipeline.night.derive import derive, read_derived
from pipeline.night.files import mark_statement, replace_files
from pipeline.night.publish import publish
from pipeline.read.archive import Archive
from pipeline.storage.interface import Storage
from pipeline.tables.failures import SparkFailed
from pipeline.tables.frames import MOST_BROADCAST
from pipeline.tables.iceberg import IcebergTable
from pipeline.tables.session import configured
from pipeline.tables.writer import Writer, unleased
from tests.support.crash import Crash, crash_after
from tests.support.sample import of_the_day
from tests.support.spark import COMPILED
from tests.tables.conftest import add, night
from tests.tables.landing import BUCKETS, MadeLoad, Tree

URL = "https://example.org/a"
FORK = "https://example.org/fork"


@pytest.fixture
def compiled(session: SparkSession) -> Iterator[None]:
    """Queries as users have them; all other tests have the settings of ``UNCOMPILED``."""
    with configured(session, COMPILED):
        yield


def finish(spark: SparkSession, storage: Storage, landing: MadeLoad):
    publish(unleased(spark), storage, landing.load, landing.write(), landing.run_id)
    return derive(unleased(spark), storage, landing.load)


def night_of(storage: Storage, day: int) -> MadeLoad:
    return MadeLoad(storage, night(day), f"run{day}")


def push_tree(landing: MadeLoad, origin: Origin, tree: Tree, *parents: bytes) -> bytes:
    commit = landing.commit(origin.network, landing.tree(origin.network, tree), *parents)
    landing.push(origin, commit)
    return commit


def paths(spark: SparkSession, origin: str = URL) -> dict[str, str]:
    return {r.path: r.kind for r in Archive(spark).table("files").where(f"origin = '{origin}'").collect()}


def head_names(spark: SparkSession) -> dict[str, tuple[str | None, int | None]]:
    return {r.name: (r.language, r.lines) for r in spark.table("head_blobs").collect()}


def state(spark: SparkSession) -> list[list]:
    return [sorted(Archive(spark).table(t).collect(), key=str) for t in ("files", "head_blobs", "repositories")]


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_a_first_visit_a_change_and_a_deletion(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    first = night_of(storage, 2)
    tree: Tree = {b"README.md": b"# hi\nyou", b"src": {b"a.py": b"print(1)\n", b"logo.png": b"\x89PNG\0\0"}}
    commit = push_tree(first, origin, tree)
    summary = finish(spark, storage, first)
    assert (summary.moved, summary.heads_moved) == (1, 1)
    assert paths(spark) == dict.fromkeys(["README.md", "src/a.py", "src/logo.png"], "file")
    assert head_names(spark) == {"README.md": ("Markdown", 2), "a.py": ("Python", 1), "logo.png": (None, None)}
    row = spark.table("repositories").first()
    assert (row.head_ref, bytes(row.head_commit), row.branches, row.tags) == ("refs/heads/main", commit, 1, 0)
    assert (row.files, row.bytes, row.language) == (3, 23, "Python")

    second = night_of(storage, 3)
    push_tree(second, origin, {b"src": {b"b.py": b"print(1)\n"}}, commit)  # a.py renamed, the others deleted
    second.rows["blobs"].clear()
    second.rows["contents"].clear()
    finish(spark, storage, second)
    assert paths(spark) == {"src/b.py": "file"}
    assert head_names(spark) == {"b.py": ("Python", 1)}
    assert spark.table("repositories").first().night == night(3)

    before = state(spark)
    derive(unleased(spark), storage, second.load)
    assert state(spark) == before


def test_nothing_moved_touches_no_table(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    landing = night_of(storage, 2)
    landing.visit(origin)
    snapshots = [IcebergTable(spark, t).current().id for t in ("files", "head_blobs", "repositories")]
    assert finish(spark, storage, landing).moved == 0
    assert [IcebergTable(spark, t).current().id for t in ("files", "head_blobs", "repositories")] == snapshots
    assert storage.stat(landing.load.derived) is not None


@pytest.mark.slow
def test_many_moved_origins_are_derived_in_slices(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket is never divided, and buckets without a moved origin are in no slice."""
    monkeypatch.setattr(derive_module, "MOST_MOVED", 2)
    sliced: list[list[int]] = []
    in_buckets = derive_module.derive_buckets

    def derive_buckets(writer: Writer, load: Load, buckets: list[int], **only: Any) -> derive_module.DeriveSummary:
        sliced.append(list(buckets))
        return in_buckets(writer, load, buckets, **only)

    monkeypatch.setattr(derive_module, "derive_buckets", derive_buckets)
    numbered = [Origin(f"{URL}-{number}") for number in range(200)]
    by_bucket = [[o for o in numbered if bucket_of(o.network, BUCKETS) == bucket] for bucket in range(BUCKETS)]
    wanted = [by_bucket[0][0], *by_bucket[1][:3], by_bucket[3][0]]
    landing = night_of(storage, 2)
    for origin in add(spark, *(origin.url for origin in wanted)):
        push_tree(landing, origin, {b"a.py": origin.url.encode()})
    summary = finish(spark, storage, landing)
    assert (summary.moved, summary.heads_moved) == (5, 5)
    assert sliced == [[0], [1], [3]]
    assert {row.origin for row in spark.table("repositories").collect()} == {origin.url for origin in wanted}
    assert {row.origin for row in Archive(spark).table("files").collect()} == {origin.url for origin in wanted}


@pytest.mark.slow
def test_a_merged_branch_is_promoted(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    first = night_of(storage, 2)
    main = push_tree(first, origin, {b"README": b"x\n"})
    inner: Tree = {b"README": b"x\n", b"new": {b"deep": {b"c.c": b"int x;\n"}}}
    topic = first.commit(origin.network, first.tree(origin.network, inner, at_head=False), main)
    first.ref(origin, "refs/heads/topic", topic)
    finish(spark, storage, first)
    assert paths(spark) == {"README": "file"}
    second = night_of(storage, 3)  # a fast forward: no object is new
    second.push(origin, topic)
    finish(spark, storage, second)
    assert paths(spark) == {"README": "file", "new/deep/c.c": "file"}
    assert head_names(spark)["c.c"] == ("C", 1)
    assert spark.table("trees").where("at_head").count() == spark.table("trees").count() == 4
    assert spark.table("contents").where("at_head").count() == spark.table("contents").count() == 2


@pytest.mark.slow
@pytest.mark.parametrize("survived", of_the_day((0, 2, 4)))
def test_a_crash_before_any_commit_is_made_good(spark: SparkSession, storage: Storage, survived: int) -> None:
    (origin,) = add(spark, URL)
    first = night_of(storage, 2)
    main = push_tree(first, origin, {b"README": b"x\n"})
    topic = first.commit(origin.network, first.tree(origin.network, {b"n": {b"c.c": b"int x;\n"}}, at_head=False), main)
    first.ref(origin, "refs/heads/topic", topic)
    finish(spark, storage, first)
    second = night_of(storage, 3)
    second.push(origin, topic)
    publish(unleased(spark), storage, second.load, second.write(), "run3")
    with pytest.raises(Crash):
        derive(Writer(spark, crash_after(survived)), storage, second.load)
    assert storage.stat(second.load.derived) is None
    derive(unleased(spark), storage, second.load)
    assert paths(spark) == {"n/c.c": "file"}
    assert head_names(spark) == {"c.c": ("C", 1)}
    assert spark.table("contents").where("at_head").count() == 2
    assert spark.table("repositories").first().files == 1


@pytest.mark.slow
def test_forks_share_blobs_and_lose_them_last(spark: SparkSession, storage: Storage) -> None:
    root, fork = add(spark, URL, (FORK, URL))
    first = night_of(storage, 2)
    commit = push_tree(first, root, {b"a.py": b"1\n", b"b.py": b"2\n"})
    first.push(fork, commit)
    finish(spark, storage, first)
    assert paths(spark, FORK) == paths(spark) == {"a.py": "file", "b.py": "file"}
    assert spark.table("head_blobs").count() == 2
    second = night_of(storage, 3)
    push_tree(second, root, {b"a.py": b"1\n", b"c.py": b"3\n"}, commit)
    second.rows["blobs"] = second.rows["blobs"][1:]
    second.rows["contents"] = second.rows["contents"][1:]
    finish(spark, storage, second)
    assert paths(spark, FORK) == {"a.py": "file", "b.py": "file"}
    assert set(head_names(spark)) == {"a.py", "b.py", "c.py"}
    third = night_of(storage, 4)  # the fork's HEAD goes
    third.ref(fork, "HEAD", None)
    third.ref(fork, "refs/heads/main", None)
    third.visit(fork)
    finish(spark, storage, third)
    assert paths(spark, FORK) == {}
    assert set(head_names(spark)) == {"a.py", "c.py"}
    rows = {r.origin: r for r in spark.table("repositories").collect()}
    assert (rows[FORK].head_commit, rows[FORK].files, rows[FORK].fork_of) == (None, 0, URL)
    assert rows[URL].files == 2


@pytest.mark.slow
def test_odd_names_links_submodules_and_a_head_at_a_tag(spark: SparkSession, storage: Storage) -> None:
    (origin,) = add(spark, URL)
    landing = night_of(storage, 2)
    network = origin.network
    target = landing.blob(network, b"README", b"link")
    data = landing.blob(network, b"#!/bin/sh\necho\n", b"caf\xe9")
    body = b"".join(
        (
            b"100755 caf\xe9\0" + data,
            b"120000 link\0" + target,
            b"160000 sub\0" + b"\7" * 20,
        )
    )
    tag = landing.tag(network, landing.commit(network, landing.raw_tree(network, body)))
    landing.ref(origin, "HEAD", tag)
    landing.visit(origin)
    finish(spark, storage, landing)
    rows = {r.path: r for r in Archive(spark).table("files").collect()}
    assert {p: (r.kind, r.mode) for p, r in rows.items()} == {
        "caf\ufffd": ("file", 0o100755),
        "link": ("symlink", 0o120000),
        "sub": ("submodule", 0o160000),
    }
    assert bytes(rows["caf\ufffd"].path_raw) == b"caf\xe9"
    assert rows["link"].path_raw is None
    assert head_names(spark) == {"caf\ufffd": ("Bash", 2), "link": (None, None)}
    assert spark.table("repositories").first().head_ref is None


@pytest.mark.slow
def test_a_tree_that_is_nowhere_leaves_the_rest(
    spark: SparkSession, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    (origin,) = add(spark, URL)
    landing = night_of(storage, 2)
    data = landing.blob(origin.network, b"x\n", b"a")
    body = b"100644 a\0" + data + b"40000 lost\0" + b"\5" * 20
    landing.push(origin, landing.commit(origin.network, landing.raw_tree(origin.network, body)))
    finish(spark, storage, landing)
    assert paths(spark) == {"a": "file"}
    assert "0505" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, MOST_BROADCAST + 1])
def test_content_is_never_shuffled(spark: SparkSession, storage: Storage, count: int) -> None:
    (origin,) = add(spark, URL)
    landing = night_of(storage, 2)
    push_tree(landing, origin, {b"a.py": b"1\n"})
    finish(spark, storage, landing)
    fresh = spark.sql("SELECT bucket, network, oid, name, false AS is_link FROM head_blobs").repartition(3, "oid")
    plan = (
        contents_to_read(spark, fresh, dict.fromkeys(range(4), count))._jdf.queryExecution().executedPlan().toString()
    )
    assert not exchanges_of_content(plan)
    fresh.createOrReplaceTempView("ids")
    rows = spark.sql("EXPLAIN " + mark_statement("contents", "ids", {0, 1, 2, 3})).collect()[0][0]
    assert "BatchScan archive.code.contents" in rows
    assert not exchanges_of_content(rows)


def exchanges_of_content(plan: str) -> list[str]:
    """Lines of a plan that are exchanges above the scan of contents."""
    lines = plan.splitlines()
    depth = [len(line) - len(line.lstrip(" :+-*()0123456789")) for line in lines]
    found = []
    for at, line in enumerate(lines):
        if "Exchange" in line and "ReusedExchange" not in line:
            below = [n for n in range(at + 1, len(lines)) if all(d > depth[at] for d in depth[at + 1 : n + 1])]
            found += [line for n in below if "BatchScan archive.code.contents" in lines[n]]
    return found


def test_the_check_for_exchanges_finds_one(spark: SparkSession) -> None:
    shuffled = spark.table("contents").repartition(3, "oid")
    assert exchanges_of_content(shuffled._jdf.queryExecution().executedPlan().toString())


@pytest.mark.slow
def test_hostile_trees_are_cut_and_the_rest_of_the_night_is_right(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bomb, and a branch of nested trees that becomes HEAD; neither fits the limits."""
    monkeypatch.setattr(head_files, "NETWORK_PATHS", 2000)
    monkeypatch.setattr(head_files, "MOST_LEVELS", 5)
    monkeypatch.setattr(head_files, "TURNS", 1)
    bomber, good, deep = add(spark, "https://example.org/bomb", URL, "https://example.org/deep")
    landing = night_of(storage, 2)
    inner = landing.raw_tree(bomber.network, b"100644 f\0" + landing.blob(bomber.network, b"boom\n"))
    for _ in range(6):
        inner = landing.raw_tree(bomber.network, b"".join(b"40000 %d\0" % k + inner for k in range(10)))
    landing.push(bomber, landing.commit(bomber.network, inner))
    push_tree(landing, good, {b"src": {b"a.py": b"print(1)\n"}})
    main = push_tree(landing, deep, {b"README": b"x\n"})
    chain: Tree = {b"end": b"y\n"}
    for _ in range(9):
        chain = {b"d": chain}
    topic = landing.commit(deep.network, landing.tree(deep.network, chain, at_head=False), main)
    landing.ref(deep, "refs/heads/topic", topic)
    finish(spark, storage, landing)
    second = night_of(storage, 3)
    second.push(deep, topic)
    finish(spark, storage, second)
    assert paths(spark) == {"src/a.py": "file"}
    assert 0 < len(paths(spark, bomber.url)) < 2000
    assert paths(spark, deep.url) == {}
    assert {row.origin: row.files for row in spark.table("repositories").collect()}[URL] == 1
    assert f"{bomber.url}: HEAD has too many paths" in caplog.text
    assert f"{deep.url}: tree" in caplog.text


@pytest.mark.slow
def test_a_damaged_bucket_is_derived_once_it_is_readable(spark: SparkSession, storage: Storage) -> None:
    names = [f"{URL}-{number}" for number in range(99)]
    here, there = add(spark, *(next(n for n in names if Origin(n).network % BUCKETS == bucket) for bucket in (1, 2)))
    commits: dict[Origin, bytes] = {}
    for day in (2, 3, 4):
        landing = night_of(storage, day)
        for origin in (here, there):
            if day < 4:
                parents = [commits[origin]] if origin in commits else []
                commits[origin] = push_tree(landing, origin, {f"day{day}".encode(): origin.url.encode()}, *parents)
            else:
                landing.visit(origin, VisitStatus.UNCHANGED)
        if day == 3:
            (path,) = [e.path for e in storage.walk(f"{WAREHOUSE}/code/files/data") if parquet_of(e.path, bucket=1)]
            whole = storage.read(path)
            storage.replace(path, whole[:200] + bytes(len(whole) - 400) + whole[-200:])
        if day == 4:
            storage.replace(path, whole)
        summary = finish(spark, storage, landing)
        assert {row.path for row in spark.table("files").where("bucket = 2 AND kind = 'file'").collect()} == {
            f"day{min(day, 3)}"
        }
        if day == 3:
            assert summary.damaged == (path,)
            assert list(summary.left_out) == [1]
            assert summary.moved == 1
            assert read_derived(storage, landing.load) == summary
        else:
            assert (summary.damaged, summary.left_out) == ((), {})
            assert set(paths(spark, here.url)) == {f"day{min(day, 3)}"}


def parquet_of(path: str, bucket: int) -> bool:
    return f"/bucket={bucket}/" in path and path.endswith(".parquet")


@pytest.mark.slow
def test_a_repair_leaves_out_a_network_that_spark_cannot_derive(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket's other networks have their rows again, and a later load derives the one left out."""
    urls = (f"https://example.org/{number}" for number in count())
    sick, well = add(spark, *islice((url for url in urls if bucket_of(network_id(url), BUCKETS) == 1), 2))
    landing = night_of(storage, 2)
    for origin in (sick, well):
        push_tree(landing, origin, {b"a.py": origin.url.encode()})
    finish(spark, storage, landing)
    before = state(spark)
    real = replace_files

    def refuse(writer: Writer, load: Load, heads: pa.Table, *others: Any) -> None:
        if sick.network in heads["network"].to_pylist():
            raise SparkFailed("RuntimeException", "odd data")
        real(writer, load, heads, *others)

    with monkeypatch.context() as patch:
        patch.setattr(derive_module, "replace_files", refuse)
        done = rebuild(unleased(spark), storage, 1, ())
    assert "derived again for 1 origins" in done[0]
    assert "odd data" in done[1]
    assert (paths(spark, well.url), paths(spark, sick.url)) == ({"a.py": "file"}, {})
    later = night_of(storage, 3)
    later.visit(well)
    assert finish(spark, storage, later).left_out == {}
    assert state(spark) == before


@pytest.mark.slow
def test_files_follow_heads_whose_blobs_cannot_be_described(
    spark: SparkSession, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (origin,) = add(spark, URL)
    first, second = night_of(storage, 2), night_of(storage, 3)
    push_tree(first, origin, {b"old": b"1"})
    finish(spark, storage, first)

    def fail(*_: object) -> None:
        raise SparkFailed("RuntimeException", "odd data")

    with monkeypatch.context() as patch:
        patch.setattr(derive_module, "replace_head_blobs", fail)
        push_tree(second, origin, {b"new": b"2"})
        assert len(finish(spark, storage, second).left_out) == 1
    assert paths(spark) == {"new": "file"}
    later = night_of(storage, 4)
    later.visit(origin)
    assert finish(spark, storage, later).left_out == {}
    assert paths(spark) == {"new": "file"}
    assert head_names(spark).keys() == {"new"}


def test_rows_of_an_earlier_version_are_looked_at_again(session: SparkSession) -> None:
    columns = "bucket int, network bigint, oid binary, name string"
    now = session.createDataFrame([(1, 1, oid, "n") for oid in (b"same", b"earlier", b"new")], columns)
    was = [(b"same", False), (b"earlier", None), (b"gone", True)]
    old = session.createDataFrame([(1, 1, oid, "n", known) for oid, known in was], f"{columns}, is_generated boolean")
    found = {(bytes(row.oid), row.now, row.was) for row in _differing(now, old).collect()}
    assert found == {(b"earlier", True, True), (b"new", True, None), (b"gone", None, True)}
