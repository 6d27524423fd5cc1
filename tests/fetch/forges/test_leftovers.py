"""What passes leave is deleted: pages of those given up, and folders that no later pass goes by."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.fetch.forges import leftovers
from pipeline.fetch.forges.cursor import Cursor
from pipeline.fetch.forges.errors import PassGivenUp
from pipeline.fetch.forges.giving_up import give_up
from pipeline.fetch.forges.leftovers import KEPT_OF_EVENTS, delete_merged, forget_old
from pipeline.fetch.forges.pages import Progress
from pipeline.fetch.forges.passes import Begun, SliceManifest, begin_pass, passes, places, read_pass
from pipeline.model.layout import ForgePass
from pipeline.storage.interface import Storage
from tests.fetch.forges.test_crawl import filled
from tests.support.forges import serving
from tests.support.listings import NOW, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def put(
    storage: Storage,
    number: int,
    *,
    kind: str = "github",
    url: str = "http://f",
    full: bool = True,
    merged: bool = True,
    skipped: int = 0,
) -> ForgePass:
    """A pass of one slice that is listed to its end."""
    at = ForgePass("f", number)
    since = None if full else NOW
    begun = Begun(kind=kind, url=url, since=since, first=Cursor(), begun_at=NOW + timedelta(days=number))
    storage.create(at.begun, begun.model_dump_json().encode())
    last = SliceManifest(first=1, progress=Progress(next=None, pages=1, skipped=skipped), ended_at=NOW)
    storage.create(at.manifest(1), last.model_dump_json().encode())
    storage.create(at.page(1, 1), b"")
    if merged:
        storage.create(at.merged(1), b"{}")
    return at


def numbers(storage: Storage) -> list[int]:
    return [at.number for at in places(storage, "f")]


def test_passes_before_the_last_complete_full_one_but_one_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = place.storage
    for number in range(1, 4):
        put(storage, number)
    put(storage, 4, full=False)
    put(storage, 5, skipped=1)
    given_up = put(storage, 6)
    storage.create(given_up.given_up, b"{}")
    put(storage, 7)
    put(storage, 8, full=False)
    put(storage, 9, merged=False)
    storage.replace(ForgePass("f", 2).begun, b"{")
    monkeypatch.setattr(leftovers, "MOST_FORGOTTEN", 1)
    forget_old(storage, "f", "github")
    assert numbers(storage) == [9, 8, 7, 6, 5, 4, 3, 2], (
        "so many at once; 3 and 7 are complete, and nothing before them"
    )
    forget_old(storage, "f", "github")
    forget_old(storage, "f", "github")
    assert numbers(storage) == [9, 8, 7, 6, 5, 4, 3]
    storage.replace(ForgePass("f", 8).begun, b"{")
    put(storage, 10)
    forget_old(storage, "f", "github")
    assert numbers(storage)[-1] == 3, "nothing goes while one cannot be read"


def test_of_passes_over_events_the_newest_stay(place: Place) -> None:
    for number in range(1, KEPT_OF_EVENTS + 4):
        put(place.storage, number, full=number == 1, skipped=1)
    put(place.storage, KEPT_OF_EVENTS + 4, full=False, merged=False)
    forget_old(place.storage, "f", "events")
    assert numbers(place.storage) == list(range(KEPT_OF_EVENTS + 4, 3, -1))


def test_a_listing_ends_when_another_crawl_gives_its_pass_up(place: Place) -> None:
    with serving(filled(900)) as served:
        settings = place.settings("github", served.url)
        at = place.begin(settings)

        def trouble(number: int, path: str) -> None:
            if number == 3:
                assert give_up(place.storage, "f")

        served.trouble = trouble
        with pytest.raises(PassGivenUp):
            place.lister(settings).list_slice(at, 1)
        assert len(served.requests) == 4
        assert len(place.rows(at)) == 100, "the page that was on its way"
        begin_pass(place.storage, "f", settings, NOW, full=True)
        delete_merged(place.storage, "f")
        assert place.rows(at) == []


def test_pages_that_a_kill_left_of_what_is_given_up_are_deleted(place: Place) -> None:
    storage = place.storage
    first = put(storage, 1, merged=False)
    storage.create(first.given_up, b"{}")
    put(storage, 2, merged=False)
    put(storage, 3, merged=False)
    assert give_up(storage, "f")
    assert [storage.list(each.place.pages(1)) for each in passes(storage, "f")] == [[], [], []]


def test_a_finished_pass_that_cannot_be_read_can_be_given_up(place: Place) -> None:
    storage = place.storage
    put(storage, 1)
    damaged = put(storage, 2)
    put(storage, 3, full=False)
    storage.replace(damaged.manifest(1), b"{")
    assert give_up(storage, "f"), "the next pass is a full one"
    found = {each.place.number: each for each in passes(storage, "f")}
    assert {number: each.given_up for number, each in found.items()} == {3: False, 2: True, 1: False}
    settings = place.settings("github", "http://f")
    at = begin_pass(storage, "f", settings, NOW + timedelta(days=4), full=False)
    assert read_pass(storage, at).begun.since == found[3].begun.begun_at - settings.pager().lag
