"""What commits changed, and which origin reaches them, from an archive of a made repository, against C git."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.origin import bucket_of
from pipeline.model.rows import commit_row
from pipeline.model.tables import COMMITS, REFS, TREES
from pipeline.model.text import text_and_raw
from pipeline.night.publish import publish
from pipeline.read import commit_files as commit_files_module
from pipeline.read.archive import Archive
from pipeline.read.commit_files import commit_files
from pipeline.rules.commit_diff import EMPTY_TREE, file_changes
from pipeline.storage.interface import Storage
from pipeline.tables.session import configured
from pipeline.tables.writer import unleased
from tests.support.repos import git, init, put, put_commit, put_tree, resolve, set_refs
from tests.support.spark import COMPILED
from tests.tables.conftest import night
from tests.tables.landing import BUCKETS, MadeLoad

NETWORK = 5
GONE = "1" * 40
ONE, FORK = "https://example.org/one", "https://example.org/fork"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Roots, merges, a branch that was merged twice, odd names, types that change, submodules; and an empty tree."""
    repo = init(tmp_path_factory.mktemp("commit-files") / "r")
    one, two = put(repo, "blob", b"1\n"), put(repo, "blob", b"2\n")
    empty = put_tree(repo)
    inner = put_tree(repo, ("100644", b"\xff \n", two), ("120000", "l", one))
    first = put_tree(repo, ("100644", "a", one), ("40000", "d", inner), ("160000", "s", GONE))
    second = put_tree(repo, ("100755", "a", one), ("40000", "d", inner), ("160000", "s", "2" * 40))
    third = put_tree(repo, ("120000", "a", one), ("40000", "e", inner), ("100644", "s", two))
    c1 = put_commit(repo, first)
    c2 = put_commit(repo, second, c1)
    c3 = put_commit(repo, third, c1)
    merge = put_commit(repo, third, c2, c3)
    same = put_commit(repo, third, merge, message=b"nothing changed\n")
    wiped = put_commit(repo, empty, same)
    again = put_commit(repo, first, wiped)
    other_root = put_commit(repo, second, message=b"another root\n")
    last = put_commit(repo, first, other_root, again)
    put_commit(repo, empty, message=b"an empty root\n")
    refs = {
        "c1": c1,
        "c2": c2,
        "c3": c3,
        "merge": merge,
        "wiped": wiped,
        "again": again,
        "other": other_root,
        "last": last,
    }
    set_refs(repo, {f"refs/heads/{name}".encode(): oid for name, oid in refs.items()})
    return repo


def objects(repo: Path, kind: str) -> list[tuple[bytes, bytes]]:
    listed = git(repo, "cat-file", "--batch-all-objects", "--batch-check").decode().splitlines()
    ids = [line.split()[0] for line in listed if line.split()[1] == kind]
    return [(bytes.fromhex(oid), git(repo, "cat-file", kind, oid)) for oid in ids]


def by_git(repo: Path) -> set[tuple[Any, ...]]:
    """All commits against their first parents, as git log shows them."""
    commits = [oid.hex() for oid, _ in objects(repo, "commit")]
    found = set()
    for commit in commits:
        raw = git(
            repo, "log", "-1", "-z", "--format=", "-m", "--first-parent", "--root", "--raw", "--no-abbrev", "-r",
            "-M100%", commit,
        )  # fmt: skip
        words = iter(raw.split(b"\0"))
        for word in words:
            if word:
                old_mode, new_mode, old_oid, new_oid, status = word.decode().removeprefix(":").split()
                old_path = text_and_raw(next(words)) if status.startswith("R") else (None, None)
                path = text_and_raw(next(words))
                sides = (*side(old_mode, old_oid), *side(new_mode, new_oid))
                found.add((commit, status[0], *path, *old_path, *sides))
    return found


def side(mode: str, oid: str) -> tuple[int, str] | tuple[None, None]:
    return (int(mode, 8), oid) if int(mode, 8) else (None, None)


@pytest.fixture
def archive(spark: SparkSession, storage: Storage, repo: Path) -> Archive:
    load = MadeLoad(storage, night(2))
    for oid, body in objects(repo, "tree"):
        load.row(TREES.name, NETWORK, oid=oid, at_head=False, content=body)
    for oid, body in objects(repo, "commit"):
        load._codec_row(COMMITS.name, commit_row(bucket_of(NETWORK, BUCKETS), NETWORK, oid, body))
    merge, other, c2, tree = (bytes.fromhex(resolve(repo, name)) for name in ("merge", "other", "c2", "c2^{tree}"))
    for origin, name, target, peeled in (
        (ONE, "refs/heads/main", merge, None),
        (ONE, "refs/tags/v1", load.tag(NETWORK, other), other),
        (ONE, "refs/tags/tree", tree, None),
        (FORK, "refs/heads/main", c2, None),
        (FORK, "refs/heads/same", c2, None),
    ):
        values = {"origin": origin, "night": load.load.night, "name": name, "target": target, "peeled": peeled}
        load.row(REFS.name, NETWORK, symref=None, **values)
    publish(unleased(spark), storage, load.load, load.write(), load.run_id)
    return Archive(spark, None, storage)


def rows_of(frame: DataFrame) -> list[tuple[Any, ...]]:
    found = frame.drop("bucket", "network").collect()
    return [tuple(map(_plain, row)) for row in found]


