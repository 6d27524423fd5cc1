"""Visits are processes: their limits, and what happens when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.fetch import confine, crew, visit
from pipeline.fetch.channel import Channel
from pipeline.fetch.messages import RowsDropped, TurnWanted
from pipeline.fetch.network_state import NetworkState
from pipeline.fetch.outbox import Outbox
from pipeline.fetch.quota import ScratchQuota
from pipeline.fetch.visit import Visitor
from pipeline.fetch.visit_contents import VisitContents
from pipeline.git.limits import MIB, Limits
from pipeline.git.network import Deadline
from pipeline.model.tables import CONTENTS
from tests.fetch.archive import LIMITS, Archive, Night, reachable
from tests.fetch.handmade import handmade
from tests.git.packs import BLOB, COMMIT, TREE, append, full, oid_of, pack_of, ref_delta
from tests.support.repos import add_commits, build_graph, fork_of, many_small
from tests.support.servers import git_daemon

WHO = b"A U Thor <a@example.com> 1 +0000"

# A process that dies is its origin's failure.


def killed_by(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def out_of_memory() -> None:
    raise MemoryError


def unforeseen() -> None:
    raise RuntimeError("nobody thought of this")


DEATHS = {
    "killed": (killed_by(signal.SIGKILL), "crashed"),
    "segmentation fault": (killed_by(signal.SIGSEGV), "crashed"),
    "aborted": (killed_by(signal.SIGABRT), "crashed"),
    "a defect of ours": (unforeseen, "crashed"),
    "no memory": (out_of_memory, "limit_exceeded"),
}
MOMENTS = {
    "before it asks": (Visitor, "_attempt"),
    "while its rows come": (visit._Absorbing, "close"),
    "when all its rows have come": (Visitor, "_land_refs"),
    "while it writes a file": (VisitContents, "_write"),
    "when its file is the task's": (NetworkState, "finished"),
}


def dies(patch: pytest.MonkeyPatch, holder: Any, name: str, die: Callable[[], None], victim: str) -> None:
    """Make the visit of one origin die in this call; workers are forked from this process."""
    real, visiting = getattr(holder, name), Visitor.visit
    current: list[str] = []

    def visits(self: Visitor, state: Any, url: str, confinement: Any) -> Any:
        current[:] = [url]
        return visiting(self, state, url, confinement)

    def fatal(*arguments: Any, **options: Any) -> Any:
        if current == [victim]:
            die()
        return real(*arguments, **options)

    patch.setattr(Visitor, "visit", visits)
    patch.setattr(holder, name, fatal)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("death", DEATHS)
def test_a_dead_process_fails_its_visit_alone(
    moment: str, death: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of its network continues in a new process, and no row is lost or doubled."""
    caplog.set_level("INFO", crew.__name__)
    served = tmp_path / "served"
    neighbours = many_small(served, 3)
    root = served / "root.git"
    build_graph(root, [[1], [2, 1], [3, 2]])
    forks = [fork_of(root, served / f"fork-{name}.git") for name in "abc"]
    for fork in forks:
        add_commits(fork, 2, label=fork.stem)
    die, code = DEATHS[death]
    archive = Archive(tmp_path, run_bytes=200 if "file" in moment else 2000)
    with git_daemon(served) as server:
        urls = {repo: server.url(repo.name) for repo in (root, *forks, *neighbours)}
        family = [(urls[fork], urls[root]) for fork in forks]
        victim = urls[forks[1]]
        with monkeypatch.context() as patch:
            dies(patch, *MOMENTS[moment], die, victim)
            night = archive.fetch(urls[root], *family, *(urls[repo] for repo in neighbours))
        second = archive.fetch(urls[root], *family)
    assert (night.line(victim).status, night.line(victim).error) == ("failed", code)
    assert all(line.status == "full" for line in night.visits if line.origin != victim)
    assert [(record.__dict__["origin"], record.__dict__["code"]) for record in caplog.records] == [(victim, code)]
    alive = [repo for repo in urls if urls[repo] != victim]
    archived = night.new_ids()
    assert len(archived) == len(set(archived))
    assert set(archived) == {oid for repo in alive for oid in reachable(repo)}
    assert night.refs(victim) == {}
    assert second.line(victim).status == "full"
    assert set(second.new_ids()) == reachable(forks[1]) - set(archived)
    assert archive.left_in_scratch() == []


def test_a_silent_process_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = tmp_path / "served"
    stuck, fine = many_small(served, 2)
    monkeypatch.setattr(crew, "SILENCE_GRACE_S", 0.5)
    monkeypatch.setattr(crew, "_LOOK_EVERY_S", 0.1)
    archive = Archive(tmp_path, LIMITS.model_copy(update={"total_s": 5}))
    with git_daemon(served) as server:
        dies(monkeypatch, Visitor, "_attempt", signal.pause, server.url(stuck.name))
        night = archive.fetch(server.url(stuck.name), server.url(fine.name))
    assert (night.line(server.url(stuck.name)).error, night.line(server.url(fine.name)).status) == ("timeout", "full")


