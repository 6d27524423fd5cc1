"""GitHub's GraphQL says what REST's pages lack, HEAD ids among it; what it cannot say costs no repository."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch.forges import crawl, details
from pipeline.fetch.forges.cursor import BadPage, Cursor, Held
from pipeline.fetch.forges.errors import ListingDeferred, ListingStopped
from pipeline.fetch.forges.passes import read_pass
from pipeline.fetch.forges.settings import ForgeSettings
from pipeline.model.layout import ForgePass
from pipeline.model.listing import Listing
from pipeline.model.page import Page
from tests.support.forges import Forge, Served, Trouble, head_of, response, said, serving
from tests.support.github_graphql import GraphQL
from tests.support.listings import Killed, Place, kill_after, kill_when

HOSTS = {"forge.example"}
MOMENT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def held(count: int = 1) -> list[Held]:
    return [Held(f"R_{n}", Listing(str(n), f"https://forge.example/o/r{n}")) for n in range(1, count + 1)]


def page(document: Any) -> Page:
    return Page({}, document if isinstance(document, bytes) else json.dumps(document).encode())


def node(**values: Any) -> dict[str, Any]:
    return {
        "databaseId": 1, "url": "https://forge.example/o/r1", "isFork": True, "isArchived": True, "isEmpty": False,
        "isMirror": False, "visibility": "INTERNAL", "diskUsage": 3, "pushedAt": "2026-05-04T03:02:01Z",
        "stargazerCount": 5, "licenseInfo": {"spdxId": "MIT"},
        "parent": {"databaseId": 9, "url": "https://forge.example/o/r9"},
        "defaultBranchRef": {"name": "trunk", "target": {"oid": "ab" * 20}},
    } | values  # fmt: skip


def read(**values: Any) -> tuple[Listing, dict[str, int]]:
    """What is read of a node with other values than usual."""
    (listing,), bad = details.answered(page({"data": {"nodes": [node(**values)]}}), held(), HOSTS)
    return listing, bad


WHOLE = Listing(
    "1", "https://forge.example/o/r1", fork=True, parent_id="9", parent_url="https://forge.example/o/r9",
    archived=True, private=True, empty=False, mirror=False, size_bytes=3072, default_branch="trunk", license="MIT",
    stars=5, changed_at=MOMENT, head=bytes.fromhex("ab" * 20),
)  # fmt: skip


def test_a_node_is_read_whole() -> None:
    assert read() == (WHOLE, {})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"defaultBranchRef": None}, {"default_branch": None, "head": None}),
        ({"defaultBranchRef": ["x"]}, {"default_branch": None, "head": None}),
        ({"defaultBranchRef": {"name": "t" * 300, "target": None}}, {"default_branch": None, "head": None}),
        ({"defaultBranchRef": {"name": "trunk", "target": {"oid": "AB" * 20}}}, {"head": None}),
        ({"defaultBranchRef": {"name": "trunk", "target": {"oid": "ab" * 19}}}, {"head": None}),
        ({"defaultBranchRef": {"name": "trunk", "target": {"oid": "ab" * 32}}}, {"head": bytes.fromhex("ab" * 32)}),
        ({"defaultBranchRef": {"name": "trunk", "target": {"oid": ["ab"] * 20}}}, {"head": None}),
        ({"parent": None}, {"parent_id": None, "parent_url": None}),
        ({"parent": {"databaseId": 2**70, "url": "https://forge.example/o/r9"}}, {"parent_id": None}),
        ({"parent": {"databaseId": 9, "url": "https://victim.example/o/r9"}}, {"parent_url": None}),
        ({"parent": [1]}, {"parent_id": None, "parent_url": None}),
        ({"isFork": "yes", "isArchived": 1, "isEmpty": None}, {"fork": None, "archived": None, "empty": None}),
        ({"visibility": "PUBLIC"}, {"private": False}),
        ({"visibility": 7}, {"private": None}),
        ({"diskUsage": 0}, {"size_bytes": None}),
        ({"diskUsage": 2**62}, {"size_bytes": None}),
        ({"diskUsage": -1, "stargazerCount": True}, {"size_bytes": None, "stars": None}),
        ({"pushedAt": "yesterday"}, {"changed_at": None}),
        ({"pushedAt": None, "licenseInfo": "MIT"}, {"changed_at": None, "license": None}),
        ({"databaseId": None, "url": "https://forge.example/o/new"}, {"url": "https://forge.example/o/new"}),
    ],
)
def test_values_that_are_none_are_left_out(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(**values) == (WHOLE._replace(**expected), {})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"databaseId": 2}, "details of another id"),
        ({"databaseId": "1"}, "details of another id"),
        ({"url": None}, "no clone URL"),
        ({"url": "https://victim.example/o/r1"}, "clone URL of another host"),
        ({"url": "https://me:secret@forge.example/o/r1"}, "bad clone URL"),
    ],
)
def test_a_node_that_cannot_be_used_leaves_what_rest_showed(values: dict[str, Any], reason: str) -> None:
    assert read(**values) == (held()[0].listing, {reason: 1})


NOT_FOUND = {"type": "NOT_FOUND", "path": ["nodes", 0], "message": "Could not resolve to a node"}


def test_null_nodes_leave_what_rest_showed() -> None:
    document = {"data": {"nodes": [None, "text", {}]}, "errors": [NOT_FOUND, NOT_FOUND | {"type": "FORBIDDEN"}]}
    listings, bad = details.answered(page(document), held(3), HOSTS)
    assert listings == tuple(each.listing for each in held(3))
    assert bad == {"no details": 1, "no object": 1, "no clone URL": 1}


@pytest.mark.parametrize(
    "document",
    [
        b"", b"<html>", b"[" * 100_000, b"\xff", [], None, {}, {"data": None}, {"data": []}, {"data": {"nodes": None}},
        {"data": {"nodes": {}}}, {"data": {"nodes": []}}, {"data": {"nodes": [None] * 2}},
        {"data": {"nodes": [None]}, "errors": [{"type": "SERVICE_UNAVAILABLE"}]},
        {"data": {"nodes": [None]}, "errors": [NOT_FOUND, {"message": "Something went wrong"}]},
        {"data": {"nodes": [node()]}, "errors": ["?"]},
        {"data": {"nodes": [node()]}, "errors": {"type": "NOT_FOUND"}},
        {"data": {"nodes": [node()]}, "errors": [{"type": ["NOT_FOUND"]}]},
    ],
)  # fmt: skip
def test_what_does_not_answer_the_question_is_no_page(document: Any) -> None:
    with pytest.raises(BadPage):
        details.answered(page(document), held(), HOSTS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(allow_nan=False),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.sampled_from([*node(), "oid", "type"]), each),
    max_leaves=20,
)


@given(JSON, JSON)
def test_whatever_is_in_an_answer_it_is_a_listing_or_no_page(something: Any, errors: Any) -> None:
    answer = page({"data": {"nodes": [something]}, "errors": errors})
    assert details.is_limit(answer) in (True, False)
    with contextlib.suppress(BadPage):
        (listing,), bad = details.answered(answer, held(), HOSTS)
        assert listing.forge_id == "1"
        assert bad or listing.url.startswith("https://forge.example/")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}, True),
        ({"errors": [{"type": "RATE_LIMIT", "code": "graphql_rate_limit"}]}, True),
        ({"message": "You have exceeded a secondary rate limit. Please wait."}, True),
        ({"errors": [{"message": "You have exceeded a secondary rate limit"}], "data": None}, True),
        ({"message": "You have triggered an abuse detection mechanism."}, True),
        ({"message": "Resource not accessible by personal access token"}, False),
        ({"data": {"nodes": []}, "errors": [NOT_FOUND]}, False),
        ({"message": ["secondary rate limit"], "errors": [3, {"type": {}}]}, False),
        ([], False),
        (b"secondary rate limit", False),
    ],
)
def test_limits_are_told_from_other_errors(document: Any, expected: bool) -> None:
    assert details.is_limit(page(document)) is expected


# Passes


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextlib.contextmanager
def github(
    place: Place, count: int, *, sized: int = 100, trouble: Trouble = lambda number, path: None
) -> Iterator[tuple[Served, GraphQL, ForgeSettings]]:
    """A GitHub that has a token of ours; every third of its repositories is a fork of the one before."""
    forge = Forge(sized=sized)
    for number in range(1, count + 1):
        forge.create(parent=number - 1 if number % 3 == 0 else None, archived=number % 5 == 0)
    graphql = GraphQL(forge)

    def questions(document: bytes) -> bytes:
        found = graphql.answer(document)
        return response(b"{}", "502 Bad Gateway") if found is None else said(found)

    with serving(forge, trouble) as served:
        served.questions = questions
        place.tables = f'[hosts."{served.host}"]\nrequests_per_second = 1000\ntoken_env = "TOKEN"\n'
        yield served, graphql, place.settings("github", served.url)


def heads(place: Place, at: ForgePass) -> dict[int, str | None]:
    """The HEAD of each row; each repository has one row."""
    rows = place.rows(at)
    found = {int(row["forge_id"]): row["head"].hex() if row["head"] else None for row in rows}
    assert len(found) == len(rows)
    return found


def all_heads(forge: Forge) -> dict[int, str | None]:
    return {repo.id: head_of(repo) for repo in forge.shown()}


def test_a_pass_lists_what_graphql_says(place: Place) -> None:
    with github(place, 7) as (served, _, settings):
        served.forge.change(7, empty=True)
        at = place.list_all(settings)
        base = served.url
    rows = {int(row["forge_id"]): row for row in place.rows(at)}
    assert {name: value for name, value in rows[6].items() if name not in ("forge_id", "page", "fingerprint")} == {
        "url": f"{base}/o/r6", "fork": True, "parent_id": "5", "parent_url": f"{base}/o/r5", "archived": False,
        "private": False, "empty": False, "mirror": False, "size_bytes": 12_288, "default_branch": "main",
        "license": "MIT", "stars": 3, "changed_at": served.forge.repos[6].changed,
        "head": bytes.fromhex(head_of(served.forge.repos[6])),
    }  # fmt: skip
    assert (rows[5]["archived"], rows[7]["empty"], rows[7]["head"], rows[7]["changed_at"]) == (True, True, None, None)
    assert [path.partition("?")[0] for path in served.requests] == ["/repositories", "/graphql", "/repositories"]
    assert read_pass(place.storage, at).progress.listed == 7


@pytest.mark.parametrize("last", range(1, 8))
def test_a_kill_at_any_request_costs_that_one_and_nothing_else(
    last: int, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_when(monkeypatch, lambda number: number == last)
    with github(place, 250) as (served, _, settings):
        at = place.list_all(settings, slice_pages=3)
    assert heads(place, at) == all_heads(served.forge)
    assert len(served.requests) == 4 + 3 + 1
    progress = read_pass(place.storage, at).progress
    assert (progress.pages, progress.listed, progress.complete) == (7, 250, True)


def test_kills_cost_a_request_each(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_after(monkeypatch, 25)
    with github(place, 1_200, sized=20) as (served, _, settings):
        at = place.list_all(settings)
    assert heads(place, at) == all_heads(served.forge)
    assert len(served.requests) <= 1.05 * read_pass(place.storage, at).progress.pages


def test_without_a_token_or_if_the_configuration_says_so_rest_is_all(place: Place) -> None:
    with github(place, 30) as (_, graphql, settings):
        without = place.list_all(settings.model_copy(update={"details": False}))
        place.tables = ""
        anonymous = place.list_all(settings, place.begin(settings, full=True))
    assert heads(place, without) == heads(place, anonymous) == dict.fromkeys(range(1, 31))
    assert graphql.asked == []


def test_a_token_that_is_gone_loses_details_and_no_repository(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was held for them is listed as REST showed it."""
    with github(place, 30) as (_, _, settings):
        kill_when(monkeypatch, lambda number: number == 2)
        at = place.begin(settings)
        with pytest.raises(Killed):
            place.lister(settings).list_slice(at, 1)
        place.tables = ""
        place.list_all(settings, at)
    assert heads(place, at) == dict.fromkeys(range(1, 31))
    progress = read_pass(place.storage, at).progress
    assert (progress.bad, progress.complete) == ({"no details": 30}, True)


