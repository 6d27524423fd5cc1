"""One fetch task: its manifest, its scratch, its neighbours, and what happens when something fails."""

from __future__ import annotations

import hashlib
import multiprocessing
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.fetch.bucket import read_manifest, read_manifests
from pipeline.fetch.channel import Channel
from pipeline.fetch.messages import TurnGranted, TurnWanted
from pipeline.fetch.outbox import Outbox
from pipeline.fetch.quota import ScratchQuota
from pipeline.git.limits import MIB, Limits
from pipeline.git.network import Deadline
from pipeline.model.errors import ScratchFailed
from pipeline.model.layout import Load, landed_table
from pipeline.model.manifest import Manifest
from pipeline.model.tables import BY_NAME, LANDED
from pipeline.model.visit import Visit
from pipeline.night.finding import Finding
from pipeline.night.quarantine import AuditedManifests
from pipeline.storage.errors import AlreadyThere, FileMissing, StorageUnavailable
from pipeline.storage.local import LocalStorage
from tests.fetch.archive import BUCKET, Archive, Night, Serve, reachable
from tests.fetch.handmade import handmade
from tests.git.packs import (
    BLOB,
    COMMIT,
    TREE,
    append,
    everything,
    full,
    header,
    oid_of,
    pack_of,
    ref_delta,
    replace_all,
    zeros,
)
from tests.support.repos import add_commits, build_graph, empty_repository, init, many_small, put, put_commit, resolve
from tests.support.servers import git_daemon
from tests.support.sockets import Line


@pytest.fixture
def graph(root: Path) -> Path:
    build_graph(root / "repo.git", [[1], [2, 1], [3, 1, 2]])
    return root / "repo.git"