# Limits of a visit.


def spin() -> None:
    while True:
        pass


def test_time_on_the_processor_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = tmp_path / "served"
    busy, fine = many_small(served, 2)
    monkeypatch.setattr(confine, "CPU_GRACE_S", 0)
    archive = Archive(tmp_path, LIMITS.model_copy(update={"total_s": 4}))
    with git_daemon(served) as server:
        dies(monkeypatch, Visitor, "_attempt", spin, server.url(busy.name))
        night = archive.fetch(server.url(busy.name), server.url(fine.name))
    line = night.line(server.url(busy.name))
    assert (line.error, line.detail) == ("limit_exceeded", "the visit took more than 4 s of CPU time")
    assert night.line(server.url(fine.name)).status == "full"


def commit_of(tree: bytes) -> bytes:
    return b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (tree.hex().encode(), WHO, WHO)


def fetch_pack(tmp_path: Path, entries: list[bytes], tip: bytes, limits: Limits = LIMITS) -> Night:
    """Fetch a handmade pack, with a healthy repository beside it."""
    served = tmp_path / "served"
    (fine,) = many_small(served, 1)
    archive = Archive(tmp_path, limits)
    refs = {"HEAD symref-target:refs/heads/main": tip.hex(), "refs/heads/main": tip.hex()}
    with handmade(refs, [pack_of(entries)] * 2) as (bad, _), git_daemon(served) as server:
        night = archive.fetch(bad.url(), server.url(fine.name))
    assert night.line(server.url(fine.name)).status == "full"
    assert sorted(night.new_ids()) == sorted(reachable(fine))
    assert archive.left_in_scratch() == []
    return night


def error_of(night: Night) -> str | None:
    (error,) = [line.error for line in night.visits if line.status != "full"]
    return error


@pytest.mark.slow
def test_memory_is_limited(tmp_path: Path) -> None:
    """A tree that names two million blobs, which take a hundred times their size in the pack."""
    tree = b"".join(b"100644 %07d\0%020d" % (n, n) for n in range(1_800_000))
    tip = commit_of(oid_of(TREE, tree))
    limits = LIMITS.model_copy(update={"memory_bytes": 256 * MIB})
    night = fetch_pack(tmp_path, [full(COMMIT, tip), full(TREE, tree)], oid_of(COMMIT, tip), limits)
    assert error_of(night) == "limit_exceeded"