def test_what_is_gone_or_somebody_by_now_is_listed_as_rest_showed_it(place: Place) -> None:
    with github(place, 10) as (served, graphql, settings):
        graphql.hidden, graphql.people = {2, 3}, {5}
        at = place.list_all(settings)
    assert heads(place, at) == all_heads(served.forge) | dict.fromkeys((2, 3, 5))
    progress = read_pass(place.storage, at).progress
    assert (progress.bad, progress.complete) == ({"no clone URL": 1, "no details": 2}, True)
    assert place.pauses == 0


def test_a_repository_that_moves_between_the_two_is_listed_where_it_is(place: Place) -> None:
    def moving(number: int, path: str) -> None:
        if path == "/graphql":
            served.forge.change(4, name="new/name")

    with github(place, 10, trouble=moving) as (served, _, settings):
        at = place.list_all(settings)
    assert {row["url"] for row in place.rows(at) if row["forge_id"] == "4"} == {f"{served.url}/new/name"}


def test_doubles_of_a_page_are_asked_for_once(place: Place) -> None:
    with github(place, 3) as (served, graphql, settings):
        items, _ = served.forge.answer("/repositories?since=0")
        served.trouble = lambda number, path: said(items + items[:2]) if number == 0 else None
        at = place.list_all(settings)
    assert graphql.asked == [3]
    assert heads(place, at) == all_heads(served.forge)
    assert read_pass(place.storage, at).progress.bad == {"double": 2}


