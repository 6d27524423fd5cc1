"""Forges are listed each by itself, and a pass that cannot go on is given up; without Spark, as nothing is merged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.context.archive import ArchiveInfo
from pipeline.context.config import Config
from pipeline.context.run import Run, helping
from pipeline.context.workplace import Workplace
from pipeline.fetch.forges import crawl
from pipeline.fetch.forges.crawl import Lister
from pipeline.fetch.forges.errors import PassGivenUp
from pipeline.fetch.forges.giving_up import STUCK_DAYS, give_up, is_stuck, note_stuck
from pipeline.fetch.forges.passes import begin_pass, passes, places, read_pass, unfinished
from pipeline.model.layout import ARCHIVE, LEASE, ForgePass
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.local import LocalStorage
from pipeline.workflows import forge_tasks
from pipeline.workflows.forge_tasks import merge_listed
from pipeline.workflows.run_forges import crawl_forges, known_passes, list_passes
from pipeline.workflows.task_run import TaskRun
from tests.fetch.forges.test_leftovers import put
from tests.support.forges import Forge, Served, Trouble, response, said, serving
from tests.support.listings import NOW

DENIED = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
BAD = said({"message": "Something went wrong"})
LONGEST_S = 60


def workplace(tmp_path: Path, **forges: Served) -> Workplace:
    storage = LocalStorage(tmp_path / "archive")
    storage.replace(ARCHIVE, ArchiveInfo.new(4).model_dump_json().encode())
    values: dict[str, Any] = {
        "fetch": {"allowed_networks": ["127.0.0.0/8"], "scratch": str(tmp_path / "scratch")},
        "forges": {name: {"kind": "github", "url": served.url} for name, served in forges.items()},
    }
    return Workplace(Config.model_validate(values), storage)


def filled(count: int) -> Forge:
    forge = Forge()
    for _ in range(count):
        forge.create()
    return forge


def begun(place: Workplace) -> dict[str, ForgePass]:
    named = place.config.forges.named
    return {name: begin_pass(place.storage, name, settings, NOW, full=False) for name, settings in named.items()}


def test_a_slow_forge_and_a_dead_one_hold_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forge_tasks, "Lister", partial(Lister, slice_pages=1))
    over: list[bool] = []
    with serving(filled(250)) as fast, serving(filled(120)) as slow, serving(filled(1), lambda *_: DENIED) as dead:
        place = workplace(tmp_path, slow=slow, dead=dead, fast=fast)
        lease = Lease.acquire(place.storage, Owner.here("r", "night 2026-11-01"), ttl_s=300, path=LEASE)
        under_way = begun(place)

        def wait_for_fast(number: int, path: str) -> None:
            until = time.monotonic() + LONGEST_S
            while time.monotonic() < until and not (over and over[-1]):
                over.append(read_pass(place.storage, under_way["fast"]).over)
                time.sleep(0.05)

        slow.trouble = wait_for_fast
        stopped = list_passes(place, under_way)
        lease.release()
    found = {name: read_pass(place.storage, at) for name, at in under_way.items()}
    assert over[-1], "the fast one came to its end while the slow one had no page"
    assert {name: (each.over, each.slices, each.progress.listed) for name, each in found.items()} == {
        "fast": (True, 4, 250), "slow": (True, 3, 120), "dead": (False, 0, 0),
    }  # fmt: skip
    assert list(stopped) == ["dead"]
    assert "login_required" in stopped["dead"][1]


def failed_before(place: Workplace, days: int) -> None:
    for day in range(days):
        assert not is_stuck(place.storage, "f")
        for _ in range(2):
            note_stuck(place.storage, "f", date(2020, 11, 1) + timedelta(days=day))


def at_second_page(answer: bytes) -> Trouble:
    return lambda number, path: None if "since=100" not in path else answer


def test_a_pass_that_is_stuck_for_a_week_is_given_up_and_one_that_moves_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl, "MOST_FAILED", 1)
    with serving(filled(250), lambda *_: BAD) as served:
        place = workplace(tmp_path, f=served)
        (found,) = crawl_forges(place, [])
        assert (found.number, found.failed, found.state) == (1, True, "under way")
        failed_before(place, STUCK_DAYS - 1)
        assert is_stuck(place.storage, "f"), "the crawl noted the last day"
        served.trouble = at_second_page(BAD)
        (found,) = crawl_forges(place, [])
        assert (found.number, found.pages, found.failed) == (2, 1, True), "it was given up, and a new one begins"
        assert not is_stuck(place.storage, "f")
        assert [each.given_up for each in passes(place.storage, "f")] == [False, True]


@pytest.mark.parametrize("answer", [DENIED, response(b"", "502 Bad Gateway")])
def test_what_another_pass_would_meet_as_well_gives_no_pass_up(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl, "MOST_FAILED", 1)
    with serving(filled(250), at_second_page(BAD)) as served:
        place = workplace(tmp_path, f=served)
        assert crawl_forges(place, [])[0].pages == 1
        failed_before(place, STUCK_DAYS - 2)
        served.trouble = lambda number, path: answer
        (found,) = crawl_forges(place, [])
        assert (found.number, found.failed) == (1, True)
        failed_before(place, STUCK_DAYS - 1)
        assert not is_stuck(place.storage, "f"), "only days in a row count"


@pytest.mark.parametrize("what", ["begun", "manifest", "page"])
def test_what_is_given_up_is_listed_again_even_if_it_cannot_be_read(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(filled(250), at_second_page(DENIED)) as served, monkeypatch.context() as patch:
        place = workplace(tmp_path, f=served)
        storage = place.storage
        patch.setattr(forge_tasks, "Lister", partial(Lister, slice_pages=1 if what == "manifest" else 500))
        lease = Lease.acquire(storage, Owner.here("r", "night 2026-11-01"), ttl_s=300, path=LEASE)
        at = begun(place)["f"]
        list_passes(place, {"f": at})
        lease.release()
        patch.undo()
        damaged = {"begun": at.begun, "manifest": at.manifest(1), "page": at.page(1, 1)}[what]
        storage.replace(damaged, storage.read(damaged)[:-9])
        (found,) = crawl_forges(place, ["f"])
        assert (found.failed, damaged in str(found.stopped)) == (True, True)
        ((number, failed, why),) = [(each.number, each.failed, each.stopped) for each in known_passes(place, "f")]
        assert (number, failed, damaged in str(why)) == (1, True, True)
        failed_before(place, STUCK_DAYS - 1)
        assert is_stuck(storage, "f")
        (found,) = crawl_forges(place, ["f"], anew=what != "begun")
        assert (found.number, found.full, found.pages, found.failed) == (2, True, 1, True)
        assert storage.list(at.pages(1)) == []
        assert [(each.number, each.given_up) for each in known_passes(place, "f")] == [(2, False), (1, True)]
        assert [each.place.number for each in unfinished(storage, "f")] == [2]
        assert give_up(storage, "f"), "it was a full one"
        assert unfinished(storage, "f") == []


def test_damage_costs_its_forge_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving(filled(250)) as page,
        serving(filled(250), at_second_page(DENIED)) as marker,
        serving(filled(250), at_second_page(DENIED)) as good,
        monkeypatch.context() as patch,
    ):
        place = workplace(tmp_path, page=page, marker=marker, good=good)
        storage = place.storage
        under_way = begun(place)
        patch.setattr(forge_tasks, "Lister", partial(Lister, slice_pages=1))
        with Lease.acquire(storage, Owner.here("r", "night 2026-11-01"), ttl_s=300, path=LEASE):
            list_passes(place, {"marker": under_way["marker"]})
        patch.undo()
        storage.replace(under_way["marker"].merged(1), b"{")

        def damaging(number: int, path: str) -> bytes | None:
            if "since=100" not in path:
                return None
            storage.replace(under_way["page"].page(1, 1), b"PAR1")
            return DENIED

        page.trouble = damaging
        found = {each.forge: each for each in crawl_forges(place, [])}
        assert all("login_required" in str(each.stopped) for each in found.values())
        assert {name: each.pages for name, each in found.items()} == {"page": 0, "marker": 0, "good": 1}


def test_a_new_pass_makes_old_ones_forgotten(tmp_path: Path) -> None:
    with serving(filled(1), lambda *_: DENIED) as served:
        place = workplace(tmp_path, f=served)
        for number in range(1, 4):
            put(place.storage, number, url=served.url)
        assert crawl_forges(place, [])[0].number == 4
        assert [at.number for at in places(place.storage, "f")] == [4, 3, 2]


def test_what_is_given_up_meanwhile_is_not_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(filled(120), at_second_page(DENIED)) as served:
        place = workplace(tmp_path, f=served)
        at = begun(place)["f"]
        monkeypatch.setattr(forge_tasks, "Lister", partial(Lister, slice_pages=1))
        with Lease.acquire(place.storage, Owner.here("r", "night 2026-11-01"), ttl_s=300, path=LEASE):
            list_passes(place, {"f": at})
        assert [each.slices - each.merged for each in unfinished(place.storage, "f")] == [1]

        @contextmanager
        def given_up_meanwhile(*_: object, **__: object) -> Iterator[Run]:
            give_up(place.storage, "f")
            with helping(place) as run:
                yield replace(run, check_lease=lambda: None)

        merged: list[object] = []
        monkeypatch.setattr(forge_tasks, "hold", given_up_meanwhile)
        monkeypatch.setattr(forge_tasks, "see_newest", lambda spark: None)
        monkeypatch.setattr(TaskRun, "spark", lambda run: None)
        monkeypatch.setattr(forge_tasks, "merge_slice", lambda *found: merged.append(found))
        with pytest.raises(PassGivenUp):
            merge_listed(place, "f", wait_for=lambda holder: True)
        assert merged == []