def test_the_manifest_says_what_is_in_the_files(serve: Serve, root: Path, graph: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add_commits(graph, 20)
    with serve(root) as server:
        night = archive.fetch(url := server.url())
    manifest = night.manifest
    order = [t.name for t in LANDED]
    assert [f.table for f in manifest.files] == [name for name in order if name != "tags"]
    for f in manifest.files:
        data = archive.storage.read(f.path)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (f.size_bytes, f.sha256)
        file = pq.ParquetFile(BytesIO(data))
        assert file.metadata.num_rows == f.rows
        assert file.schema_arrow.equals(BY_NAME[f.table].arrow_schema)
    raw = {f.table: f.raw_bytes for f in manifest.files}
    objects = everything(graph)
    assert raw["contents"] == sum(len(data) for kind, data in objects.values() if kind == BLOB)
    assert raw["contents"] + raw["trees"] + raw["commits"] == sum(len(data) for _, data in objects.values())
    assert {entry.path for entry in archive.storage.walk(f"runs/{manifest.load}/landing")} == {
        f.path for f in manifest.files
    }
    load = archive.plan(url)
    archive.nights -= 1
    assert read_manifest(archive.storage, archive.next_load(), BUCKET) == manifest
    assert read_manifests(archive.storage, archive.next_load(), [BUCKET]) == ([manifest], [])
    with pytest.raises(FileMissing):
        read_manifest(archive.storage, load, BUCKET)


def test_a_bucket_of_no_origins_and_of_none_due(graph: Path, root: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    assert archive.fetch().visits == []
    with git_daemon(root) as server:
        night = archive.fetch(server.url(), due=[])
        assert server.requests == []
    assert (night.manifest.files, night.visits) == ((), [])


@pytest.mark.parametrize("run_bytes", [1, 3000, 1 << 28])
def test_a_failing_origin_leaves_no_rows_and_takes_none(run_bytes: int, root: Path, tmp_path: Path) -> None:
    """Its blobs are already in row groups when the last delta turns out not to fit."""
    for name in ("a", "z"):
        build_graph(root / f"{name}.git", [[n, n - 1] if n > 1 else [1] for n in range(1, 30)])
        add_commits(root / f"{name}.git", 3, label=name)
    blobs = [b"blob %d " % n * 100 for n in range(50)]
    tree = b"".join(b"100644 %03d\0" % n + oid_of(BLOB, blob) for n, blob in enumerate(blobs))
    repo = init(root / "tip.git")
    tip = put_commit(repo, put(repo, "tree", tree))
    entries = [full(*found) for found in everything(repo).values()] + [full(BLOB, blob) for blob in blobs]
    entries.append(ref_delta(oid_of(BLOB, blobs[-1]), append(b"another base", b"!")))
    archive = Archive(tmp_path, run_bytes=run_bytes, concurrency=1)
    with handmade({"HEAD": tip, "refs/heads/main": tip}, [pack_of(entries)] * 2) as (bad, _), git_daemon(root) as good:
        first, last, failing = good.url("a.git"), good.url("z.git"), bad.url("middle.git")
        # one network, so they are visited one after the other: the root first, then forks by URL
        night = archive.fetch(first, (failing, first), (last, first))
        order = [line.origin for line in night.visits]
        assert order.index(failing) == 1 or order[0] == first
    visit = night.visit(failing)
    assert (visit["status"], visit["error"]) == ("failed", "pack_corrupt")
    assert sorted(night.new_ids()) == sorted(reachable(root / "a.git") | reachable(root / "z.git"))
    assert {row["origin"] for row in night.rows("refs")} == {first, last}
    expected = everything(root / "a.git") | everything(root / "z.git")
    assert night.objects() == {oid.hex(): found for oid, found in expected.items()}
    for f in night.manifest.files:
        assert f.rows == night.file(f.path).metadata.num_rows
    assert sum(f.raw_bytes for f in night.manifest.files if f.table == "contents") == sum(
        len(data) for kind, data in expected.values() if kind == BLOB
    )
    assert archive.left_in_scratch() == []


def test_several_files_of_a_table_are_one_bucket_to_the_audit(root: Path, tmp_path: Path) -> None:
    """Visits that overflow a run leave one file each; the audit leaves rows out of all of them."""
    repos = many_small(root, 3)
    archive = Archive(tmp_path, run_bytes=1)
    with git_daemon(root) as server:
        night = archive.fetch(*(server.url(repo.name) for repo in repos))
    load, fault = Load.named(night.manifest.load), night.visits[0].network
    assert load is not None
    assert [landed_table(f.path) for f in night.manifest.files] == [f.table for f in night.manifest.files]
    assert night.tables().count("commits") > 1
    kept = {row["oid"] for row in night.rows("commits") if row["network"] != fault}
    quarantine = AuditedManifests(archive.storage, load, [night.manifest], tmp_path / "audit")
    quarantine.quarantine(BUCKET, [Finding(BUCKET, fault, "for a test")], late=False)
    assert not quarantine.is_out(BUCKET)
    after = Night(archive.storage, quarantine.manifest(BUCKET))
    assert {row["oid"] for row in after.rows("commits")} == kept != set()


def test_many_networks_at_once(serve: Serve, root: Path, tmp_path: Path) -> None:
    repos = many_small(root, 60)
    seen: list[Visit] = []
    archive = Archive(tmp_path, concurrency=8, run_bytes=2000)
    with serve(root) as server:
        load = archive.plan(*(server.url(repo.name) for repo in repos))
        night = archive.fetch_only(load, on_visit=seen.append)
    assert sorted(night.new_ids()) == sorted(oid for repo in repos for oid in reachable(repo))
    assert sorted(visit.origin for visit in seen) == sorted(visit.origin for visit in night.visits)
    assert {line.status for line in seen} == {"full"}
    assert {line.objects for line in seen} == {4}


# Neighbours.


def test_a_silent_server_keeps_no_neighbour_waiting(root: Path, tmp_path: Path) -> None:
    """All others finish while it is still silent: it is released only after them."""
    repos = many_small(root, 10)
    done = threading.Event()
    left = {repo.name for repo in repos}

    def on_visit(line: Visit) -> None:
        left.discard(line.origin.rpartition("/")[2])
        if not left:
            done.set()

    def wait(line: Line) -> None:
        assert done.wait(30), "the neighbours did not finish"

    with handmade({"refs/heads/main": "1" * 40}, [pack_of([])], wait) as (slow, _), git_daemon(root) as server:
        archive = Archive(tmp_path, concurrency=2)
        load = archive.plan(slow.url(), *(server.url(repo.name) for repo in repos))
        night = archive.fetch_only(load, on_visit=on_visit)
    assert done.is_set()
    assert night.line(slow.url()).error == "pack_incomplete"
    assert sum(line.status == "full" for line in night.visits) == 10


def test_waiting_for_its_turn_does_not_count_against_an_origin(tmp_path: Path) -> None:
    """While another origin decodes, the clock of this one is stopped."""
    task, worker = Channel.pair()
    deadline, quota = Deadline(2), ScratchQuota(tmp_path, 0)

    def grant_late() -> None:
        asked, _ = task.receive()
        assert isinstance(asked, TurnWanted)
        threading.Event().wait(2.2)  # longer than the visit may take
        task.send(TurnGranted())

    with ThreadPoolExecutor(1) as pool, deadline:
        granted = pool.submit(grant_late)
        with Outbox(worker, tmp_path, 1 << 20).turn(deadline, quota.take, lambda size: None):
            granted.result()
            deadline.check()
    task.close()
    worker.close()


def endless_zeros(total: int) -> bytes:
    """The start of a zlib stream of ``total`` zeros: one piece, repeated."""
    packer, step = zlib.compressobj(9), 64 * MIB
    first, again = (packer.compress(bytes(step)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (total // step - 1)


HOSTILE_PACKS = {
    "a bomb that claims little": (pack_of([header(BLOB, 10) + zeros(100 * MIB)]), "pack_corrupt"),
    "a bomb that claims what it is": (pack_of([header(BLOB, 40 << 30) + endless_zeros(40 << 30)]), "timeout"),
    "a bomb over the limit": (pack_of([header(BLOB, 60 << 30) + zeros(MIB)]), "limit_exceeded"),
    "a cycle of deltas": (
        pack_of(
            [
                ref_delta(oid_of(BLOB, b"two"), replace_all(b"two", b"one")),
                ref_delta(oid_of(BLOB, b"one"), replace_all(b"one", b"two")),
            ]
        ),
        "bases_missing",
    ),
    "a tree of trees that are not there": (pack_of([full(TREE, b"40000 a\0" + b"x" * 20)]), "pack_incomplete"),
}


@pytest.mark.parametrize("name", HOSTILE_PACKS)
def test_a_hostile_pack_is_one_visit_and_its_neighbours_finish(name: str, root: Path, tmp_path: Path) -> None:
    pack, code = HOSTILE_PACKS[name]
    repos = many_small(root, 5)
    archive = Archive(tmp_path, limits=Limits(total_s=4 if code == "timeout" else 60, inflated_bytes=50 << 30))
    with handmade({"refs/heads/main": "1" * 40}, [pack] * 2) as (bad, _), git_daemon(root) as server:
        night = archive.fetch(bad.url(), *(server.url(repo.name) for repo in repos))
    assert (night.line(bad.url()).status, night.line(bad.url()).error) == ("failed", code)
    assert sorted(line.status for line in night.visits) == ["failed", *["full"] * 5]
    assert sorted(night.new_ids()) == sorted(oid for repo in repos for oid in reachable(repo))
    assert archive.left_in_scratch() == []


def test_trees_that_name_too_much_are_refused(root: Path, graph: Path, tmp_path: Path) -> None:
    with git_daemon(root) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.fetch.visit.MAX_OBJECTS", 5)
        night = Archive(tmp_path).fetch(url := server.url())
    assert night.line(url).error == "limit_exceeded"
    assert "name more than 5 objects" in (night.line(url).detail or "")


# Two tasks, and the leftovers of a killed one.


def finish_at_once(archive: Archive, load: Load, count: int) -> list[Manifest]:
    with ThreadPoolExecutor(count) as pool:
        runs = [pool.submit(archive.fetch_only, load, run_id=f"run-{n}") for n in range(count)]
        return [run.result().manifest for run in runs]


def test_the_first_manifest_counts_and_the_others_files_go(root: Path, graph: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with git_daemon(root) as server:
        load = archive.plan(server.url())
        manifests = finish_at_once(archive, load, 4)
    assert all(manifest == manifests[0] for manifest in manifests)
    kept = {entry.path for entry in archive.storage.walk(f"{load.root}/landing")}
    assert kept == {f.path for f in manifests[0].files}
    assert archive.left_in_scratch() == []


def test_a_manifest_that_is_our_own_is_no_reason_to_delete_its_files(root: Path, graph: Path, tmp_path: Path) -> None:
    """The storage wrote it, lost the response, tried again and found it there."""
    archive = Archive(tmp_path)

    class Forgetful(LocalStorage):
        def create(self, path: str, data: bytes) -> None:
            super().create(path, data)
            raise AlreadyThere(path)

    with git_daemon(root) as server:
        load = archive.plan(server.url())
        archive.storage = Forgetful(archive.root / "archive")
        night = archive.fetch_only(load)
    assert sorted(night.new_ids()) == sorted(reachable(graph))


KILLED = """
import os, signal, sys
from pathlib import Path
from datetime import date
from pipeline.fetch import bucket
from pipeline.model.layout import Load
from tests.fetch.archive import Archive
archive = Archive(Path(sys.argv[1]))
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
bucket._upload = kill
archive.fetch_only(Load.of_night(date.fromisoformat(sys.argv[2])))
"""


def test_what_a_killed_task_left_on_scratch_is_swept(root: Path, graph: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    (archive.scratch / "not-ours").mkdir(parents=True)
    with git_daemon(root) as server:
        load = archive.plan(server.url())
        command = [sys.executable, "-c", KILLED, str(tmp_path), load.night.isoformat()]
        assert subprocess.run(command, check=False, timeout=60).returncode == -9
        assert any(path.name == "commits.parquet" for path in archive.left_in_scratch())
        night = archive.fetch_only(load)
    assert night.line(server.url()).status == "full"
    assert archive.left_in_scratch() == [archive.scratch / "not-ours"]


def test_a_running_task_is_not_swept(root: Path, graph: Path, tmp_path: Path) -> None:
    archive, other = Archive(tmp_path), Archive(tmp_path / "other")
    other.scratch = archive.scratch
    busy, go_on = threading.Event(), threading.Event()

    def wait(line: Line) -> None:
        busy.set()
        assert go_on.wait(30)

    pack = pack_of([full(*found) for found in everything(graph).values()])
    with (
        handmade({"refs/heads/main": resolve(graph, "main")}, [pack], wait) as (slow, _),
        git_daemon(root) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(archive.fetch, slow.url())
        assert busy.wait(30)
        assert other.fetch(server.url()).line(server.url()).status == "full"
        go_on.set()
        assert running.result().line(slow.url()).status == "full"
    assert archive.left_in_scratch() == []


# Our own machine fails.


@contextmanager
def full_disk(patch: pytest.MonkeyPatch, suffix: str) -> Iterator[None]:
    """Opening files of this kind opens /dev/full, which is always full."""
    opened = Path.open

    def fake(self: Path, *arguments: object, **options: object) -> object:
        if self.suffix == suffix and str(arguments[:1]).find("w") >= 0:
            return opened(Path("/dev/full"), *arguments, **options)  # type: ignore[call-overload]
        return opened(self, *arguments, **options)  # type: ignore[call-overload]

    with patch.context() as inner:
        inner.setattr(Path, "open", fake)
        yield


def test_a_full_scratch_is_no_origins_failure(
    root: Path, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    with git_daemon(root) as server:
        load = archive.plan(server.url())
        with full_disk(monkeypatch, ".pack"), pytest.raises(ScratchFailed, match="No space left"):
            archive.fetch_only(load)
        assert archive.left_in_scratch() == []
        assert not archive.storage.list(load.manifests)
        assert archive.fetch_only(load).line(server.url()).status == "full"


def test_a_scratch_that_can_not_be_made_is_no_origins_failure(root: Path, graph: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.scratch.write_text("a file where the folder should be")
    with git_daemon(root) as server:
        load = archive.plan(server.url())
        with pytest.raises(OSError, match="scratch"):
            archive.fetch_only(load)
    assert not archive.storage.list(load.manifests)


def test_a_failing_task_starts_no_more_visits(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for one network, and another has origins that need no disk and would take all night."""
    build_graph(root / "large.git", [[1], [2, 1]])
    for n in range(100):
        empty_repository(root / f"empty-{n}.git")
    archive = Archive(tmp_path, concurrency=2)
    tried = multiprocessing.Event()
    opened = Path.open

    def full(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.suffix == ".pack":
            tried.set()
            raise OSError(28, "No space left on device")
        return opened(self, *arguments, **options)

    with git_daemon(root) as server:
        urls = [server.url(f"empty-{n}.git") for n in range(100)]
        load = archive.plan(server.url("large.git"), urls[0], *((url, urls[0]) for url in urls[1:]))
        visited: list[Visit] = []

        def on_visit(line: Visit) -> None:
            visited.append(line)
            assert tried.wait(30)

        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(ScratchFailed, match="No space left"):
            archive.fetch_only(load, on_visit=on_visit)
    assert len(visited) < 50
    assert archive.left_in_scratch() == []


def test_a_failed_upload_leaves_no_manifest(root: Path, graph: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path)

    class Down(LocalStorage):
        def upload(self, local: Path, path: str) -> object:  # type: ignore[override]
            raise StorageUnavailable(path, "no answer")

    with git_daemon(root) as server:
        load = archive.plan(server.url())
        archive.storage = Down(archive.root / "archive")
        with pytest.raises(StorageUnavailable):
            archive.fetch_only(load)
        archive.storage = LocalStorage(archive.root / "archive")
        assert not archive.storage.list(load.manifests)
        assert archive.left_in_scratch() == []
        assert archive.fetch_only(load).line(server.url()).status == "full"


# Objects that parse badly.


HOSTILE_COMMITS = [
    b"",
    b"tree ",
    b"tree zz\n",
    b"tree " + b"z" * 40 + b"\n",
    b"tree " + b" " * 40 + b"\nparent \xff",
    b"parent " + b"1" * 39,
]


@pytest.mark.parametrize("body", HOSTILE_COMMITS, ids=range(len(HOSTILE_COMMITS)))
def test_a_commit_without_sense_is_archived_or_refused(body: bytes, tmp_path: Path) -> None:
    tip = oid_of(COMMIT, body).hex()
    with handmade({"HEAD": tip, "refs/heads/main": tip}, [pack_of([full(COMMIT, body)])]) as (server, _):
        night = Archive(tmp_path).fetch(url := server.url())
    assert night.visit(url)["status"] in ("full", "failed")
    if night.visit(url)["status"] == "full":
        assert night.objects() == {tip: (COMMIT, body)}
    else:
        assert night.visit(url)["error"] == "pack_incomplete"


def test_a_tree_without_sense_is_archived(tmp_path: Path) -> None:
    for body in (b"\0", b"100644 cut off", b"99 x\0" + b"y" * 20, b"100644 \0" + b"y" * 20):
        commit = b"tree %s\n" % oid_of(TREE, body).hex().encode()
        tip = oid_of(COMMIT, commit).hex()
        pack = pack_of([full(COMMIT, commit), full(TREE, body)])
        with handmade({"HEAD": tip, "refs/heads/main": tip}, [pack]) as (server, _):
            night = Archive(tmp_path / body.hex()).fetch(url := server.url())
        assert night.visit(url)["status"] == "full", night.visit(url)["detail"]
        assert night.objects() == {tip: (COMMIT, commit), oid_of(TREE, body).hex(): (TREE, body)}
