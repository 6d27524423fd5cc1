"""Objects that were taken down and are sent again are dropped; the rest is landed, and the visit reports it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline.model.layout import Load
from pipeline.model.origin import network_id
from pipeline.model.visit import VisitStatus
from tests.fetch.archive import BUCKET, Archive, Serve, reachable
from tests.support.repos import add_commits, build_graph, fork_of, git, resolve

TOMBSTONES = pa.schema([("network", pa.int64()), ("oid", pa.binary())])


def plan_without(archive: Archive, *origins: str | tuple[str, str], rows: list[tuple[int | None, str]]) -> Load:
    load = archive.plan(*origins)
    tombstones = [(network, bytes.fromhex(oid)) for network, oid in rows]
    archive._write(f"{load.plan_tombstones}/bucket={BUCKET}", TOMBSTONES, tombstones)
    return load


def test_objects_that_were_taken_down_are_dropped(serve: Serve, root: Path, tmp_path: Path) -> None:
    repo = root / "repo.git"
    build_graph(repo, [[1], [2, 1], [3, 2]])
    blob, commit = resolve(repo, "main:2.txt"), resolve(repo, "main~1")
    other = resolve(repo, "main:1.txt")
    archive = Archive(tmp_path)
    with serve(root) as server:
        url = server.url()
        rows: list[tuple[int | None, str]] = [(None, blob), (network_id(url), commit), (network_id(url) + 1, other)]
        night = archive.fetch_only(plan_without(archive, url, rows=rows))
        archive.publish(night)
        assert sorted(night.new_ids()) == sorted(reachable(repo) - {commit}), "a blob leaves a row without bytes"
        assert blob not in night.ids("contents")
        assert {row["stored"] for row in night.rows("blobs") if row["oid"].hex() == blob} == {"taken_down"}
        assert other in night.ids("contents"), "another network's tombstone"
        line = night.line(url)
        assert (line.status, line.error) == (VisitStatus.PARTIAL, "taken_down")
        assert line.detail is not None
        assert line.detail.startswith("2 objects were taken down")

        add_commits(repo, 1)
        later = archive.fetch_only(plan_without(archive, url, rows=rows))
        archive.publish(later)
        assert later.line(url).status is VisitStatus.FULL, "new objects name the rest, which is not missing"
        assert not {blob, commit} & set(later.new_ids())

        fork_of(repo, root / "fork.git")
        git(root / "fork.git", "update-ref", "refs/heads/old", commit)
        fork = (server.url("fork.git"), url)
        last = archive.fetch_only(plan_without(archive, url, fork, rows=rows))
        assert last.line(fork[0]).status.ok
        assert last.refs(fork[0])[b"refs/heads/old"]["target"].hex() == commit
        assert not {blob, commit} & set(last.new_ids())


def test_a_delta_on_what_was_taken_down_is_asked_for_anew(serve: Serve, root: Path, tmp_path: Path) -> None:
    """The base is no longer in the archive, although the server has reason to think that it is."""
    repo = root / "repo.git"
    build_graph(repo, [[1]])
    add_commits(repo, 30)
    base = resolve(repo, "main:log.txt")
    archive = Archive(tmp_path)
    with serve(root) as server:
        url = server.url()
        archive.fetch(url)
        add_commits(repo, 31)
        git(repo, "repack", "-adfq")
        archive.files = [row for row in archive.files if row["table"] != "contents"]  # as if rewritten without them
        night = archive.fetch_only(plan_without(archive, url, rows=[(None, base)]))
        assert night.line(url).status.ok
        assert resolve(repo, "main:log.txt") in night.ids("contents")
        assert base not in night.ids("contents")
