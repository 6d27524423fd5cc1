"""Hours of events are read once each, through our own dialer; what is not there holds up nobody."""

from __future__ import annotations

import gzip
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.fetch.forges import hour_lister
from pipeline.fetch.forges.crawl import MOST_LIMITED, PATIENCE
from pipeline.fetch.forges.errors import ListingDeferred, ListingStopped
from pipeline.fetch.forges.giving_up import give_up
from pipeline.fetch.forges.hour_lister import MOST_DOWN, HourLister
from pipeline.fetch.forges.hours import LATE_HOURS, hour_of, hours_to_ask, name_of
from pipeline.fetch.forges.pages import Progress
from pipeline.fetch.forges.passes import begin_pass, read_pass
from pipeline.fetch.forges.settings import ForgeSettings, ForgesSection
from pipeline.git import page
from pipeline.git.page import save_file
from pipeline.model.layout import ForgePass
from tests.support.forges import response
from tests.support.hours import CLONES, Hours, day, event, serving_hours, url_name
from tests.support.listings import Killed, Place

NOW = day(24, 20)
DOWN = response(b"", "502 Bad Gateway")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def served() -> Iterator[Hours]:
    with serving_hours() as found:
        yield found


def settings_of(place: Place, served: Hours, **values: Any) -> ForgeSettings:
    return place.settings("events", served.url, **({"clones": CLONES, "hours": 6} | values))


def crawl(place: Place, settings: ForgeSettings, now: datetime, at: ForgePass | None = None) -> ForgePass:
    """A pass, begun again after each kill."""
    at = at or begin_pass(place.storage, "f", settings, now, full=False)
    while not (found := read_pass(place.storage, at)).over:
        try:
            lister(place, settings).list_slice(at, found.slices + 1)
        except Killed:
            continue
    return at


def lister(place: Place, settings: ForgeSettings) -> HourLister:
    plain = place.lister(settings)
    return HourLister(plain.storage, plain.scratch, settings, plain.conditions, plain.pause, plain.slice_pages)


def named(place: Place, at: ForgePass) -> list[tuple[str, str, datetime]]:
    return [(row["forge_id"], row["url"], row["changed_at"]) for row in place.rows(at)]


def fill(served: Hours, first: int, last: int) -> None:
    for hour in range(first, last + 1):
        served.put(day(hour), event(hour + 1, f"o/r{hour}", day(hour, 30)))


def asked(served: Hours) -> list[str]:
    found, served.requests = served.requests, []
    return found


def paths(*hours: int) -> list[str]:
    return [url_name(day(hour)) for hour in hours]