def test_large_questions_that_take_too_long_are_halved_at_once(place: Place) -> None:
    with github(place, 100) as (served, graphql, settings):
        graphql.most = 30
        at = place.list_all(settings)
    assert graphql.asked[:4] == [100, 50, 25, 50]
    assert heads(place, at) == all_heads(served.forge)
    assert len(graphql.asked) <= 12
    assert read_pass(place.storage, at).progress.complete


@pytest.mark.parametrize("name", ["slow", "wrong"])
def test_a_repository_with_which_no_question_is_answered_costs_its_own_details(name: str, place: Place) -> None:
    with github(place, 60) as (served, graphql, settings):
        getattr(graphql, name).update({7, 8, 60})
        at = place.list_all(settings)
    assert heads(place, at) == all_heads(served.forge) | dict.fromkeys((7, 8, 60))
    progress = read_pass(place.storage, at).progress
    assert (progress.bad, progress.skipped, progress.complete) == ({"no details": 3}, 0, True)


def only(answer: bytes, *at: int) -> Callable[[int, str], bytes | None]:
    return lambda number, path: answer if number in at else None


ONCE = {
    "502": response(b"", "502 Bad Gateway"),
    "an error in a 200": said({"data": None, "errors": [{"message": "Something went wrong"}]}),
    "no answer": said({"data": {"nodes": []}}),
    "half an answer": response(b'{"data": {"nodes": ['),
    "an HTML page": response(b"<html>Unicorn!</html>", kind="text/plain"),
    "a broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    "a limit in a 200": said({"errors": [{"type": "RATE_LIMITED", "message": "no"}]}, Retry_After="0"),
}


