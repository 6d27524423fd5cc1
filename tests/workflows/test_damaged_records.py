"""A night stops half-way, and one of its records is damaged: the next run makes it again, and loses nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import pipeline.workflows.night
from pipeline.model.layout import Load
from pipeline.model.tables import OBJECT_TABLES
from pipeline.storage.interface import Storage
from tests.e2e.archive import Archive, night
from tests.support.repos import add_commits, build_graph, compare
from tests.support.sample import chosen
from tests.support.servers import Peer
from tests.workflows.conftest import MakeArchive, spread

pytestmark = [pytest.mark.slow, pytest.mark.spark]

STOPS = {
    "publish": (pipeline.workflows.night, "publish"),
    "derive": (pipeline.workflows.night, "derive"),
    "seal": (pipeline.workflows.night, "seal"),
    "summary": (pipeline.workflows.night, "summarize"),
}
"""Steps by name; a run ends before one of them."""

CASES = (
    ("publish", "plan/plan.json", 0),
    ("publish", "manifests/*.json", 0),
    ("derive", "publishing.json", 0),
    ("derive", "published.json", 0),
    ("seal", "derived.json", 0),
    ("seal", "plan/plan.json", 3),
    ("summary", "sealed.json", 0),
)
"""Where the run ends, the record that is damaged then, and the next run's exit code: 3 if the record is useless now."""

A_DAY = 4
"""Cases that a day runs."""


def cut(text: bytes) -> bytes:
    return text[: len(text) // 2]


def flipped(text: bytes) -> bytes:
    at = text.index(b'"') + 1
    return text[:at] + bytes([text[at] ^ 0x80]) + text[at + 1 :]


def damage(storage: Storage, load: Load, record: str, turn: int) -> None:
    (path, *_) = [
        entry.path
        for entry in storage.walk(load.root)
        if Path(entry.path).match(f"{load.root}/{record}") and not Path(entry.path).name.startswith(".")
    ]
    storage.replace(path, (cut, flipped)[turn % 2](storage.read(path)))


def test_each_record_is_made_anew(make_archive: MakeArchive, served: Path, daemon: Peer, tmp_path: Path) -> None:
    """One night per record: it stops before a step, the record is damaged, and the next run completes the night."""
    cases = of_today()
    archive = make_archive("records")
    repos = [served / f"r{number}.git" for number in range(40)]
    urls = spread(daemon, repos, 4)[:2]
    kept = [served / url.rpartition("/")[2] for url in urls]
    for repo in kept:
        build_graph(repo, [[1], [2, 1]])
    archive.add(*urls)
    for turn, (step, record, code) in enumerate(cases):
        day, load = turn + 1, Load.of_night(night(turn + 1))
        for repo in kept:
            add_commits(repo, 1, label=f"{step}-{turn}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*STOPS[step], stop)
            archive.run("nightly", "--night", str(night(day)), code=5)
        damage(archive.storage, load, record, turn)
        summary = archive.nightly(day, code=code)
        assert summary["origins"] == {"full": 2}, (step, record, summary)
        assert bool(summary["damaged"]) is bool(code)
        assert json.loads(archive.storage.read(load.finished)), (step, record)
    check(archive, urls, kept, tmp_path, len(cases))


def of_today() -> list[tuple[str, str, int]]:
    today = chosen((f"{step} {record}" for step, record, _ in CASES), A_DAY)
    return [case for case in CASES if f"{case[0]} {case[1]}" in today]


def stop(*arguments: object, **options: object) -> None:
    raise RuntimeError("the run ends here")


def check(archive: Archive, urls: list[str], kept: list[Path], to: Path, nights: int) -> None:
    """Every night has its visits, nothing is doubled, and restored repositories equal the served ones."""
    visits = archive.sql("SELECT night, count(*) AS visits FROM visits GROUP BY night")
    assert {row["visits"] for row in visits} == {2}
    assert len(visits) == nights
    for table in OBJECT_TABLES:
        keys = Counter(map(tuple, archive.read().table(table.name).select("bucket", "network", "oid").collect()))
        assert max(keys.values(), default=1) == 1, table.name
    for url, repo in zip(urls, kept, strict=True):
        assert compare(repo, archive.restore(url, to / f"restored-{repo.name}")) == []


def test_a_damaged_summary_is_made_anew(make_archive: MakeArchive, served: Path, daemon: Peer) -> None:
    build_graph(served / "r.git", [[1], [2, 1]])
    archive = make_archive("summary")
    archive.add(daemon.url("r.git"))
    first = archive.nightly(1)
    load = Load.of_night(night(1))
    archive.storage.replace(load.night_summary, cut(archive.storage.read(load.night_summary)))
    again = archive.nightly(1)
    assert again["origins"] == first["origins"] == {"full": 1}
    assert archive.nightly(1)["already"] is True