def test_each_hour_is_asked_for_once_whatever_is_killed(
    place: Place, served: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = Counter[str]()

    def killed(*arguments: Any, **options: Any) -> None:
        save_file(*arguments, **options)
        asks["hours"] += 1
        if asks["hours"] % 3 == 0:
            raise Killed

    monkeypatch.setattr(hour_lister, "save_file", killed)
    fill(served, 0, 30)
    settings = settings_of(place, served)
    at = crawl(place, settings, NOW)
    assert sorted(named(place, at)) == [(str(hour + 1), f"{CLONES}/o/r{hour}", day(hour, 30)) for hour in range(18, 24)]
    assert sorted(set(asked(served))) == sorted(paths(*range(18, 24)))
    assert list((place.root / "scratch").iterdir()) == []
    later = crawl(place, settings, day(27, 1))
    assert [row[1][-3:] for row in named(place, later)] == ["r24", "r25", "r26"]
    assert sorted(set(asked(served))) == sorted(paths(24, 25, 26))
    again = crawl(place, settings, day(27, 59))
    assert (named(place, again), asked(served)) == ([], [])
    assert [row[1][-3:] for row in named(place, crawl(place, settings, day(28)))] == ["r27"], "nothing is forgotten"


def test_an_hour_that_is_late_is_asked_for_again_and_one_that_never_comes_is_lost(
    place: Place, served: Hours, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = settings_of(place, served, hours=40)
    fill(served, -20, 60)
    missing = {hour: served.files.pop(url_name(day(hour))) for hour in (-2, 10, 20, 23)}
    progress = read_pass(place.storage, crawl(place, settings, NOW)).progress
    assert (progress.listed, progress.skipped, progress.pages) == (36, 1, 40), "that of more than a day ago is lost"
    assert f"f: the hour {name_of(hour_of(day(-2)))} is lost (not_found)" in caplog.text
    assert progress.late == tuple(hour_of(day(hour)) for hour in (10, 20, 23))
    asked(served)
    served.files[url_name(day(20))] = missing[20]
    at = crawl(place, settings, day(25, 1))
    assert [row[1][-3:] for row in named(place, at)] == ["r20", "r24"]
    assert asked(served) == paths(10, 20, 23, 24)
    last = read_pass(place.storage, crawl(place, settings, day(11 + LATE_HOURS))).progress
    assert (last.late, last.skipped) == ((hour_of(day(23)),), 1)
    assert crawl(place, settings, day(24 + LATE_HOURS)) is not None
    asked(served)
    crawl(place, settings, day(25 + LATE_HOURS))
    assert asked(served) == paths(24 + LATE_HOURS)


def test_hours_of_long_ago_are_passed_over_and_counted(place: Place, served: Hours) -> None:
    fill(served, 0, 200)
    settings = settings_of(place, served)
    crawl(place, settings, NOW)
    asked(served)
    at = crawl(place, settings, day(100))
    assert asked(served) == paths(*range(94, 100))
    assert read_pass(place.storage, at).progress.skipped == 70


def test_after_a_clock_that_was_wrong_hours_are_asked_for_as_at_first(place: Place, served: Hours) -> None:
    fill(served, 0, 30)
    settings = settings_of(place, served)
    crawl(place, settings, datetime(2099, 1, 1, tzinfo=UTC))
    asked(served)
    crawl(place, settings, NOW)
    assert asked(served) == paths(*range(18, 24))


def test_what_was_given_up_is_read_again_and_so_is_all_that_is_looked_back_if_asked(
    place: Place, served: Hours
) -> None:
    fill(served, 0, 40)
    settings = settings_of(place, served)
    crawl(place, settings, NOW)
    give_up(place.storage, "f")
    asked(served)
    crawl(place, settings, day(25))
    assert asked(served) == paths(*range(19, 25))
    crawl(place, settings, day(26), begin_pass(place.storage, "f", settings, day(26), full=True))
    assert asked(served) == paths(*range(20, 26))


UNREADABLE = {
    "not gzip": response(b"\x1f\x8bnothing"),
    "cut short": response(gzip.compress(b"x" * 999)[:-9]),
    "too large": response(b"x" * 3_000),
    "a bomb": response(gzip.compress(b" " * 40_000)),
    "a broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    "a 500": response(b"", "500 Oops"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_hour_that_cannot_be_read_holds_up_no_other(name: str, place: Place, served: Hours) -> None:
    fill(served, 18, 24)
    bad = url_name(day(20))
    served.trouble = lambda number, path: UNREADABLE[name] if path == bad else None
    settings = settings_of(place, served, hour_bytes=2_000)
    progress = read_pass(place.storage, crawl(place, settings, NOW)).progress
    assert (progress.listed, progress.late, progress.skipped) == (5, (hour_of(day(20)),), 0)
    assert Counter(asked(served))[bad] == (1 + PATIENCE if name.startswith("a ") and name != "a bomb" else 1)
    served.trouble = lambda number, path: None
    assert len(named(place, crawl(place, settings, day(25)))) == 2
    assert list((place.root / "scratch").iterdir()) == []


def test_an_hour_that_comes_too_slowly_is_asked_for_once(
    place: Place, served: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(served, 18, 24)
    slow, usual_s = url_name(day(20)), page.FILE_S

    def in_time(url: str, *arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(page, "FILE_S", 0.5 if url.endswith(slow) else usual_s)
        save_file(url, *arguments, **options)

    monkeypatch.setattr(hour_lister, "save_file", in_time)
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"
    served.trouble = lambda number, path: half if path == slow else None
    progress = read_pass(place.storage, crawl(place, settings_of(place, served), NOW)).progress
    assert (progress.listed, progress.late) == (5, (hour_of(day(20)),))
    assert Counter(asked(served))[slow] == 1


def test_a_server_that_is_down_stops_the_crawl_and_costs_no_hour(place: Place, served: Hours) -> None:
    fill(served, 0, 40)
    settings = settings_of(place, served, hours=20)
    at = begin_pass(place.storage, "f", settings, NOW, full=False)
    served.trouble = lambda number, path: DOWN
    with pytest.raises(ListingStopped) as caught:
        crawl(place, settings, NOW, at)
    assert str(caught.value).startswith(f"f: the hour {name_of(hour_of(day(4 + MOST_DOWN)))} could not be listed")
    assert len(asked(served)) == (1 + PATIENCE) * (1 + MOST_DOWN)
    served.trouble = lambda number, path: None
    crawl(place, settings, NOW, at)
    late = crawl(place, settings, day(24, 50))
    assert len({row[1] for row in (*named(place, at), *named(place, late))}) == 20


def test_pauses_and_limits_of_the_host_are_kept_to(place: Place, served: Hours) -> None:
    fill(served, 0, 40)
    host = served.url.removeprefix("http://")
    place.tables = f'[hosts."{host}"]\nrequests_per_second = 1000\nrequests_per_night = 3\n'
    settings = settings_of(place, served)
    at = begin_pass(place.storage, "f", settings, NOW, full=False)
    with pytest.raises(ListingDeferred) as caught:
        crawl(place, settings, NOW, at)
    assert (caught.value.code, len(served.requests)) == ("requests_spent", 3)
    place.tables = ""
    crawl(place, settings, NOW, at)
    assert asked(served) == paths(*range(18, 24))


def test_a_short_pause_is_waited_for_and_one_without_end_is_put_off(place: Place, served: Hours) -> None:
    fill(served, 18, 24)
    limit = response(b"", "429 Too Many", Retry_After="0")
    served.trouble = lambda number, path: limit if number in (1, 2) else DOWN if number == 3 else None
    assert len(named(place, crawl(place, settings_of(place, served), NOW))) == 6
    denied = response(b"", "401 Unauthorized")
    served.trouble = lambda number, path: limit if number == 9 else denied
    with pytest.raises(ListingStopped, match=r"login_required"):
        crawl(place, settings_of(place, served), day(25))
    served.trouble = lambda number, path: limit
    with pytest.raises(ListingDeferred, match=r"rate_limited"):
        crawl(place, settings_of(place, served), day(25))
    assert len(asked(served)) == 9 + 2 + 1 + MOST_LIMITED


def test_private_addresses_are_not_asked_and_redirects_elsewhere_are_not_followed(place: Place, served: Hours) -> None:
    for settings in (place.settings("events", "http://10.0.0.1", clones=CLONES), settings_of(place, served)):
        served.trouble = lambda number, path: response(b"", "302 Found", Location="http://localhost:1/x")
        at = begin_pass(place.storage, "f", settings, NOW, full=False)
        with pytest.raises(ListingStopped) as caught:
            crawl(place, settings, NOW, at)
        assert caught.value.code in ("address_refused", "protocol")


def test_names_lead_to_the_forge_of_the_clones_only(place: Place, served: Hours) -> None:
    names = ["o/../../x", "//victim.example/x", "@victim.example/x", "o/a?b", "o/" + "x" * 300, "o/b.git", ""]
    served.put(day(23), *(event(number, name, day(23)) for number, name in enumerate(names, 1)))
    at = crawl(place, settings_of(place, served, hours=1), NOW)
    assert sorted(row[1] for row in named(place, at)) == [
        f"{CLONES}/%40victim.example/x", f"{CLONES}/o/a%3Fb", f"{CLONES}/o/b.git", f"{CLONES}/victim.example/x",
    ]  # fmt: skip
    assert read_pass(place.storage, at).progress.bad == {"bad path": 1, "no repository": 2}


def test_hours_to_ask() -> None:
    end = hour_of(NOW)
    known = Progress(next=None, highest=end - 4, late=(end - 9, end - 6))
    cursor = hours_to_ask(known, NOW, 8)
    assert (cursor.hours, cursor.jumps) == ((end - 6, end - 3, end - 2, end - 1), 1)
    assert hours_to_ask(known.model_copy(update={"highest": end - 1, "late": ()}), NOW, 8).hours == ()
    assert hours_to_ask(None, NOW + timedelta(minutes=39, seconds=59), 1).hours == (end - 1,)


def test_what_is_configured_fits_together() -> None:
    for bad in ({}, {"clones": CLONES, "ids_of": "other"}, {"clones": CLONES, "hours": 0}):
        with pytest.raises(ValueError, match=r"clones|ids_of|hours"):
            ForgesSection.model_validate({"e": {"kind": "events", "url": CLONES} | bad})
    with pytest.raises(ValueError, match="ids_of is for events"):
        ForgeSettings(kind="github", url=CLONES, ids_of="e")
