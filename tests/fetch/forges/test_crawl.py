"""A forge is listed through our own dialer, page by page; kills and troubles cost a page at most."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.fetch.forges import crawl
from pipeline.fetch.forges.errors import ListedTwice, ListingDeferred, ListingStopped
from pipeline.fetch.forges.passes import complete_before, passes, read_pass
from pipeline.fetch.forges.settings import ForgeSettings
from pipeline.git.page import get_page
from pipeline.model.layout import ForgePass
from pipeline.storage.local import LocalStorage
from tests.support.forges import Forge, Served, response, said, serving
from tests.support.listings import NOW, Killed, Place, kill_after
from tests.support.servers import redirect_to

INSIDE = b'[{"id": 1, "html_url": "x"'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def filled(count: int, sized: int = 100) -> Forge:
    forge = Forge(sized=sized)
    for _ in range(count):
        forge.create()
    return forge


def settings_of(place: Place, kind: str, served: Served) -> ForgeSettings:
    return place.settings(kind, f"{served.url}/2.0/repositories/o" if kind == "bitbucket" else served.url)


def listed(place: Place, at: ForgePass) -> list[int]:
    """The numbers of repositories, which cgit has in their names."""
    return [int(re.findall(r"\d+", row["forge_id"])[-1]) for row in place.rows(at)]


@pytest.mark.parametrize("kind", ["bitbucket", "cgit", "gitea", "github", "gitlab"])
def test_kills_lose_nothing_double_nothing_and_cost_a_request_each(
    kind: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(filled(1_200, sized=20)) as served:
        kill_after(monkeypatch, 25)
        at = place.list_all(settings_of(place, kind, served))
        found = read_pass(place.storage, at)
        assert sorted(listed(place, at)) == sorted(served.forge.repos)
        assert len(served.requests) <= 1.05 * found.progress.pages
    assert found.slices == -(-found.progress.pages // 7)
    assert found.progress.complete


@pytest.mark.long
def test_a_hundred_thousand_repositories(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(filled(100_000)) as served:
        kill_after(monkeypatch, 500)
        at = place.list_all(place.settings("github", served.url), slice_pages=500)
        assert listed(place, at) == sorted(served.forge.repos)
        assert len(served.requests) <= 1.05 * 1001


@pytest.mark.parametrize("kind", ["bitbucket", "cgit", "gitea", "github", "gitlab"])
def test_what_changes_while_it_is_killed_is_listed_all_the_same(
    kind: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_after(monkeypatch, 3)
    forge = filled(600, sized=50)
    throughout = set(forge.repos) - set(range(1, 600, 7))

    def changing(number: int, path: str) -> None:
        gone = 7 * number + 1
        if gone in forge.repos and gone < 600:
            forge.delete(gone)
        if number < 30:
            forge.create()

    with serving(forge, changing) as served:
        at = place.list_all(settings_of(place, kind, served))
    assert throughout <= set(listed(place, at))


def once(answer: bytes, at: int = 2) -> Callable[[int, str], bytes | None]:
    return lambda number, path: answer if number == at else None


def always(answer: bytes) -> Callable[[int, str], bytes | None]:
    return lambda number, path: answer


PASSING = {
    "an error in a 200": said({"message": "Something went wrong", "errors": [{"type": "RATE_LIMITED"}]}),
    "an HTML page": response(b"<html>We are down</html>", kind="text/plain"),
    "truncated JSON": response(INSIDE),
    "a broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    "a 500": response(b"", "500 Oops"),
    "a 502": response(b"", "502 Bad Gateway"),
    "too many items": said([{}] * 101),
    "deep JSON": response(b"[" * 100_000),
    "bytes": response(bytes(range(256))),
}


@pytest.mark.parametrize("kind", ["github", "gitlab"])
@pytest.mark.parametrize("name", PASSING)
def test_a_page_that_goes_wrong_once_is_asked_for_again(name: str, kind: str, place: Place) -> None:
    answer = PASSING[name]

    def trouble(number: int, path: str) -> bytes | None:
        return answer if number == 2 else None

    with serving(filled(60, sized=10), trouble) as served:
        at = place.list_all(place.settings(kind, served.url))
    assert listed(place, at) == sorted(served.forge.repos)
    assert read_pass(place.storage, at).progress.complete
    assert place.pauses == 1


@pytest.mark.parametrize("kind", ["gitea", "github", "gitlab"])
def test_a_server_that_is_down_for_a_moment_costs_no_repository(kind: str, place: Place) -> None:
    def trouble(number: int, path: str) -> bytes | None:
        return response(b"", "502 Bad Gateway") if 2 <= number < 2 + crawl.PATIENCE else None

    with serving(filled(60, sized=10), trouble) as served:
        at = place.list_all(place.settings(kind, served.url))
    assert listed(place, at) == sorted(served.forge.repos)
    assert read_pass(place.storage, at).progress.complete


def test_smaller_pages_skip_nothing_and_are_asked_for_when_no_more_may_be(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl, "MOST_SKIPPED", 0)

    def trouble(number: int, path: str) -> bytes | None:
        return response(b"", "502 Bad Gateway") if "per_page=100" in path else None

    with serving(filled(60), trouble) as served:
        at = place.list_all(place.settings("gitlab", served.url))
        assert listed(place, at) == sorted(served.forge.repos)
        served.trouble = lambda number, path: response(b"", "502 Bad Gateway") if "id_after=0" in path else None
        settings = place.settings("gitlab", served.url)
        with pytest.raises(ListingStopped):
            place.list_all(settings, place.begin(settings, full=True))


def broken(numbers: set[int], served: list[Served]) -> Callable[[int, str], bytes | None]:
    """A forge that cannot show some repositories: each page with one of them is a 500."""

    def trouble(number: int, path: str) -> bytes | None:
        document, _ = served[0].forge.answer(path)
        items = document["data"] if isinstance(document, dict) else document
        return response(b"", "500 Oops") if any(item["id"] in numbers for item in items) else None

    return trouble


@pytest.mark.parametrize("kind", ["gitea", "gitlab"])
def test_a_repository_that_no_page_can_show_costs_only_itself(kind: str, place: Place) -> None:
    serves: list[Served] = []
    with serving(filled(120), broken({40, 41, 97}, serves)) as served:
        serves.append(served)
        at = place.list_all(place.settings(kind, served.url))
    assert set(listed(place, at)) == set(served.forge.repos) - {40, 41, 97}
    progress = read_pass(place.storage, at).progress
    assert progress.skipped == 3
    assert not progress.complete


def test_github_gets_past_an_item_that_its_pages_cannot_show(place: Place) -> None:
    """It cannot be asked for fewer, so its pages begin later; a few neighbours are lost with it."""
    serves: list[Served] = []
    with serving(filled(60, sized=10), broken({25}, serves)) as served:
        serves.append(served)
        at = place.list_all(place.settings("github", served.url))
    lost = set(served.forge.repos) - set(listed(place, at))
    assert 25 in lost
    assert lost <= set(range(21, 36))
    assert not read_pass(place.storage, at).progress.complete


def test_bad_items_are_counted_and_the_others_are_listed(place: Place) -> None:
    def item(number: int, url: str) -> dict[str, Any]:
        return {"id": number, "html_url": url}

    def trouble(number: int, path: str) -> bytes | None:
        url = f"{served.url}/o"
        page = [
            None, "text", {"html_url": f"{url}/no-id"}, {"id": True}, {"id": -4}, {"id": 2**70},
            item(1, f"{url}/a"), item(2, "https://victim.example/b"), item(3, "file:///etc/passwd"),
            item(4, "https://user:secret@forge.example/c"), item(5, f"{url}/d"), item(5, f"{url}/d"),
        ]  # fmt: skip
        return said(page if number == 0 else [])

    with serving(Forge(), trouble) as served:
        at = place.list_all(place.settings("github", served.url))
    assert listed(place, at) == [1, 5]
    assert read_pass(place.storage, at).progress.bad == {
        "bad clone URL": 1, "clone URL of another host": 2, "double": 1, "no id": 4, "no object": 2,
    }  # fmt: skip


def test_links_are_not_followed_wherever_they_lead(place: Place) -> None:
    with serving(filled(30, sized=10)) as served:
        elsewhere = said([], Link='<http://127.0.0.2:1/api/v4/projects>; rel="next"')
        served.trouble = lambda number, path: elsewhere if number == 3 else None
        at = place.list_all(place.settings("gitlab", served.url))
    assert listed(place, at) == sorted(served.forge.repos)
    assert len(served.requests) == 4


def stops(place: Place, settings: ForgeSettings) -> ListingStopped:
    with pytest.raises(ListingStopped) as caught:
        place.list_all(settings)
    return caught.value


def test_a_redirect_to_another_host_ends_the_listing(place: Place) -> None:
    with serving(filled(3)) as served, redirect_to(f"{served.url}/api/v4/projects") as other:
        error = stops(place, place.settings("gitlab", other.url("").rstrip("/")))
    assert (error.forge, error.code) == ("f", "protocol")
    assert "another host" in str(error)
    assert served.requests == []


ENDING = {
    "gone": (response(b"", "410 Gone"), "not_found", False),
    "a login": (response(b"", "401 Unauthorized"), "login_required", False),
    "451": (response(b"", "451 Unavailable"), "blocked_legal", False),
    "a bot wall": (response(b"<title>Just a moment...</title>", "403 No", kind="text/html"), "challenged", False),
    "a page for people": (response(b"<html>Welcome", kind="text/html"), "protocol", False),
    "always 500": (response(b"", "500 Oops"), "server_error", False),
    "always an error in a 200": (said({"message": "no"}), "bad_page", False),
    "nothing but nulls": (said([None] * 5), "bad_page", False),
    "a huge page": (response(b" " * 50_000), "limit_exceeded", False),
    "429": (response(b"", "429 Too Many"), "rate_limited", True),
    "429 for long": (response(b"", "429 Too Many", Retry_After="3600"), "rate_limited", True),
    "403 with a limit": (
        response(b"", "403 Forbidden", X_RateLimit_Remaining="0", X_RateLimit_Reset="60"), "rate_limited", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDING)
def test_what_ends_a_listing_names_forge_and_page_and_is_resumed(name: str, place: Place) -> None:
    answer, code, deferred = ENDING[name]
    with serving(filled(30, sized=10), lambda number, path: answer if number else None) as served:
        settings = place.settings("gitlab", served.url, page_bytes=40_000)
        at = place.begin(settings)
        with pytest.raises(ListingDeferred if deferred else ListingStopped) as caught:
            place.list_all(settings, at)
        assert isinstance(caught.value, ListingDeferred) == deferred
        assert caught.value.code == code
        assert str(caught.value).startswith("f: the ")
        assert "after id" in str(caught.value)
        assert len(served.requests) < 40
        served.trouble = lambda number, path: None
        place.list_all(settings, at)
    assert listed(place, at) == sorted(served.forge.repos)


INDEX = (
    b"<table summary='repository list'><tr><td class='toplevel-repo'><a href='/o/r1.git/'>r</a></td><td>%s</td></tr>"
    b"</table>"
)


def test_html_is_read_where_it_is_expected_and_walls_are_told_from_what_people_write(place: Place) -> None:
    wall = b"<title>Making sure you're not a bot!</title>"
    with serving(Forge()) as served:
        settings = place.settings("cgit", served.url)
        pages = {
            "challenged": response(wall, kind="text/html"),
            "protocol": response(b"<html>Welcome", kind="text/html"),
            "server_error": response(INDEX % b"", "503 No", kind="text/html"),
        }
        for code, page in pages.items():
            served.trouble = always(page)
            assert stops(place, settings).code == code
        served.trouble = always(response(INDEX % wall, kind="text/html"))
        assert listed(place, place.list_all(settings)) == [1]


def test_private_addresses_are_not_asked(place: Place) -> None:
    error = stops(place, place.settings("gitlab", "http://10.0.0.1"))
    assert error.code == "address_refused"


def test_a_host_with_limits_closes_for_everybody(place: Place) -> None:
    """As visits do: the next crawl does not even ask."""
    with serving(filled(30, sized=10), once(response(b"", "429 Too Many", Retry_After="3600"), 1)) as served:
        place.tables = f'[hosts."{served.host}"]\nrequests_per_second = 1000\n'
        settings = place.settings("gitlab", served.url)
        at = place.begin(settings)
        for code in ("host_closed", "host_closed"):
            with pytest.raises(ListingDeferred) as caught:
                place.list_all(settings, at)
            assert caught.value.code == code
    assert len(served.requests) == 2


def test_requests_of_a_night_are_spent_and_what_is_left_is_put_off(place: Place) -> None:
    with serving(filled(60, sized=10)) as served:
        place.tables = f'[hosts."{served.host}"]\nrequests_per_second = 1000\nrequests_per_night = 3\n'
        error = stops(place, place.settings("gitlab", served.url))
    assert isinstance(error, ListingDeferred)
    assert error.code == "requests_spent"
    assert len(served.requests) == 3


def test_a_token_is_sent_to_the_forge_and_shown_to_nobody(place: Place) -> None:
    with serving(filled(3), lambda number, path: response(b"", "401 No") if number else None) as served:
        place.tables = f'[hosts."{served.host}"]\nrequests_per_second = 1000\ntoken_env = "TOKEN"\n'
        error = stops(place, place.settings("gitlab", served.url))
    assert all(b"Authorization: Bearer very-secret-token-1" in head for head in served.heads)
    assert "very-secret" not in f"{error!r} {error}"
    kept = b"".join(path.read_bytes() for path in (place.root / "archive").rglob("*") if path.is_file())
    assert b"very-secret" not in kept


def test_a_forge_that_does_not_end_is_not_believed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(number: int, path: str) -> bytes:
        return said([{"id": number + 1, "html_url": f"{served.url}/o/{number}"}])

    with serving(Forge(), endless) as served:
        error = stops(place, place.settings("github", served.url, most=20))
        assert error.code == "endless"
        assert len(served.requests) == 21
    monkeypatch.setattr(crawl, "MOST_IDLE", 5)
    with serving(Forge(), lambda number, path: said([{"id": number + 1}])) as served:
        settings = place.settings("github", served.url)
        assert stops(place, settings).code == "endless"


def test_two_crawls_of_a_forge_do_not_mix(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(filled(60, sized=10)) as served:
        settings = place.settings("gitlab", served.url)
        at = place.begin(settings)

        def meanwhile(*arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(crawl, "get_page", get_page)
            place.list_all(settings, at)
            return get_page(*arguments, **options)

        monkeypatch.setattr(crawl, "get_page", meanwhile)
        with pytest.raises(ListedTwice):
            place.lister(settings).list_slice(at, 1)
    assert listed(place, at) == sorted(served.forge.repos)


def test_a_stop_before_the_last_manifest_loses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(filled(150)) as served:
        settings = place.settings("github", served.url)
        at = place.begin(settings)
        lister = place.lister(settings)
        monkeypatch.setattr(LocalStorage, "create", killed)
        with pytest.raises(Killed):
            lister.list_slice(at, 1)
        monkeypatch.undo()
        stopped = read_pass(place.storage, at)
        assert (stopped.over, stopped.slices, stopped.progress.next) == (False, 0, None)
        asked = len(served.requests)
        place.list_all(settings, at)
        assert len(served.requests) == asked
    assert listed(place, at) == sorted(served.forge.repos)
    assert read_pass(place.storage, at).over


def killed(*arguments: object) -> None:
    raise Killed


# Passes


def test_a_full_pass_comes_first_then_what_is_new_until_the_full_one_is_old(place: Place) -> None:
    with serving(filled(250)) as served:
        settings = place.settings("github", served.url)
        first = place.list_all(settings)
        served.forge.create()
        second = place.list_all(settings, place.begin(settings, NOW.replace(day=28)))
        assert listed(place, second) == [251]
        third = place.begin(settings, NOW.replace(month=12, day=28))
        assert read_pass(place.storage, third).full
        asked = place.begin(settings, NOW.replace(month=12, day=28), full=True)
    assert [each.full for each in passes(place.storage, "f")] == [True, True, False, True]
    assert complete_before(place.storage, asked, settings) is None, "none is merged"
    assert first.number == 1
    elsewhere = place.begin(place.settings("github", "https://other.example"), NOW)
    assert read_pass(place.storage, elsewhere).full, "another forge has this name now"


@pytest.mark.parametrize(("kind", "hours"), [("gitea", 10), ("gitlab", 2)])
def test_a_pass_looks_back_as_far_as_the_times_of_its_kind_may_lag(kind: str, hours: int, place: Place) -> None:
    """Gitea gives a mirror the time of its newest commit, and fetches it every eight hours."""
    with serving(filled(3)) as served:
        settings = settings_of(place, kind, served)
        place.list_all(settings)
        second = place.begin(settings, NOW + timedelta(days=1))
    assert read_pass(place.storage, second).begun.since == NOW - timedelta(hours=hours)


def test_what_a_pass_skipped_is_looked_for_again(place: Place) -> None:
    serves: list[Served] = []
    bad: set[int] = set()
    with serving(filled(3), broken(bad, serves)) as served:
        serves.append(served)
        settings = place.settings("gitlab", served.url)
        place.list_all(settings)
        served.forge.change(2, changed=NOW)
        bad.add(2)
        second = place.list_all(settings, place.begin(settings, NOW + timedelta(days=1)))
        assert read_pass(place.storage, second).progress.skipped
        third = place.begin(settings, NOW + timedelta(days=2))
    assert read_pass(place.storage, third).begun.since == NOW - timedelta(hours=2)


# Listings of one page


def whole(place: Place, settings: ForgeSettings) -> Iterator[tuple[str, str, str | None]]:
    at = place.list_all(settings)
    yield from ((row["forge_id"], row["url"], row["parent_url"]) for row in place.rows(at))


def test_a_list_of_urls_is_a_forge_as_a_file_or_behind_http(place: Place) -> None:
    lines = b"# ours\nhttps://a.example/r\nhttps://b.example/f https://a.example/r\nnonsense\nhttps://a.example/r/\n"
    (place.root / "list.txt").write_bytes(lines)
    rows = [
        ("https://a.example/r", "https://a.example/r", None),
        ("https://b.example/f", "https://b.example/f", "https://a.example/r"),
    ]
    assert list(whole(place, place.settings("list", f"file://{place.root}/list.txt"))) == rows
    with serving(Forge(), lambda number, path: response(lines, kind="text/plain")) as served:
        assert list(whole(place, place.settings("list", f"{served.url}/list.txt"))) == rows


def test_grokmirror_and_gitweb(place: Place) -> None:
    manifest = {
        "/pub/a.git": {"modified": 1_700_000_000, "fingerprint": "ab" * 20},
        "/pub/b.git": {"reference": "/pub/a.git", "fingerprint": ["x"]},
        "/../c": {},
    }
    index = b"linux/kernel.git A+B\nodd%20one.git C\n\n"
    packed, bomb = (gzip.compress(body) for body in (json.dumps(manifest).encode(), b" " * 100_000))

    def trouble(number: int, path: str) -> bytes:
        body = packed if "manifest" in path else bomb if "bomb" in path else index
        return response(body, kind="application/octet-stream")

    with serving(Forge(), trouble) as served:
        base = served.url
        mirror = place.settings("grokmirror", f"{base}/manifest.js.gz", clones=base)
        assert list(whole(place, mirror)) == [
            ("pub/a.git", f"{base}/pub/a.git", None),
            ("pub/b.git", f"{base}/pub/b.git", f"{base}/pub/a.git"),
        ]
        newest = place.rows(next(passes(place.storage, "f")).place)
        assert [row["fingerprint"] for row in newest] == ["ab" * 20, None]
        web = place.settings("gitweb", f"{base}/?a=project_index", clones=f"{base}/git")
        assert list(whole(place, web)) == [
            ("linux/kernel.git", f"{base}/git/linux/kernel.git", None),
            ("odd one.git", f"{base}/git/odd%20one.git", None),
        ]
        small = place.settings("grokmirror", f"{base}/bomb.js.gz", clones=base, page_bytes=50_000)
        assert stops(place, small).code == "bad_page", "it grows beyond the limit"


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "gitea", "url": "forge.example"},
        {"kind": "gitea", "url": "https://me:secret@forge.example"},
        {"kind": "list", "url": "https://forge.example/raw?private_token=abc"},
        {"kind": "gitea", "url": "file:///etc"},
        {"kind": "list", "url": "file://host/list"},
        {"kind": "gitweb", "url": "https://forge.example/?a=project_index"},
        {"kind": "cvs", "url": "https://forge.example"},
        {"kind": "gitea", "url": "https://forge.example", "only": ["https://*/x"]},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ForgeSettings(**values)