def test_scratch_is_limited(tmp_path: Path) -> None:
    """A kilobyte per megabyte of tree: deltas that repeat their base."""
    size = 4 * MIB
    entry = b"100644 %010d\0%020d" % (0, 0)
    base = entry * (size // len(entry))
    entries, at = [full(TREE, base)], []
    for number in range(50):
        more = b"100644 x%09d\0%020d" % (number, number)
        at.append(len(entries))
        entries.append(ref_delta(oid_of(TREE, base), append(base, more)))
    tip = commit_of(oid_of(TREE, base))
    limits = LIMITS.model_copy(update={"scratch_bytes": 64 * MIB})
    night = fetch_pack(tmp_path, [full(COMMIT, tip), *entries], oid_of(COMMIT, tip), limits)
    assert error_of(night) == "limit_exceeded"
    assert "scratch" in str(night.visits[0].detail) + str(night.visits[1].detail)


def test_paths_are_limited(tmp_path: Path) -> None:
    """Eleven trees, each containing the one before ten times."""
    body = b"100644 a\0" + oid_of(BLOB, b"x")
    trees = [body]
    for _ in range(10):
        below = oid_of(TREE, trees[-1])
        trees.append(b"".join(b"40000 %d\0" % n + below for n in range(10)))
    tip = commit_of(oid_of(TREE, trees[-1]))
    entries = [full(COMMIT, tip), *(full(TREE, tree) for tree in trees), full(BLOB, b"x")]
    night = fetch_pack(tmp_path, entries, oid_of(COMMIT, tip))
    assert error_of(night) == "limit_exceeded"


def test_a_commit_tag_or_tree_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task holds its row, and the kernel does not limit the task."""
    monkeypatch.setattr(visit, "MOST_OBJECT_BYTES", 1000)
    tip = commit_of(oid_of(TREE, b"")) + b"x" * 1000
    night = fetch_pack(tmp_path, [full(COMMIT, tip), full(TREE, b"")], oid_of(COMMIT, tip))
    assert error_of(night) == "limit_exceeded"


# Failures that no origin is to blame for.


def rewrite(archive: Archive, change: Callable[[Any], Any]) -> str:
    """Rewrite the only file of contents, with other bytes and matching checksums."""
    (row,) = [row for row in archive.files if row["table"] == CONTENTS.name]
    path = row["uri"].removeprefix("file://")
    table = pq.read_table(path)
    pq.write_table(table.set_column(7, "content", [list(map(change, table["content"].to_pylist()))]), path)
    return str(path)


def flip(archive: Archive) -> str:
    (row,) = [row for row in archive.files if row["table"] == CONTENTS.name]
    path = Path(row["uri"].removeprefix("file://"))
    data = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(7)
    data[column.data_page_offset + column.total_compressed_size - 3] ^= 1
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("damage", [flip, lambda archive: rewrite(archive, lambda content: content[:-1] + b"?")])
def test_a_damaged_base_fails_the_visits_that_need_it(damage: Callable[[Archive], str], tmp_path: Path) -> None:
    """Nothing is built on other bytes; origins that do not need the file are visited as usual."""
    served = tmp_path / "served"
    needs, other = many_small(served, 2)
    old, new = b"# small 0\n", b"# small 0\nmore\n"
    archive = Archive(tmp_path)
    with git_daemon(served) as server:
        archive.fetch(server.url(needs.name), server.url(other.name))
        path = damage(archive)
        add_commits(other, 3)
        archive.plan(server.url(needs.name), server.url(other.name))
        tree = b"100644 README.md\0" + oid_of(BLOB, new)
        tip = commit_of(oid_of(TREE, tree))
        thin = pack_of([full(COMMIT, tip), full(TREE, tree), ref_delta(oid_of(BLOB, old), append(old, b"more\n"))])
        served_by_hand = {"refs/heads/main": oid_of(COMMIT, tip).hex()}
        with handmade(served_by_hand, [thin, thin]) as (by_hand, _):
            night = archive.fetch((by_hand.url(), server.url(needs.name)), server.url(other.name))
    line = night.line(by_hand.url())
    assert (line.status, line.error) == ("failed", "damaged")
    assert line.detail is not None
    assert line.detail.startswith(path.removeprefix(str(archive.storage.root_uri).removeprefix("file://") + "/"))
    assert night.line(server.url(other.name)).status == "full"


FETCH = """
import os, signal, sys
from datetime import date
from pathlib import Path
from pipeline.fetch.visit import Visitor
from pipeline.model.layout import Load
from tests.fetch.archive import Archive
def wait(*arguments, **options):
    print(os.getpid(), flush=True)
    signal.pause()
Visitor._attempt = wait
Archive(Path(sys.argv[1])).fetch_only(Load.of_night(date.fromisoformat(sys.argv[2])))
"""


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_no_process_outlives_its_task(tmp_path: Path) -> None:
    served = tmp_path / "served"
    (repo,) = many_small(served, 1)
    with git_daemon(served) as server:
        load = Archive(tmp_path).plan(server.url(repo.name))
        command = [sys.executable, "-c", FETCH, str(tmp_path), load.night.isoformat()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as task:
            assert task.stdout is not None
            worker = int(task.stdout.readline())
            task.kill()
    until = time.monotonic() + 30
    while runs(worker):
        assert time.monotonic() < until, "the worker goes on"
        time.sleep(0.02)


def test_a_worker_holds_no_descriptors_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile bytes cannot reach what its parent has open, such as a connection to storage or Spark."""
    served = tmp_path / "served"
    (repo,) = many_small(served, 1)
    seen = tmp_path / "seen"
    secret = (tmp_path / "secret").open("w")

    def look(*arguments: Any, **options: Any) -> None:
        names = []
        for name in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # the descriptor that lists them
                names.append(os.readlink(f"/proc/self/fd/{name}"))
        seen.write_text("\n".join(names))

    with secret, git_daemon(served) as server:
        dies(monkeypatch, Visitor, "_attempt", look, server.url(repo.name))
        Archive(tmp_path).fetch(server.url(repo.name))
    assert str(tmp_path / "secret") not in seen.read_text()


def test_rows_of_a_block_that_raises_are_dropped(tmp_path: Path) -> None:

    task, worker = Channel.pair()
    task.send(None)
    with (
        Deadline(60) as deadline,
        pytest.raises(ValueError, match="x"),
        Outbox(worker, tmp_path, 1 << 20).turn(deadline, ScratchQuota(tmp_path, 0).take, lambda size: None),
    ):
        raise ValueError("x")
    assert [type(task.receive()[0]) for _ in range(2)] == [TurnWanted, RowsDropped]
    task.close()
    worker.close()
