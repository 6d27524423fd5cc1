"""What is posted to a forge's interface: to its host alone, once, within limits, and shown to nobody."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.git.errors import (
    AddressRefused,
    Challenged,
    ConnectionLost,
    LimitExceeded,
    LoginRequired,
    ProtocolError,
    RateLimited,
    RepositoryNotFound,
    SchemeRefused,
    ServerError,
)
from pipeline.git.host_file import HostFile
from pipeline.git.page import MOST_POSTED, post_page
from pipeline.model.page import Page
from pipeline.rules.host_state import HostState
from tests.support.forges import Forge, Served, response, said, serving
from tests.support.listings import Place

QUESTION = b'{"query": "a question"}'
SECRET = "very-secret-token-1"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def served(place: Place) -> Iterator[Served]:
    with serving(Forge()) as served:
        place.tables = f'[hosts."{served.host}"]\nrequests_per_second = 1000\ntoken_env = "TOKEN"\n'
        yield served


def posted(place: Place, url: str, document: bytes = QUESTION, *, limit: bytes = b"too much") -> Page:
    conditions = place.lister(place.settings("github", "https://forge.example")).conditions
    return post_page(url, document, conditions, largest=2_000, is_limit=lambda page: limit in page.body)


def test_a_document_is_posted_with_the_token_and_answered(place: Place, served: Served) -> None:
    asked: list[bytes] = []

    def answer(document: bytes) -> bytes:
        asked.append(document)
        return said({"data": 1}, X_Name="v")

    served.questions = answer
    page = posted(place, f"{served.url}/graphql")
    assert (page.body, page.headers["x-name"]) == (b'{"data": 1}', "v")
    assert asked == [QUESTION]
    (head,) = served.heads
    assert head.startswith(b"POST /graphql HTTP/1.1\r\n")
    for line in (
        b"Content-Type: application/json",
        b"User-Agent: git/test",
        f"Authorization: Bearer {SECRET}".encode(),
    ):
        assert line + b"\r\n" in head


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_no_redirect_is_followed_not_even_to_the_same_host(status: str, place: Place, served: Served) -> None:
    with serving(Forge()) as other:
        for target in (f"{other.url}/graphql", f"{served.url}/other"):
            answer = response(b"", status, Location=target)
            served.questions = lambda document, answer=answer: answer
            with pytest.raises(ProtocolError, match="redirects what was posted"):
                posted(place, f"{served.url}/graphql")
        assert other.requests == []
    assert served.requests == ["/graphql"] * 2


def test_a_lost_answer_is_not_asked_for_again(place: Place, served: Served) -> None:
    def hang_up(document: bytes) -> bytes:
        raise ConnectionResetError

    served.questions = hang_up
    with pytest.raises(ConnectionLost):
        posted(place, f"{served.url}/graphql")
    assert served.requests == ["/graphql"]


BOMB = gzip.compress(b" " * 1_000_000)
ANSWERS = {
    "a limit in a 200": (said({"message": "too much"}), RateLimited),
    "a limit in a 403": (response(b"too much", "403 Forbidden"), RateLimited),
    "429": (response(b"", "429 Too Many"), RateLimited),
    "another 403": (response(b"{}", "403 Forbidden"), LoginRequired),
    "401": (response(b"{}", "401 Unauthorized"), LoginRequired),
    "404": (response(b"{}", "404 Not Found"), RepositoryNotFound),
    "502": (response(b"too much", "502 Bad Gateway"), ServerError),
    "a long answer": (response(b" " * 2_001), LimitExceeded),
    "a long refusal": (response(b" " * 2_001, "403 Forbidden"), LimitExceeded),
    "a bomb": (response(BOMB, Content_Encoding="gzip"), LimitExceeded),
    "no gzip": (response(b"text", Content_Encoding="gzip"), ProtocolError),
    "a bot wall": (response(b"<title>Just a moment...</title>", "403 No", kind="text/html"), Challenged),
    "a page for people": (response(b"<html>too much", kind="text/html"), ProtocolError),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_answer_is_an_error_that_shows_neither_token_nor_document(
    name: str, place: Place, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    answer, kind = ANSWERS[name]
    served.trouble = lambda number, path: answer
    place.tables = place.tables.replace("requests_per_second", "longest_pause_s = 0\nrequests_per_second")
    with caplog.at_level(0), pytest.raises(kind) as caught:
        posted(place, f"{served.url}/graphql")
    shown = f"{caught.value} {caught.value!r} {caplog.text}"
    assert SECRET not in shown
    assert "a question" not in shown
    assert len(served.requests) == 1


def state_of(place: Place, host: str, change: Callable[[HostState], HostState] = lambda state: state) -> HostState:
    """What is known of a host, and is changed then."""
    file = HostFile(place.root / "hosts", host)
    try:
        return file.change(lambda state, now: (change(state), state))
    finally:
        file.close()


def test_limits_in_a_row_that_only_answers_tell_of_double_the_pause(place: Place, served: Served) -> None:
    served.trouble = lambda number, path: said({"message": "too much"})
    pauses = []
    for closings in (1, 2, 3):
        before = time.time()
        with pytest.raises(RateLimited):
            posted(place, f"{served.url}/graphql")
        state = state_of(place, served.host, lambda state: state._replace(closed_until=time.time()))
        assert state.closings == closings
        pauses.append(state.closed_until - before)
    for pause, expected in zip(pauses, (60, 120, 240), strict=True):
        assert expected <= pause < expected + 30
    served.trouble = lambda number, path: said({"data": 1})
    posted(place, f"{served.url}/graphql")
    assert state_of(place, served.host).closings == 0


def test_a_half_open_host_is_open_when_the_answer_is_judged(place: Place, served: Served) -> None:
    conditions = place.lister(place.settings("github", "https://forge.example")).conditions
    state_of(place, served.host, lambda state: state._replace(closings=2, seen_at=time.time()))
    judged: list[HostState] = []

    def judge(page: Page) -> bool:
        judged.append(state_of(place, served.host))
        return False

    served.questions = lambda document: said({"data": 1})
    post_page(f"{served.url}/graphql", QUESTION, conditions, largest=2_000, is_limit=judge)
    assert judged[0].closings == 2
    assert judged[0].probe_until > time.time(), "others wait for the answer"
    after = state_of(place, served.host)
    assert (after.closings, after.probe_until) == (0, 0)


@pytest.mark.parametrize(
    "answer",
    [response(b"", "502 Bad Gateway"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"],
)
def test_another_answer_or_half_of_one_opens_a_half_open_host(answer: bytes, place: Place, served: Served) -> None:
    served.trouble = lambda number, path: answer
    state_of(place, served.host, lambda state: state._replace(closings=2, seen_at=time.time()))
    with pytest.raises((ServerError, ConnectionLost)):
        posted(place, f"{served.url}/graphql")
    assert state_of(place, served.host).closings == 0


def test_a_limit_in_an_answer_is_as_long_as_its_headers_say(place: Place, served: Served) -> None:
    served.trouble = lambda number, path: said({"message": "too much"}, Retry_After="7")
    with pytest.raises(RateLimited):
        posted(place, f"{served.url}/graphql")
    assert 0 < state_of(place, served.host).closed_until - time.time() <= 7


def test_a_full_answer_may_ask_for_a_pause(place: Place, served: Served) -> None:
    served.trouble = lambda number, path: said({"data": 1}, X_RateLimit_Remaining="0", X_RateLimit_Reset="90")
    posted(place, f"{served.url}/graphql")
    assert 60 < state_of(place, served.host).closed_until - time.time() <= 90


def test_what_may_not_be_posted_is_not(place: Place, served: Served) -> None:
    with pytest.raises(LimitExceeded, match="a question exceeds"):
        posted(place, f"{served.url}/graphql", b" " * (MOST_POSTED + 1))
    with pytest.raises(AddressRefused):
        posted(place, "http://10.0.0.1/graphql")
    with pytest.raises(SchemeRefused):
        posted(place, "file:///etc/passwd")
    assert served.requests == []
