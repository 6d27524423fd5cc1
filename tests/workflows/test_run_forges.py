"""Forges are listed each by itself, and a pass that cannot go on is given up; without Spark, as nothing is merged."""

from __future__ import annotations

import time
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.context.archive import ArchiveInfo
from pipeline.context.config import Config
from pipeline.context.workplace import Workplace
from pipeline.forges.crawl import Lister
from pipeline.forges.passes import STUCK_DAYS, begin_pass, give_up, is_stuck, note_stuck, passes, read_pass, unfinished
from pipeline.model.layout import ARCHIVE, LEASE, ForgePass
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.local import LocalStorage
from pipeline.workflows import forge_tasks
from pipeline.workflows.run_forges import crawl_forges, list_passes
from tests.support.forges import Forge, Served, serving
from tests.support.listings import NOW

DENIED = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
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


def test_a_pass_that_is_stuck_for_a_week_is_given_up_and_one_that_moves_is_not(tmp_path: Path) -> None:
    with serving(filled(250), lambda *_: DENIED) as served:
        place = workplace(tmp_path, f=served)
        (found,) = crawl_forges(place, [])
        assert (found.number, found.failed, found.state) == (1, True, "under way")
        for day in range(1, STUCK_DAYS):
            assert not is_stuck(place.storage, "f")
            for _ in range(2):
                note_stuck(place.storage, "f", date(2020, 11, 1) + timedelta(days=day))
        assert is_stuck(place.storage, "f")
        served.trouble = lambda number, path: None if "since=100" not in path else DENIED
        (found,) = crawl_forges(place, [])
        assert (found.number, found.pages, found.failed) == (2, 1, True), "it was given up, and a new one begins"
        assert not is_stuck(place.storage, "f")
        assert [each.given_up for each in passes(place.storage, "f")] == [False, True]


def test_what_is_given_up_is_listed_again_even_if_it_cannot_be_read(tmp_path: Path) -> None:
    with serving(filled(250)) as served:
        place = workplace(tmp_path, f=served)
        storage = place.storage
        served.trouble = lambda number, path: None if "since=100" not in path else DENIED
        under_way = begun(place)
        list_passes(place, under_way)
        page = under_way["f"].page(1, 1)
        storage.replace(page, storage.read(page)[:-9])
        (found,) = crawl_forges(place, ["f"])
        assert (found.failed, page in str(found.stopped)) == (True, True)
        (found,) = crawl_forges(place, ["f"], anew=True)
        assert (found.number, found.full, found.pages, found.failed) == (2, True, 1, True)
        assert storage.list(under_way["f"].pages(1)) == []
        assert [each.place.number for each in unfinished(storage, "f")] == [2]
        assert give_up(storage, "f"), "it was a full one"
        assert unfinished(storage, "f") == []