@pytest.mark.parametrize("name", ONCE)
def test_an_answer_that_goes_wrong_once_costs_nothing(name: str, place: Place) -> None:
    with github(place, 20) as (served, _, settings):
        # without limits, a host that asks for a pause is asked again at once
        place.tables = place.tables.replace("requests_per_second", "longest_pause_s = 0\nrequests_per_second")
        served.trouble = only(ONCE[name], 1)
        at = place.list_all(settings)
    assert heads(place, at) == all_heads(served.forge)
    assert read_pass(place.storage, at).progress.bad == {}


LIMITS = {
    "429": response(b"", "429 Too Many", Retry_After="3600"),
    "a secondary limit": said({"message": "You have exceeded a secondary rate limit"}, Retry_After="3600"),
    "403 with a pause": response(b'{"message": "secondary"}', "403 Forbidden", Retry_After="3600"),
    "a limit in a 200": said(
        {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]},
        X_RateLimit_Remaining="0", X_RateLimit_Reset="3600",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_closes_the_host_and_the_pass_goes_on_later(name: str, place: Place, tmp_path: Path) -> None:
    with github(place, 20) as (served, _, settings):
        served.trouble = only(LIMITS[name], 1)
        at = place.begin(settings)
        for _ in range(2):
            with pytest.raises(ListingDeferred) as caught:
                place.list_all(settings, at)
            assert caught.value.code == "host_closed"
        assert len(served.requests) == 2, "nobody asks while it is closed"
        for state in (tmp_path / "hosts").iterdir():
            state.unlink()
        place.list_all(settings, at)
    assert heads(place, at) == all_heads(served.forge)
    assert len(served.requests) == 4


@pytest.mark.parametrize(
    "answer",
    [
        response(b'{"message": "You have exceeded a secondary rate limit."}', "403 Forbidden"),
        said({"errors": [{"type": "RATE_LIMIT", "message": "API rate limit already exceeded"}]}),
    ],
)
def test_a_limit_that_only_the_answer_tells_of_closes_the_host_for_a_minute(
    answer: bytes, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.git.host_turn.PATIENCE_S", 50.0)
    with github(place, 20, trouble=only(answer, 1)) as (served, _, settings):
        with pytest.raises(ListingDeferred, match=r"is left alone for (5[1-9]|60) more seconds"):
            place.list_all(settings)
        assert len(served.requests) == 2


ENDING = {
    "401": (response(b"{}", "401 Unauthorized"), "login_required"),
    "403": (response(b'{"message": "Resource not accessible"}', "403 Forbidden"), "login_required"),
    "404": (response(b"{}", "404 Not Found"), "not_found"),
    "a redirect": (response(b"", "301 Moved", Location="/elsewhere"), "protocol"),
}


@pytest.mark.parametrize("name", ENDING)
def test_what_ends_a_pass_is_named_and_nothing_of_it_is_kept(name: str, place: Place) -> None:
    answer, code = ENDING[name]
    with github(place, 20, trouble=lambda number, path: answer if path == "/graphql" else None) as (
        served, _, settings,
    ):  # fmt: skip
        at = place.begin(settings)
        with pytest.raises(ListingStopped, match=r"the details of [0-9]+ to id 20 could not be listed") as caught:
            place.list_all(settings, at)
        assert caught.value.code == code
        assert len(served.requests) == 2
        served.trouble = lambda number, path: None
        place.list_all(settings, at)
    assert heads(place, at) == all_heads(served.forge)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (response(b"", "502 Bad Gateway"), "server_error"),
        (said({"errors": [{"message": "no"}]}), "bad_page"),
    ],
)
def test_a_forge_that_answers_no_question_stops_each_crawl_soon(
    answer: bytes, code: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, tries = 4, crawl.PATIENCE + 1
    monkeypatch.setattr(crawl, "MOST_UNANSWERED", most)
    with github(place, 100, trouble=lambda number, path: answer if path == "/graphql" else None) as (
        served, _, settings,
    ):  # fmt: skip
        at = place.begin(settings)
        for crawled in (1, 2):
            with pytest.raises(ListingStopped, match=r"the details of 1 to id 100 could not be listed") as caught:
                place.list_all(settings, at, slice_pages=500)
            assert caught.value.code == code
            assert len(place.rows(at)) == crawled * (most - 1)
        assert len(served.requests) == 1 + len((100, 50, 25, 12, 6, 3)) + 2 * most * tries
        served.trouble = lambda number, path: None
        place.list_all(settings, at)
    without = range(1, 2 * most - 1)
    assert heads(place, at) == all_heads(served.forge) | dict.fromkeys(without)
    progress = read_pass(place.storage, at).progress
    assert (progress.bad, progress.skipped, progress.complete) == ({"no details": len(without)}, 0, True)


def test_many_in_a_row_with_which_no_question_is_answered_do_not_keep_a_pass(place: Place) -> None:
    with github(place, 60) as (served, graphql, settings):
        graphql.slow = {*range(1, 10), *range(30, 50)}
        at, crawls = place.begin(settings), 0
        while not read_pass(place.storage, at).over:
            crawls += 1
            with contextlib.suppress(ListingStopped):
                place.list_all(settings, at, slice_pages=500)
    assert crawls == 3, "nine in a row stop none, and of 20 each crawl passes nine"
    assert heads(place, at) == all_heads(served.forge) | dict.fromkeys(graphql.slow)
    assert max(place.waited) > crawl.PATIENCE, "more in a row, longer pauses"


def test_what_no_question_is_answered_about_is_not_skipped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawl, "MOST_SKIPPED", 0)
    with github(place, 20) as (served, graphql, settings):
        graphql.slow = {7}
        at = place.list_all(settings)
    assert heads(place, at) == all_heads(served.forge) | {7: None}


