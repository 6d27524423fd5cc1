"""The forks of one network: unchanged ones overlap, changed ones land every object once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.fetch.messages import Question, RefsChanged
from pipeline.fetch.network_state import NetworkState
from pipeline.fetch.planned_refs import PlannedRefs
from pipeline.fetch.visit import Visitor
from pipeline.git.exchange import exchange
from pipeline.git.host_turn import HostTurn
from pipeline.model.objects import ObjectType
from pipeline.model.visit import Visit
from pipeline.rules.negotiation import Ref
from tests.fetch.archive import Archive, Night, reachable
from tests.fetch.handmade import handmade
from tests.git.packs import everything
from tests.support.repos import add_commits, build_graph, fork_of, git, many_small
from tests.support.servers import git_daemon
from tests.support.sockets import Line

WAIT_S = 30
TIP = "1" * 40


def with_root(root: str, forks: list[str]) -> list[str | tuple[str, str]]:
    return [root, *((fork, root) for fork in forks)]


def archived_before(archive: Archive, urls: list[str]) -> list[str | tuple[str, str]]:
    """Let these origins have been visited: the first is the root. Returns what ``plan`` takes."""
    for url in urls:
        ref = Ref(bytes.fromhex(TIP))
        archive.refs[url] = dict.fromkeys((b"HEAD", b"refs/heads/main"), (ref, None))
        archive.good.add(url)
    return with_root(urls[0], urls[1:])


def test_unchanged_forks_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server only answers when four conversations are open, and the plan's refs are read once."""
    together, reads = threading.Barrier(4), multiprocessing.Value("i", 0)
    real = PlannedRefs.of

    def counted(self: PlannedRefs, network: int, url: str | None = None) -> Iterator[Any]:
        with reads.get_lock():
            reads.value += 1
        return real(self, network, url)

    monkeypatch.setattr(PlannedRefs, "of", counted)
    archive = Archive(tmp_path, concurrency=4)
    refs = {"HEAD": TIP, "refs/heads/main": TIP}
    with handmade(refs, [], before_refs=lambda line: together.wait(WAIT_S)) as (server, asked):
        urls = [server.url(f"{n}.git") for n in range(12)]
        night = archive.fetch(*archived_before(archive, urls))
    assert {line.origin: line.status for line in night.visits} == dict.fromkeys(urls, "unchanged")
    assert len(asked.commands) == len(urls)
    assert reads.value == 1
    assert night.tables() == ["visits"]


def test_a_fork_that_does_not_answer_keeps_no_network_waiting(tmp_path: Path) -> None:
    """A worker that waits for it lets go of its network, which is finished later."""
    served = tmp_path / "served"
    repos = many_small(served, 5)
    done, lock = threading.Event(), threading.Lock()
    left = {repo.name for repo in repos}
    conversations: list[Line] = []

    def on_visit(line: Visit) -> None:
        left.discard(line.origin.rpartition("/")[2])
        if not left:
            done.set()

    def first_two_wait(line: Line) -> None:
        with lock:
            conversations.append(line)
            waits = len(conversations) == 2
        if waits:
            assert done.wait(WAIT_S), "the neighbours did not finish"

    archive = Archive(tmp_path, concurrency=2)
    refs = {"HEAD": TIP, "refs/heads/main": TIP}
    with handmade(refs, [], before_refs=first_two_wait) as (slow, _), git_daemon(served) as server:
        urls = [slow.url(f"{n}.git") for n in range(3)]
        load = archive.plan(*archived_before(archive, urls), *(server.url(repo.name) for repo in repos))
        night = archive.fetch_only(load, on_visit=on_visit)
    assert done.is_set()
    assert {night.line(url).status for url in urls} == {"unchanged"}


def ask_before_the_root_ends(
    patch: pytest.MonkeyPatch, root: str, forks: int, die_for: str | None = None
) -> Callable[[], int]:
    """Let the root's conversation wait until all forks were asked; the process that asks ``die_for`` dies.

    Returns a function that counts the answers with changed refs. Workers hold no files of others, so it is semaphores
    that count.
    """
    asked, changed = multiprocessing.Semaphore(0), multiprocessing.Semaphore(0)
    real_ask = Visitor.ask

    def asks(self: Visitor, question: Question, confinement: Any) -> Any:
        if question.url == die_for:
            asked.release()
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real_ask(self, question, confinement)
        if isinstance(answer, RefsChanged):
            changed.release()
        asked.release()
        return answer

    def exchanges(turn: HostTurn, *arguments: Any, **options: Any) -> Any:
        if turn.url == root:
            assert all(asked.acquire(timeout=WAIT_S) for _ in range(forks)), "not all forks were asked"
        return exchange(turn, *arguments, **options)

    patch.setattr(Visitor, "ask", asks)
    patch.setattr("pipeline.fetch.visit.exchange", exchanges)
    return changed.get_value


