"""Takedowns in an archive of real nights: readers, later nights, files, proof. Each test continues the previous one."""

from __future__ import annotations

import hashlib
import pkgutil
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from pipeline.read.one_origin import OriginNotFound
from pipeline.read.restore import restore_repository
from pipeline.storage.lease import Lease, Owner
from pipeline.tables.content_plan import content_stays, exchanges_of_content
from pipeline.tables.tombstones import hidden_now
from tests.e2e.archive import Archive, night
from tests.support.git import git, put, set_refs
from tests.support.repos import add_commits, build_graph, fork_of
from tests.support.servers import Peer

pytestmark = pytest.mark.slow

SECRET = b"password = hunter2\n"


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


SECRET_ID, GOING_ID, STAYING_ID = blob_id(SECRET), blob_id(b"only going\n"), blob_id(b"only staying\n")


def commit_file(repo: Path, name: str, content: bytes, *, parents: tuple[str, ...] = ()) -> str:
    """Commit a new file on main; with parents, also merge those."""
    tip = git(repo, "rev-parse", "main").decode().strip()
    listed = git(repo, "ls-tree", tip) + f"100644 blob {put(repo, 'blob', content)}\t{name}\n".encode()
    tree = git(repo, "mktree", stdin=listed).decode().strip()
    links = [word for parent in (tip, *parents) for word in ("-p", parent)]
    new = git(repo, "commit-tree", tree, *links, "-m", f"add {name}").decode().strip()
    set_refs(repo, {b"refs/heads/main": new})
    return new