def _plain(cell: object) -> object:
    if isinstance(cell, bytes | bytearray):
        return cell.hex() if len(cell) == 20 else bytes(cell)
    return cell


def test_every_commit_is_as_git_shows_it(archive: Archive, repo: Path) -> None:
    with configured(archive.spark, {**COMPILED, "spark.sql.autoBroadcastJoinThreshold": "-1"}):
        frame = archive.commit_files()
        assert "Exchange" not in frame._jdf.queryExecution().executedPlan().toString()  # trees stay where they are
        found = rows_of(frame)
    assert {row[1] for row in found} == {"A", "M", "D", "R", "T"}
    assert len(found) == len(set(found))
    assert set(found) == by_git(repo)
    assert archive.commit_files(networks=[NETWORK + 1]).count() == 0


def test_commits_of_one_tree_come_in_parts(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_files_module, "ROW_COMMITS", 10)
    tree = F.lit(b"t" * 20)
    ids = [
        F.lit(0).alias("bucket"),
        F.lit(NETWORK).cast("long").alias("network"),
        F.unhex(F.format_string("%040x", "id")),
    ]
    pairs = spark.range(25).select(*ids[:2], ids[2].alias("oid"), *(tree.alias(n) for n in ("old", "new", "carrier")))
    rows = commit_files_module._carried(pairs).collect()
    assert sorted(len(row.pairs) for row in rows) == [5, 10, 10]
    assert len({bytes(pair.oid) for row in rows for pair in row.pairs}) == 25


def test_equal_changes_are_compared_once_and_counted_per_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    blob, commits = b"b" * 20, [bytes([at]) * 20 for at in range(6)]
    body = b"".join(b"100644 %d\0" % at + blob for at in range(3))
    pairs = [{"oid": oid, "old": EMPTY_TREE, "new": b"n" * 20} for oid in commits]
    row = {"bucket": 1, "network": NETWORK, "carrier": b"n" * 20, "content": body}
    rows = [{**row, "part": part, "pairs": pairs[3 * part : 3 * part + 3]} for part in (0, 1, 1)]
    batches = [pa.RecordBatch.from_pylist([*rows, {**row, "part": None, "pairs": None}])]
    compared: list[object] = []
    counted = partial(count_calls, compared, file_changes)
    monkeypatch.setattr(commit_files_module, "file_changes", counted)

    def changes() -> Counter[tuple[bytes, str]]:
        found = pa.Table.from_batches(commit_files_module._compare_network(iter(batches)))
        return Counter((each["commit"], each["status"]) for each in found.to_pylist())

    assert changes() == {(oid, "A"): 3 for oid in commits}
    assert len(compared) == 1
    monkeypatch.setattr(commit_files_module, "NETWORK_STEPS", 15)
    assert changes() == {(oid, "A"): 3 for oid in commits[:4]} | {(oid, "X"): 1 for oid in commits[4:]}


def count_calls(calls: list[object], function: Callable[..., object], *arguments: object) -> object:
    calls.append(arguments)
    return function(*arguments)


def test_it_has_a_name_in_sql(archive: Archive, repo: Path) -> None:
    archive.register_views(read=["commit_files"])
    rows = archive.spark.sql("SELECT status, count(*) FROM commit_files GROUP BY status").collect()
    assert dict(map(tuple, rows)) == Counter(change[1] for change in by_git(repo))


def test_each_origin_reaches_what_git_lists(archive: Archive, repo: Path) -> None:
    with configured(archive.spark, {**COMPILED, "spark.sql.autoBroadcastJoinThreshold": "-1"}):
        frame = archive.origin_commits()
        assert "Exchange" not in frame._jdf.queryExecution().executedPlan().toString()
        found = rows_of(frame)
    listed = {ONE: git(repo, "rev-list", "merge", "other"), FORK: git(repo, "rev-list", "c2")}
    assert len(found) == len(set(found))
    assert set(found) == {(origin, oid) for origin, ids in listed.items() for oid in ids.decode().split()}


def test_what_the_archive_lacks_is_unknown(archive: Archive, repo: Path) -> None:
    commits, trees = archive.table("commits"), archive.table("trees")
    c2, merge = resolve(repo, "c2"), resolve(repo, "merge")
    deep = bytes.fromhex(resolve(repo, "c2:d"))
    expected = set(by_git(repo))
    without_commit = rows_of(commit_files(commits.where(F.col("oid") != F.lit(bytes.fromhex(c2))), trees))
    assert set(without_commit) == {change for change in expected if change[0] not in (c2, merge)} | {unknown(merge)}
    found = set(rows_of(commit_files(commits, trees.where(F.col("oid") != F.lit(deep)))))
    lost = {change[0] for change in found if change[1] == "X"}
    assert {resolve(repo, name) for name in ("c1", "c3", "merge", "wiped", "again", "other")} == lost
    assert found == {change for change in expected if change[0] not in lost} | set(map(unknown, lost))
    root = bytes.fromhex(resolve(repo, "c2^{tree}"))
    found = set(rows_of(commit_files(commits, trees.where(F.col("oid") != F.lit(root)))))
    assert unknown(c2) in found
    assert unknown(merge) in found


def unknown(commit: str) -> tuple[Any, ...]:
    return (commit, "X", *[None] * 8)
