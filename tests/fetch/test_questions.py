"""The questions of a bucket in parts, each a task of its own: the same visits, whatever is killed or lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.fetch import planned_refs, questions
from pipeline.fetch.agenda import DueNetwork, Errand, Questions
from pipeline.fetch.asked import read_asked
from pipeline.fetch.bucket_plan import PlannedOrigin, read_bucket_plan, read_share
from pipeline.fetch.messages import Question
from pipeline.fetch.planned_refs import PlannedRefs
from pipeline.fetch.questions import ask_part
from pipeline.fetch.visit import Visitor
from pipeline.git.conditions import Conditions
from pipeline.model.layout import Load
from pipeline.model.visit import Visit
from pipeline.rules.ref_digest import DIGEST_BYTES, UNKNOWN
from pipeline.storage.parquet import ArchiveFile
from tests.fetch.archive import BUCKET, Archive, Night, conditions
from tests.fetch.handmade import handmade
from tests.fetch.test_forks import TIP, archived_before, with_root
from tests.support.repos import add_commits, build_graph, fork_of, many_small
from tests.support.servers import Peer, git_daemon

PARTS = 3
WHEN = datetime(2026, 11, 1, tzinfo=UTC)


def ask(archive: Archive, load: Load, *parts: int, terms: Conditions | None = None) -> list[Visit]:
    """Ask these parts; returns the visits that ended."""
    ended: list[Visit] = []
    for part in parts or range(PARTS):
        ask_part(
            archive.storage, load, BUCKET, part, PARTS,
            run_id="asks", conditions=terms or conditions(), concurrency=4, scratch=archive.scratch,
            on_visit=ended.append,
        )  # fmt: skip
    return ended


def fetch_asked(archive: Archive, load: Load) -> tuple[Night, list[str]]:
    """Run the fetch task after the questions; and the origins that it visited itself."""
    own: list[Visit] = []
    asked = read_asked(archive.storage, load, BUCKET, PARTS)
    night = archive.fetch_only(load, asked=asked, on_visit=own.append)
    return night, [visit.origin for visit in own]


def what(night: Night) -> list[Visit]:
    """Visits without what differs between two runs."""
    same = [replace(v, run_id="", started_at=WHEN, duration_s=0, pack_bytes=0) for v in night.visits]
    return sorted(same, key=lambda visit: visit.origin)


class Served:
    """Two families and some single repositories, visited once; then some change, and one is gone."""

    def __init__(self, served: Path) -> None:
        self.served = served
        self.roots = [served / f"root{n}.git" for n in range(2)]
        self.forks: dict[Path, list[Path]] = {}
        for root in self.roots:
            build_graph(root, [[1], [2, 1], [3, 2]])
            self.forks[root] = [fork_of(root, served / f"{root.stem}-{name}.git") for name in "abcd"]
        self.single = many_small(served, 5)

    def origins(self, server: Peer) -> list[str | tuple[str, str]]:
        families = [
            with_root(server.url(root.name), [server.url(fork.name) for fork in forks])
            for root, forks in self.forks.items()
        ]
        return [*(o for family in families for o in family), *(server.url(repo.name) for repo in self.single)]

    def change(self) -> set[str]:
        """Returns the names of what changed."""
        self.single[0].rename(self.served / "elsewhere")
        changed = [self.roots[0], self.forks[self.roots[0]][1], self.forks[self.roots[1]][2], self.single[3]]
        for repo in changed:
            add_commits(repo, 2, label=repo.stem)
        return {repo.name for repo in changed}


@pytest.fixture
def world(tmp_path: Path) -> Served:
    return Served(tmp_path / "served")


@pytest.fixture
def server(world: Served) -> Iterator[Peer]:
    with git_daemon(world.served) as peer:
        yield peer


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


def asks_nothing(self: Visitor, question: Question, confinement: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def test_visits_are_those_of_one_task(
    tmp_path: Path, world: Served, server: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = [Archive(tmp_path / name) for name in ("alone", "spread")]
    origins = world.origins(server)
    for archive in archives:
        archive.fetch(*origins)
    changed = world.change()
    loads = [archive.plan(*origins) for archive in archives]
    alone = archives[0].fetch_only(loads[0])
    ended = ask(archives[1], loads[1])
    with monkeypatch.context() as patch:
        patch.setattr(Visitor, "ask", asks_nothing)
        spread, own = fetch_asked(archives[1], loads[1])
    assert what(spread) == what(alone)
    assert spread.manifest.visits.origins == {"full": 4, "not_found": 1, "unchanged": 10}
    assert {name_of(visit.origin) for visit in ended}.isdisjoint(changed)
    assert {name_of(url) for url in own} == changed, "what a question ended is not visited again"
    assert spread.objects() == alone.objects()
    assert archives[1].left_in_scratch() == []
    archives[1].publish(spread)
    assert archives[1].fetch(*origins).manifest.visits.origins == {"unchanged": 14, "not_found": 1}


def test_first_visits_are_not_asked(tmp_path: Path, world: Served, server: Peer) -> None:
    archive = Archive(tmp_path)
    load = archive.plan(*world.origins(server))
    assert ask(archive, load) == []
    night, own = fetch_asked(archive, load)
    assert len(own) == len(night.visits) == 15
    assert night.manifest.visits.origins == {"full": 15}


def test_what_is_not_due_is_not_asked(tmp_path: Path, world: Served, server: Peer) -> None:
    archive = Archive(tmp_path)
    origins = world.origins(server)
    archive.fetch(*origins)
    due = [server.url(world.roots[1].name), server.url(world.single[2].name)]
    load = archive.plan(*origins, due=due)
    assert {visit.origin for visit in ask(archive, load)} == set(due)


@pytest.mark.parametrize("loss", ["never asked", "lost", "damaged"])
def test_a_missing_part_is_asked_by_the_fetch_task(loss: str, tmp_path: Path, world: Served, server: Peer) -> None:
    archive = Archive(tmp_path)
    origins = world.origins(server)
    archive.fetch(*origins)
    load = archive.plan(*origins)
    ended = ask(archive, load, *((0, 2) if loss == "never asked" else ()))
    path = load.asked(BUCKET, 1)
    if loss == "lost":
        archive.storage.delete(path)
    elif loss == "damaged":
        data = bytearray(archive.storage.read(path))
        data[len(data) // 2] ^= 1
        archive.storage.replace(path, bytes(data))
    night, own = fetch_asked(archive, load)
    assert night.manifest.visits.origins == {"unchanged": 15}
    assert len(own) == 5
    assert {visit.origin for visit in ended} | set(own) == {visit.origin for visit in night.visits}


def test_a_killed_fetch_task_does_not_ask_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    refs = {"HEAD": TIP, "refs/heads/main": TIP}
    with handmade(refs, []) as (server, asked):
        urls = [server.url(f"{n}.git") for n in range(9)]
        load = archive.plan(*archived_before(archive, urls))
        ask(archive, load)
        assert len(asked.commands) == len(urls)
        first, _ = fetch_asked(archive, load)
        archive.storage.delete(load.manifest(BUCKET))  # as if it had died before that was written
        second, own = fetch_asked(archive, load)
        ask(archive, load, 1)  # another host did the same part late: the first file stays
    assert len(asked.commands) == len(urls) + 3
    assert own == []
    assert what(first) == what(second)


def test_a_question_whose_process_dies_fails_alone(
    tmp_path: Path, world: Served, server: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    origins = world.origins(server)
    archive.fetch(*origins)
    victim, real = server.url(world.single[1].name), Visitor.ask

    def asks(self: Visitor, question: Question, confinement: Any) -> Any:
        if question.url == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, question, confinement)

    monkeypatch.setattr(Visitor, "ask", asks)
    load = archive.plan(*origins)
    ask(archive, load)
    night, own = fetch_asked(archive, load)
    assert own == []
    assert (night.line(victim).status, night.line(victim).error) == ("failed", "crashed")
    assert night.manifest.visits.origins == {"unchanged": 14, "failed": 1}


def test_a_damaged_plan_is_reported_by_the_fetch_task(tmp_path: Path, world: Served, server: Peer) -> None:
    archive = Archive(tmp_path)
    origins = world.origins(server)
    archive.fetch(*origins)
    load = archive.plan(*origins)
    (path,) = (entry.path for entry in archive.storage.list(f"{load.plan_refs}/bucket={BUCKET}"))
    archive.storage.replace(path, b"PAR1")
    assert ask(archive, load) == []
    night, _ = fetch_asked(archive, load)
    assert {visit.error for visit in night.visits} == {"damaged"}


def small_groups(archive: Archive, load: Load) -> None:
    """Write the plan again in row groups of two rows."""
    for folder in (load.plan_origins, load.plan_refs):
        for entry in archive.storage.list(f"{folder}/bucket={BUCKET}"):
            local = Path(archive.storage.root_uri.removeprefix("file://")) / entry.path
            rows = pq.read_table(local).sort_by([("network", "ascending"), ("url", "ascending")])
            pq.write_table(rows, local, row_group_size=2)


def test_a_part_reads_its_share_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)
    urls = [f"git://h/{n:03}" for n in range(300)]
    load = archive.plan(*archived_before(archive, urls), "git://alone/0", "git://alone/1")
    small_groups(archive, load)
    (path,) = (entry.path for entry in archive.storage.list(f"{load.plan_refs}/bucket={BUCKET}"))
    everything = read_bucket_plan(archive.storage, load, BUCKET)
    shares = [list(read_share(archive.storage, load, BUCKET, part, 7)) for part in range(7)]
    assert [origin for share in shares for origin in share] == list(everything.origins)
    assert {len(share) for share in shares} == {43, 44}

    read: list[int] = []
    real = ArchiveFile.iter_batches

    def counted(self: ArchiveFile, size: int = 1, *, row_groups: list[int], **options: Any) -> Any:
        read.extend(row_groups)
        return real(self, size, row_groups=row_groups, **options)

    monkeypatch.setattr(ArchiveFile, "iter_batches", counted)
    planned = PlannedRefs(archive.storage, [path])
    found = [list(planned.between(place(share[0]), place(share[-1]))) for share in shares]
    assert len(read) <= 302 + 7, "a group at each end may be read twice"
    monkeypatch.undo()
    assert [(row.url, row.name) for rows in found for row in rows] == [
        (row.url, row.name) for origin in everything.origins for row in planned.of(origin.network, origin.url)
    ]


def place(origin: PlannedOrigin) -> planned_refs.Place:
    return origin.network, origin.url


def test_an_origin_over_two_row_groups_has_one_digest(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    load = archive.plan(*archived_before(archive, ["git://h/a", "git://h/b"]))
    before = read_bucket_plan(archive.storage, load, BUCKET)
    whole = dict(questions._digests(PlannedRefs(archive.storage, before.refs), before.origins))
    for path in before.refs:
        local = Path(archive.storage.root_uri.removeprefix("file://")) / path
        pq.write_table(pq.read_table(local), local, row_group_size=1)
    assert dict(questions._digests(PlannedRefs(archive.storage, before.refs), before.origins)) == whole
    assert len(set(whole.values())) == 1


def test_questions_are_given_once_and_end() -> None:
    networks = [DueNetwork(0, n, [f"git://h/{n}/{o}" for o in range(3)]) for n in range(2)]
    for network in networks:
        network.surveyed(b"1" * DIGEST_BYTES + UNKNOWN + b"2" * DIGEST_BYTES)
    agenda = Questions(networks)
    given = [agenda.next(None) for _ in range(5)]
    assert given == [*(Errand(n, at, d * DIGEST_BYTES) for n in networks for at, d in ((0, b"1"), (2, b"2"))), None]
    networks[0].end(0)
    networks[0].must_be_visited(2)
    assert agenda.next(None) is None
    assert networks[0].changed() == ["git://h/0/2"]