@dataclass
class Story:
    """An archive; ``originals`` has each repository as of each night."""

    archive: Archive
    served: Path
    urls: dict[str, str]
    originals: Path

    def nightly(self, day: int, code: int = 0) -> None:
        shutil.copytree(self.served, self.originals / str(day))
        self.archive.nightly(day, code=code)

    def ids(self, table: str, day: int | None = None) -> set[str]:
        rows = self.archive.read(day).table(table).select(F.lower(F.hex("oid")).alias("id")).collect()
        return {row["id"] for row in rows}

    def missing(self, name: str, day: int, to: Path) -> set[str]:
        """Ids of the original that a restored repository lacks; everything else must be there."""
        self.archive.restore(self.urls[name], to, day=day, code=1)
        before = git(self.originals / str(day) / f"{name}.git", "rev-list", "--objects", "--no-object-names", "--all")
        kept = git(to, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
        return set(before.decode().split()) - set(kept.decode().split())


@pytest.fixture(scope="module")
def story(
    make_archive: Callable[[str], Archive], served: Path, daemon: Peer, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    """Two nights: a root with two forks, a single repository, and one elsewhere that has the root's secret, too."""
    for name in ("root", "alone", "elsewhere"):
        build_graph(served / f"{name}.git", [[1], [2, 1]])
    commit_file(served / "root.git", "secret.txt", SECRET)
    commit_file(served / "elsewhere.git", "copied.txt", SECRET)
    commit_file(served / "alone.git", "alone.txt", b"only alone\n")
    add_commits(served / "root.git", 1, branch="feature", label="feature")
    for name in ("going", "staying"):
        fork_of(served / "root.git", served / f"{name}.git")
        commit_file(served / f"{name}.git", f"{name}.txt", f"only {name}\n".encode())
    urls = {name: daemon.url(f"{name}.git") for name in ("root", "going", "staying", "alone", "elsewhere")}
    story = Story(make_archive("story"), served, urls, tmp_path_factory.mktemp("originals"))
    forks = [(urls[name], urls["root"]) for name in ("going", "staying")]
    story.archive.add(urls["root"], *forks, urls["alone"], urls["elsewhere"])
    story.nightly(1)
    # A merged branch: its blobs reach HEAD and are marked there, so files of the first night get deletion vectors.
    root = served / "root.git"
    tree = git(root, "rev-parse", "feature^{tree}").decode().strip()
    merge = git(root, "commit-tree", tree, "-p", "main", "-p", "feature", "-m", "merge").decode().strip()
    set_refs(root, {b"refs/heads/main": merge})
    commit_file(served / "going.git", "later.txt", b"only going, later\n")
    story.nightly(2)
    return story


def names(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def check_readers(story: Story, tmp_path: Path) -> None:
    """No reader shows anything of ``going``, ``alone`` and the secret, on any night."""
    archive, urls = story.archive, story.urls
    gone_urls = {urls["going"], urls["alone"]}
    for day in (1, 2):
        for table in ("contents", "head_blobs"):
            ids = story.ids(table, day)
            assert not ids & {SECRET_ID, GOING_ID, blob_id(b"only alone\n")}, (table, day)
            assert STAYING_ID in ids, (table, day)
        rows = archive.sql(f"SELECT stored FROM blobs WHERE oid = unhex('{SECRET_ID}')", day=day)
        assert {row["stored"] for row in rows} == {"taken_down"}
        assert not story.ids("blobs", day) & {GOING_ID, blob_id(b"only alone\n")}
        for table, column in (
            ("origins", "url"),
            *((t, "origin") for t in ("visits", "refs", "files", "repositories")),
        ):
            found = archive.sql(f"SELECT DISTINCT {column} AS url FROM {table}", day=day)
            assert {line["url"] for line in found} == set(urls.values()) - gone_urls, (table, day)
        reader = archive.read(day)
        shown = reader.map_contents(names, "content binary").collect()
        contents = {bytes(row["content"]) for row in shown}
        assert b"only staying\n" in contents
        assert not contents & {SECRET, b"only going\n", b"only alone\n"}
        assert reader.refs_at(urls["going"]) == []
        assert len(reader.refs_at(urls["staying"])) > 0
        (place,) = archive.sql(f"SELECT network, bucket FROM origins WHERE url = '{urls['root']}'", day=day)
        bodies = {found.body for found in reader.objects(place["network"], place["bucket"])}
        assert b"only staying\n" in bodies
        assert not bodies & {SECRET, b"only going\n"}
        for name in ("going", "alone"):
            with pytest.raises(OriginNotFound):
                restore_repository(
                    archive.storage, urls[name], tmp_path / f"{name}-{day}", tmp_path / "scratch", night(day)
                )
        for name in ("root", "staying", "elsewhere"):
            assert story.missing(name, day, tmp_path / f"{name}-{day}") == {SECRET_ID}
    assert {line["url"] for line in archive.ask("origins", "list")} == set(urls.values()) - gone_urls
    archive.ask("status", urls["going"], code=2)
    assert sum(archive.status()["origins"].values()) == 3
    archive.ask("submit", "language_census", "--night", "2026-11-02")


def test_gone_for_readers_at_once_whoever_holds_the_archive(story: Story, tmp_path: Path) -> None:
    archive, urls = story.archive, story.urls
    before = story.ids("contents")
    assert {SECRET_ID, GOING_ID} <= before
    listed = tmp_path / "list.txt"
    listed.write_text(f"# by letter of the 3rd\n{urls['going']} # their own\n{SECRET_ID}\n\n{urls['alone']}\n")
    bad = tmp_path / "bad.txt"
    bad.write_text(f"{urls['going']}\nnonsense\n")
    archive.ask("takedown", "--from", bad, "--reason", "x", code=2)
    archive.ask("takedown", "--origin", f"{urls['going']}x", "--origin", urls["going"], "--reason", "x", code=2)
    archive.ask("takedown", "--origin", urls["going"], code=2)  # no reason
    assert story.ids("contents") == before, "a list is checked as a whole first"

    with Lease.acquire(archive.storage, Owner.here("other", "test")):
        report = archive.ask("takedown", "--from", listed, "--reason", "asked by letter")
    assert report["removal"] is None
    assert "other" in report["held_by"]
    assert [taken["already"] for taken in report["taken"]] == [False] * 3
    alone = next(taken for taken in report["taken"] if taken["target"] == urls["alone"])
    assert alone["objects"] is None
    assert hidden_now(archive.spark)
    check_readers(story, tmp_path)
    table = archive.read().table("contents").join(archive.read().table("blobs"), ["bucket", "network", "oid"])
    with content_stays(table):
        assert exchanges_of_content(table) == [], "tombstones are broadcast, content stays where it is"
    for query in ("SELECT * FROM archive.code.contents", "SELECT 1 WHERE EXISTS (SELECT 1 FROM code.refs.tag_x)"):
        archive.ask("sql", query, code=2)
    holds = archive.ask("takedown", "--verify", code=3)["holds"]
    assert "`pipeline takedown` or `maintain` has rewritten it" in {held["until"] for held in holds}
    (first, *_) = archive.ask("takedown", "--list")
    assert (first["reason"], first["in_files"]) == ("asked by letter", True)


def test_a_night_in_between_brings_nothing_back(story: Story, tmp_path: Path) -> None:
    """The taken-down origin is not visited; others bring its commits and the secret again, and they are dropped."""
    archive, urls, served = story.archive, story.urls, story.served
    refused = archive.ask("origins", "add", urls["going"], code=1)["refused"]
    assert "was taken down" in refused[0]["why"]
    archive.ask("origins", "add", urls["going"].removesuffix(".git"), code=1)
    archive.ask("origins", "add", f"{urls['root']}x", "--fork-of", urls["alone"], code=1)
    archive.ask("origins", "resume", urls["going"], code=2)
    tip = git(served / "going.git", "rev-parse", "main").decode().strip()
    git(served / "staying.git", "fetch", "-q", str(served / "going.git"), "main")
    commit_file(served / "staying.git", "merged.txt", b"merged\n", parents=(tip,))
    commit_file(served / "alone.git", "alone2.txt", b"alone again\n")
    commit_file(served / "elsewhere.git", "again.txt", SECRET + b"and more\n")
    story.nightly(3)
    assert {row["origin"] for row in archive.sql("SELECT origin FROM visits WHERE night = DATE '2026-11-03'")} == {
        urls[name] for name in ("root", "staying", "elsewhere")
    }
    (visit,) = archive.sql(f"SELECT * FROM visits WHERE origin = '{urls['staying']}' AND night = DATE '2026-11-03'")
    assert visit["status"] in ("full", "partial"), "hidden, though still in the files"
    contents = story.ids("contents", 3)
    assert blob_id(b"merged\n") in contents
    assert not contents & {SECRET_ID, GOING_ID, blob_id(b"only going, later\n")}
    assert tip not in story.ids("commits", 3)
    lost = story.missing("staying", 3, tmp_path / "staying")
    assert {SECRET_ID, GOING_ID, tip} <= lost
    assert blob_id(b"merged\n") not in lost


class KilledHere(BaseException):
    """Nothing catches it, just as nothing catches the end of the process."""


def killed(archive: Archive, url: str, what: str, nth: int) -> None:
    """A takedown that ends at the nth call of something."""
    calls = count(1)
    original = pkgutil.resolve_name(what)

    def call(*args: object, **kwargs: object) -> object:
        if next(calls) == nth:
            raise KilledHere
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(what.replace(":", "."), call)
        with pytest.raises(KilledHere):
            archive.ask("takedown", "--origin", url, "--reason", "again")


def test_the_rows_leave_all_files_and_nights(story: Story, tmp_path: Path) -> None:
    """Even if it is killed on the way, more than once."""
    archive, urls = story.archive, story.urls
    refs = {day: archive.rows("refs", day) for day in (1, 2, 3)}
    for what, nth in (
        ("pipeline.tables.maintained:MaintainedTable.rewrite_snapshots", 3),
        ("pipeline.storage.local:LocalStorage.upload", 2),
        ("pipeline.maintain.takedown.run_takedown:scrub_runs", 1),
        ("pipeline.maintain.takedown.run_takedown:set_removed", 1),
    ):
        killed(archive, urls["going"], what, nth)
        assert hidden_now(archive.spark)
        assert SECRET_ID not in story.ids("contents", 1)
        assert GOING_ID not in story.ids("contents", 2)
    report = archive.ask("takedown", "--origin", urls["going"], "--object", SECRET_ID, "--reason", "again")
    assert [taken["already"] for taken in report["taken"]] == [True, True]
    assert report["removal"]["tables"] == [], "the last killed run had done everything"
    assert archive.ask("takedown", "--origin", urls["going"], "--reason", "again")["removal"] is None
    assert not hidden_now(archive.spark)
    assert {day: archive.rows("refs", day) for day in (1, 2, 3)} == refs
    check_readers(story, tmp_path)
    archive.ask("sql", "SELECT count(*) FROM archive.code.contents")
    holds = archive.ask("takedown", "--verify", code=3)["holds"]
    assert {held["until"] for held in holds} == {
        "`pipeline maintain` runs, once maintain.snapshot_age_s has passed since the removal"
    }
    archive.ask("maintain")
    archive.ask("takedown", "--verify", code=3)  # nothing is an hour old


def test_the_files_go_with_the_old_snapshots_and_a_search_proves_it(story: Story, tmp_path: Path) -> None:
    archive = story.archive.with_settings(maintain={"snapshot_age_s": 0, "sweep_after_s": 0})
    archive.ask("maintain")
    verified = archive.ask("takedown", "--verify")
    assert verified["holds"] == []
    assert verified["files"] > 100
    assert archive.ask("takedown", "--verify", "--object", SECRET_ID)["holds"] == []
    archive.ask("takedown", "--verify", "--object", "0" * 40, code=2)
    check_readers(story, tmp_path)
    for data in Path(archive.location).rglob("*.parquet"):
        for name in ("content", "origin", "url"):
            if name in pq.read_schema(data).names and "takedowns" not in str(data):
                cells = set(pq.read_table(data, columns=[name]).column(name).to_pylist())
                assert not cells & {SECRET, b"only going\n", b"only alone\n", story.urls["going"], story.urls["alone"]}


def test_a_night_after_that_brings_nothing_back_either(story: Story, tmp_path: Path) -> None:
    archive, served = story.archive, story.served
    git(served / "elsewhere.git", "update-ref", "refs/heads/copy", "main")
    commit_file(served / "root.git", "once-more.txt", SECRET)
    story.nightly(4)
    assert SECRET_ID not in story.ids("contents", 4)
    assert story.missing("root", 4, tmp_path / "root") == {SECRET_ID}
    assert archive.ask("takedown", "--verify")["holds"] == []