def test_questions_stay_as_large_as_can_be_answered(place: Place) -> None:
    with github(place, 500) as (served, graphql, settings):
        graphql.most = 30
        at = place.list_all(settings)
    assert graphql.asked[:3] == [100, 50, 25]
    assert max(graphql.asked[3:]) == 50
    assert heads(place, at) == all_heads(served.forge)


@pytest.mark.parametrize(("name", "pauses"), [("wrong", []), ("slow", [1] * 5)])
def test_before_half_a_question_there_is_a_short_pause_or_none(name: str, pauses: list[int], place: Place) -> None:
    """None where the answer was no answer, and a short one where the server failed."""
    with github(place, 32) as (_, graphql, settings):
        getattr(graphql, name).add(1)
        place.list_all(settings)
    assert place.waited == [*pauses, 1, 2, 3, 4]


def test_no_details_are_asked_for_where_the_token_would_be_sent_in_the_clear(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = Forge("http://forge.example")
    forge.create()

    def answer(url: str, *arguments: Any, **options: Any) -> Page:
        return page(forge.answer(url)[0])

    monkeypatch.setattr(crawl, "get_page", answer)
    place.tables = '[hosts."forge.example"]\ntoken_env = "TOKEN"\n'
    at = place.list_all(place.settings("github", forge.base))
    assert heads(place, at) == {1: None}
    asked: list[str] = []

    def note(url: str, *arguments: Any, **options: Any) -> Page:
        asked.append(url)
        return page({"data": {"nodes": [None]}})

    monkeypatch.setattr(crawl, "post_page", note)
    forge.base = "https://forge.example"
    safe = place.settings("github", forge.base)
    place.list_all(safe, place.begin(safe, full=True))
    assert asked == ["https://forge.example/graphql"]


def test_a_cursor_keeps_what_is_held() -> None:
    cursor = Cursor(seen=7, size=100, held=tuple(held(3)), asks=2)
    assert Cursor.model_validate_json(cursor.model_dump_json()) == cursor
    pager = ForgeSettings(kind="github", url="https://forge.example").pager(has_token=True)
    assert pager.where(cursor) == "the details of 2 to id 7"
    earlier = Cursor.model_validate_json(cursor.model_dump_json(exclude={"asks"}))
    assert pager.where(earlier) == "the details of 3 to id 7"
