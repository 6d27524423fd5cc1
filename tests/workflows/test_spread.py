"""A bucket whose questions are tasks of their own, through a whole night."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.fetch.asked import read_asked
from pipeline.model.layout import Load
from pipeline.night.plan import read_plan, restore_plan_summary
from pipeline.rules import questions
from tests.e2e.archive import night
from tests.support.repos import add_commits, many_small
from tests.support.servers import Peer
from tests.workflows.conftest import MakeArchive

pytestmark = pytest.mark.spark


@pytest.mark.slow
def test_questions_are_asked_before_a_bucket_is_fetched(
    make_archive: MakeArchive, served: Path, daemon: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "PART_ORIGINS", 2)
    repos = many_small(served, 5)
    archive = make_archive("archive", archive={"buckets": 1})
    archive.add(*(daemon.url(repo.name) for repo in repos))
    assert archive.nightly(1)["origins"] == {"full": 5}
    first, second = (Load.of_night(night(day)) for day in (1, 2))
    assert read_plan(archive.storage, first).parts == {}, "nobody can ask about a first visit"
    add_commits(repos[0], 1, label="new")
    assert archive.nightly(2)["origins"] == {"full": 1, "unchanged": 4}
    plan = read_plan(archive.storage, second)
    assert plan.parts == {0: 3}
    asked = read_asked(archive.storage, second, 0, 3)
    assert set(asked.changed) == {daemon.url(repos[0].name)}
    assert set(asked.ended) == {daemon.url(repo.name) for repo in repos[1:]}
    assert restore_plan_summary(archive.storage, second) == plan