@pytest.fixture
def family(tmp_path: Path) -> list[Path]:
    """A root and five forks: of the night to come, b and d are unchanged, the others share some commits."""
    served = tmp_path / "served"
    root = served / "root.git"
    build_graph(root, [[1], [2, 1], [3, 2]])
    return [root, *(fork_of(root, served / f"{name}.git") for name in "abcde")]


def grow(root: Path, forks: list[Path]) -> None:
    add_commits(root, 2, label="upstream")
    for fork in (forks[0], forks[2], forks[4]):
        git(fork, "fetch", "-q", str(root), "main:refs/heads/upstream")
    git(forks[0], "fetch", "-q", str(root), "+main:refs/heads/main")
    add_commits(forks[0], 2, label="shared by a and c")
    git(forks[2], "fetch", "-q", str(forks[0]), "+main:refs/heads/from-a")
    for fork in (forks[2], forks[4]):
        add_commits(fork, 2, label=fork.stem)


def archived_objects(archive: Archive, nights: list[Night], network: int) -> dict[str, tuple[ObjectType, bytes]]:
    ids = [bytes.fromhex(oid) for night in nights for oid in night.new_ids()]
    assert len(ids) == len(set(ids)), "landed twice"
    return {oid.hex(): (type_, body) for type_, oid, body in archive.known().load(network, ids, set(ObjectType))}


def assert_archived(archive: Archive, nights: list[Night], repos: dict[str, Path]) -> None:
    """Every object and ref of these repositories can be restored, and nothing else was landed."""
    network = nights[0].visits[0].network
    held = archived_objects(archive, nights, network)
    assert set(held) == {oid for repo in repos.values() for oid in reachable(repo)}
    for url, repo in repos.items():
        objects = {oid.hex(): found for oid, found in everything(repo).items()}
        assert {oid: held[oid] for oid in reachable(repo)} == {oid: objects[oid] for oid in reachable(repo)}
        heads = git(repo, "for-each-ref", "--format=%(objectname) %(refname)").decode().split("\n")
        shown = {line.split(" ")[1].encode(): line.split(" ")[0] for line in heads if line}
        refs = {name: ref.target.hex() for name, (ref, _) in archive.refs[url].items() if ref.target is not None}
        assert {name: oid for name, oid in refs.items() if name != b"HEAD"} == shown


def test_changed_forks_land_every_object_once(
    tmp_path: Path, family: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, *forks = family
    archive = Archive(tmp_path, concurrency=4)
    with git_daemon(tmp_path / "served") as server:
        urls = {repo: server.url(repo.name) for repo in family}
        origins = with_root(urls[root], [urls[fork] for fork in forks])
        first = archive.fetch(*origins)
        grow(root, forks)
        with monkeypatch.context() as patch:
            changes = ask_before_the_root_ends(patch, urls[root], len(forks))
            second = archive.fetch(*origins)
    assert changes() == 3, "these were asked, then visited"
    changed = [urls[root], *(urls[fork] for fork in forks if fork.stem in "ace")]
    assert [line.origin for line in second.visits if line.status == "full"] == changed, "in their order"
    assert sum(line.status == "unchanged" for line in second.visits) == 2
    assert_archived(archive, [first, second], {urls[repo]: repo for repo in family})
    own = reachable(forks[2]) - reachable(forks[0]) - set(first.new_ids())
    assert second.line(urls[forks[2]]).objects == len(own), "and not those shared with a"


DEATHS = ("an unchanged fork is asked", "a changed fork is asked", "a changed fork is visited")


@pytest.mark.parametrize("moment", DEATHS)
def test_a_fork_whose_process_dies_fails_alone(
    moment: str, tmp_path: Path, family: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, *forks = family
    archive = Archive(tmp_path, concurrency=4)
    victim = forks[1] if "unchanged" in moment else forks[2]

    finished = NetworkState.finished

    def finishes(self: NetworkState, url: str, *arguments: Any) -> None:
        if url == urls[victim]:
            os.kill(os.getpid(), signal.SIGKILL)
        finished(self, url, *arguments)

    with git_daemon(tmp_path / "served") as server:
        urls = {repo: server.url(repo.name) for repo in family}
        origins = with_root(urls[root], [urls[fork] for fork in forks])
        first = archive.fetch(*origins)
        grow(root, forks)
        with monkeypatch.context() as patch:
            dies_asking = urls[victim] if moment.endswith("asked") else None
            ask_before_the_root_ends(patch, urls[root], len(forks), dies_asking)
            if moment.endswith("visited"):
                patch.setattr(NetworkState, "finished", finishes)
            second = archive.fetch(*origins)
        third = archive.fetch(*origins)
    assert (second.line(urls[victim]).status, second.line(urls[victim]).error) == ("failed", "crashed")
    assert all(line.status.ok for line in second.visits if line.origin != urls[victim])
    assert third.line(urls[victim]).status == ("unchanged" if victim is forks[1] else "full")
    assert_archived(archive, [first, second, third], {urls[repo]: repo for repo in family})
    assert archive.left_in_scratch() == []
