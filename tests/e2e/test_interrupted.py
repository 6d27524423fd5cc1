"""Nights that are cut off at one stage after another end as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pipeline.fetch.bucket
import pipeline.night.derive
import pipeline.night.publish
import pipeline.night.seal
import pipeline.workflows.fetch_load
import pipeline.workflows.night
import pipeline.workflows.plan_load
from pipeline.model.layout import Load
from pipeline.model.tables import ALL
from tests.e2e.archive import Archive, night
from tests.e2e.conftest import MakeArchive
from tests.support.repos import add_commits, build_graph, fork_of
from tests.support.sample import chosen
from tests.support.servers import Peer

pytestmark = pytest.mark.slow

WHEN = ("run_id", "started_at", "duration_s", "last_visit", "added_at", "pack_bytes", "changes", "silent", "watched")
"""Columns that differ between any two runs; git may also pack the same objects one byte larger or smaller."""


class Cut(Exception):
    """The night ends here."""


@dataclass(frozen=True)
class Knife:
    """Lets a function work ``calls`` times, and cuts off the next call before its work, or ``after`` it."""

    module: Any
    name: str
    calls: int = 0
    after: bool = False

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} call {self.calls} of {self.name}"

    def set(self, patch: pytest.MonkeyPatch, tally: Path) -> None:
        """The tally is a file, because tasks may run in separate processes."""
        real: Callable[..., Any] = getattr(self.module, self.name)

        def cut(*arguments: Any, **options: Any) -> Any:
            with tally.open("ab") as calls:
                calls.write(b".")
            if tally.stat().st_size <= self.calls:
                return real(*arguments, **options)
            if self.after:
                real(*arguments, **options)
            raise Cut(str(self))

        patch.setattr(self.module, self.name, cut)


KNIVES = (
    Knife(pipeline.workflows.plan_load, "write_plan"),
    Knife(pipeline.workflows.fetch_load, "fetch_bucket", calls=1),
    Knife(pipeline.workflows.fetch_load, "fetch_bucket", after=True),
    Knife(pipeline.night.publish, "move", after=True),
    Knife(pipeline.night.publish, "apply_visits"),
    Knife(pipeline.night.publish, "apply_visits", after=True),
    Knife(pipeline.workflows.night, "publish", after=True),
    Knife(pipeline.night.derive, "replace_files", after=True),
    Knife(pipeline.night.derive, "replace_head_blobs", after=True),
    Knife(pipeline.workflows.night, "derive", after=True),
    Knife(pipeline.workflows.night, "seal", after=True),
    Knife(pipeline.workflows.night, "summarize"),
)


A_DAY = 6
"""Knives of a day; the kill matrix has the same moments."""


def build(served: Path) -> list[str]:
    names = []
    for number in range(5):
        build_graph(served / f"r{number}.git", [[1], [2, 1], [3, 1, 2]])
        add_commits(served / f"r{number}.git", 5, label=f"r{number}")
        names.append(f"r{number}.git")
    return names


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.long)])
def two(
    request: pytest.FixtureRequest,
    make_archive: MakeArchive,
    served: Path,
    daemon: Peer,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Archive, Archive]:
    """An archive of two undisturbed nights, and one whose nights are cut off at every knife of the day, or at all."""
    names = chosen(map(str, KNIVES), A_DAY if request.param == "some" else len(KNIVES))
    urls = [daemon.url(name) for name in build(served)]
    fork_of(served / "r0.git", served / "fork.git")
    calm, cut = (make_archive(name, archive={"buckets": 16}) for name in ("calm", "cut"))
    for archive in (calm, cut):
        archive.add(*urls, (daemon.url("fork.git"), urls[0]))
    calm.nightly(1)
    for knife in (knife for knife in KNIVES if str(knife) in names):
        with pytest.MonkeyPatch.context() as patch:
            knife.set(patch, tmp_path_factory.mktemp("tally") / "calls")
            said = cut.run("nightly", "--night", str(night(1)), code=5)
            assert f"Cut: {knife}" in said.stderr
            assert cut.storage.stat("lease.json") is None
            assert cut.read().nights() in ([], [night(1)])
    for name in ("r1.git", "r2.git"):
        add_commits(served / name, 3, label="second")
    # The second night completes the first one, which lacks only its summary.
    for archive in (calm, cut):
        summary = archive.nightly(2)
        assert summary["origins"] == {"full": 2, "unchanged": 4}
    return calm, cut


@pytest.mark.parametrize("day", [1, 2])
@pytest.mark.parametrize("table", [table.name for table in ALL])
def test_rows_are_those_of_undisturbed_nights(two: tuple[Archive, Archive], table: str, day: int) -> None:
    calm, cut = (archive.rows(table, day, without=WHEN) for archive in two)
    assert cut == calm
    assert calm or table == "tags"


def test_all_nights_are_complete(two: tuple[Archive, Archive]) -> None:
    for archive in two:
        assert archive.status()["nights"] == [str(night(1)), str(night(2))]
        for day in (1, 2):
            load = Load.of_night(night(day))
            assert archive.storage.stat(load.finished) is not None
            assert archive.nightly(day)["already"] is True
    calm, cut = (archive.nightly(1) for archive in two)
    for field in ("origins", "objects", "raw_bytes", "failed"):
        assert calm[field] == cut[field]


def test_a_finished_night_is_left_alone(two: tuple[Archive, Archive]) -> None:
    archive = two[0]
    said = archive.run("nightly", "--night", str(night(2)))
    assert "already complete; nothing was done" in said.stdout


def test_nights_only_go_forward(two: tuple[Archive, Archive]) -> None:
    said = two[0].run("nightly", "--night", "2026-10-31", code=2)
    assert "the night 2026-11-02 was run already; nights only go forward" in said.stderr
    assert two[0].status()["nights"] == [str(night(1)), str(night(2))]
