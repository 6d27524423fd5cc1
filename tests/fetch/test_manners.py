"""Hosts are asked for no more than the configuration allows, whoever asks, and are left alone when they say so."""

from __future__ import annotations

import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from pipeline.context.config import Config, load_config
from pipeline.fetch import crew
from pipeline.fetch.bucket import read_manifest
from pipeline.git import host_turn
from pipeline.git.conditions import NamelessCrawl
from pipeline.git.host_turn import PATIENCE_S
from pipeline.model.pattern import OptOuts, Pattern
from pipeline.rules import host_state
from pipeline.rules.host_state import MOST_UNANSWERED
from tests.fetch.archive import BUCKET, LIMITS, Archive, Night
from tests.fetch.test_questions import ask, fetch_asked
from tests.support.nobody import nobody
from tests.support.referee import Referee, referee, status
from tests.support.servers import redirect_to

ROOT = Path(__file__).parents[2]
LONG = f"Retry-After: {3 * PATIENCE_S:.0f}"


def config(archive: Archive, tables: str, **fetch: object) -> Path:
    keys = {"scratch": str(archive.scratch), "allowed_networks": ["127.0.0.0/8"], "user_agent": "git/test", **fetch}
    lines = "\n".join(f"{key} = {value!r}" for key, value in keys.items())
    path = archive.root / "config.toml"
    path.write_text(f"[fetch]\n{lines}\n{tables}\n")
    return path


def table(server: Referee | str, **keys: object) -> str:
    host = server if isinstance(server, str) else server.host
    lines = "\n".join(f"{key} = {value!r}" for key, value in keys.items())
    return f'[hosts."{host}"]\n{lines}\n'


def fetch(archive: Archive, tables: str, urls: Sequence[str], environment: dict[str, str] | None = None) -> Night:
    settings: Config = load_config(config(archive, tables)).with_tokens(environment or {})
    night = archive.fetch_only(archive.plan(*urls), conditions=settings.conditions)
    archive.publish(night)
    return night


def endings(night: Night) -> Counter[tuple[str, str | None]]:
    return Counter((str(visit.status), visit.error) for visit in night.visits)


WELL = ("full", None)
PER_SECOND, AT_ONCE, PER_NIGHT, HOSTS = 6, 4, 60, 2


def start(archive: Archive, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.fetch.crawl_child", str(archive.root), str(path)]
    return subprocess.Popen(command, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_crawl_hosts_with_four_processes_each_are_never_over_the_limits(tmp_path: Path) -> None:
    """Each is killed and started again while it crawls. The server counts by its own clock.

    A request may arrive late, but only one of each conversation: so many arrive at once at most beyond the rate, and
    the first of each host.
    """
    with referee() as server, ExitStack() as stack:
        limits = {"concurrency": AT_ONCE, "requests_per_second": PER_SECOND, "requests_per_night": PER_NIGHT}
        archives = [Archive(tmp_path / f"host{number}") for number in range(HOSTS)]
        for number, archive in enumerate(archives):
            archive.root.mkdir()
            archive.plan(*server.urls(20, f"h{number}-"))
        paths = [config(archive, table(server, **limits), crawl_hosts=HOSTS) for archive in archives]

        def run() -> list[subprocess.Popen[bytes]]:
            return [stack.enter_context(start(*place)) for place in zip(archives, paths, strict=True)]

        for seen in (6, 14):
            running = run()
            server.wait_for(seen)
            for process in running:
                process.kill()
                process.wait()
        assert [process.wait(600) for process in run()] == [0] * HOSTS
        nights = [
            Night(archive.storage, read_manifest(archive.storage, archive.next_load(), BUCKET)) for archive in archives
        ]
        assert len(server.times) <= PER_NIGHT
        assert len(server.times) > PER_NIGHT / 2
        assert server.most_at_once <= AT_ONCE
        assert server.most_beyond(PER_SECOND) <= AT_ONCE + HOSTS
        for night in nights:
            assert set(endings(night)) == {WELL, ("deferred", "requests_spent")}
            assert len(night.visits) == 20


def test_a_host_without_a_table_is_this_machine_and_has_no_limits(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with referee() as server:
        assert endings(fetch(archive, "[hosts.default]\nrequests_per_second = 0.001", server.urls(4))) == {WELL: 4}
    assert archive.left_in_scratch() == []


def test_what_is_deferred_is_visited_the_next_night(tmp_path: Path) -> None:
    archive = Archive(tmp_path, concurrency=1)
    with referee() as server:
        tables = table(server, concurrency=1, requests_per_second=1000, requests_per_night=9)
        first = fetch(archive, tables, server.urls(5))
        second = fetch(archive, tables, server.urls(5))
        third = fetch(archive, tables, server.urls(5))
    assert endings(first) == {WELL: 3, ("deferred", "requests_spent"): 2}
    assert first.manifest.visits.failed == ()
    assert endings(second) == {("unchanged", None): 3, WELL: 1, ("deferred", "requests_spent"): 1}
    assert endings(third) == {("unchanged", None): 4, ("deferred", "requests_spent"): 1}
    assert len(server.times) == 27


@pytest.mark.parametrize("asks", ["seconds", "a date", "rate-limit headers"])
def test_a_host_that_wants_a_pause_gets_it(asks: str, tmp_path: Path) -> None:
    headers = {
        "seconds": [LONG],
        "a date": [f"Retry-After: {formatdate(time.time() + 3600, usegmt=True)}"],
        "rate-limit headers": ["X-RateLimit-Remaining: 0", f"X-RateLimit-Reset: {time.time() + 3600:.0f}"],
    }[asks]
    archive = Archive(tmp_path, concurrency=1)
    with referee(lambda number: status(429, *headers) if number == 3 else None) as server:
        tables = table(server, requests_per_second=1000)
        night = fetch(archive, tables, server.urls(5))
        later = fetch(archive, tables, server.urls(5))
    assert endings(night) == {WELL: 1, ("deferred", "rate_limited"): 1, ("deferred", "host_closed"): 3}
    assert len(server.times) == 4
    assert set(endings(later)) == {("deferred", "host_closed")}, "in a new process, too"


def test_an_answer_that_spends_the_last_request_is_used_and_closes(tmp_path: Path) -> None:
    none_left = ("RateLimit-Remaining: 0", "RateLimit-Reset: 3000")
    archive = Archive(tmp_path, concurrency=1)
    with referee(lambda number: status(404, *none_left)) as server:
        night = fetch(archive, table(server), server.urls(3))
    assert endings(night) == {("not_found", "not_found"): 1, ("deferred", "host_closed"): 2}


def test_a_short_pause_is_waited_for(tmp_path: Path) -> None:
    archive = Archive(tmp_path, concurrency=2)
    with referee(lambda number: status(429, "Retry-After: 1") if number == 3 else None) as server:
        night = fetch(archive, table(server, requests_per_second=1000), server.urls(4))
    assert endings(night)["deferred", "rate_limited"] == 1
    assert endings(night)[WELL] == 3
    assert server.times[-1] - server.times[3] >= 0.9, "measured where it arrives, as it was asked for"


def test_a_pause_is_capped(tmp_path: Path) -> None:
    archive = Archive(tmp_path, concurrency=1)
    with referee(lambda number: status(429, "Retry-After: 99999999") if number == 0 else None) as server:
        night = fetch(archive, table(server, longest_pause_s=0.5), server.urls(3))
    assert endings(night) == {("deferred", "rate_limited"): 1, WELL: 2}


def test_503_closes_a_host_and_one_request_probes_it(tmp_path: Path) -> None:
    archive = Archive(tmp_path, concurrency=4)
    with referee(lambda number: status(503, "Retry-After: 1") if number == 0 else None) as server:
        night = fetch(archive, table(server, concurrency=4, requests_per_second=1000), server.urls(5))
    assert endings(night)["failed", "server_error"] == 1
    assert endings(night)[WELL] == 4


def test_a_host_that_nobody_reaches_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_state, "STRIKE_EVERY_S", 0)
    archive = Archive(tmp_path, concurrency=1)
    with nobody() as peer:
        urls = [f"git://127.0.0.1:{peer.port}/{number}.git" for number in range(9)]
        night = fetch(archive, table(f"127.0.0.1:{peer.port}", requests_per_second=1000), urls)
    assert endings(night) == {
        ("failed", "connection_failed"): MOST_UNANSWERED,
        ("deferred", "host_closed"): 9 - MOST_UNANSWERED,
    }


def test_a_wait_for_a_host_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_turn, "SIGN_OF_LIFE_S", 0.1)
    monkeypatch.setattr(crew, "SILENCE_GRACE_S", 0.5)
    monkeypatch.setattr(crew, "_LOOK_EVERY_S", 0.1)
    archive = Archive(tmp_path, LIMITS.model_copy(update={"total_s": 3}), concurrency=1)
    with referee() as server:
        settings = load_config(config(archive, table(server, requests_per_second=0.25)))
        fetched = settings.model_copy(update={"fetch": settings.fetch.model_copy(update={"limits": archive.limits})})
        night = archive.fetch_only(archive.plan(*server.urls(1)), conditions=fetched.conditions)
    assert endings(night) == {WELL: 1}, "it waits twice for four seconds, with three seconds for the visit"


def test_a_deferred_question_is_asked_again_by_the_fetch_task(tmp_path: Path) -> None:
    archive = Archive(tmp_path, concurrency=1)
    with referee() as server:
        urls = server.urls(4)
        fetch(archive, "", urls)
        server.answer = lambda number: status(429, "Retry-After: 0") if number == 12 else None
        load = archive.plan(*urls)
        conditions = load_config(config(archive, table(server, requests_per_second=1000))).conditions
        ended = ask(archive, load, terms=conditions)
        night, own = fetch_asked(archive, load)
    assert [str(visit.status) for visit in ended] == ["unchanged"] * 3
    assert len(own) == 1
    assert endings(night) == {("unchanged", None): 4}


# Redirects.


def test_a_move_is_kept(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with referee() as server:
        where = server.server.url("elsewhere.git")
        with redirect_to(where, code=301) as old, redirect_to(where, code=302) as mirror:
            night = fetch(archive, "", [old.url(), mirror.url()])
            again = fetch(archive, "", [old.url(), mirror.url()])
    assert (night.line(old.url()).status, night.line(old.url()).error) == ("full", "moved")
    assert night.line(old.url()).detail == f"moved to {where}"
    assert endings(night)[WELL] == 1, "a redirect for now is no move"
    assert (again.line(old.url()).status, again.line(old.url()).error) == ("unchanged", "moved")


@pytest.mark.parametrize("code", [301, 302])
def test_a_redirect_to_what_is_opted_out_is_not_followed(code: int, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with referee() as server:
        new = server.server.url("new.git")
        terms = load_config(config(archive, "")).conditions
        with redirect_to(new, code=code) as old:
            visited = [old.url(), server.server.url("other.git")]
            for rule in (new.removesuffix(".git").upper().replace("HTTP", "http"), server.server.url("*")):
                asked = len(server.times)
                kept_out = opted_out(rule)
                load = archive.plan(*visited[: 1 if rule.endswith("*") else 2])
                night = archive.fetch_only(load, conditions=replace(terms, kept_out=kept_out))
                archive.publish(night)
                line = night.line(old.url())
                assert (line.status, line.error) == ("refused", "opted_out")
                assert "//" not in str(line.detail), "a takedown searches for what it named"
                assert len(server.times) - asked == (0 if rule.endswith("*") else 3), "the other one is fetched"


SPELLINGS = (
    "https://github.com/owner/repo",
    "https://GitHub.com/owner/repo.git",
    "HTTPS://github.com/Owner/repo",
    "http://github.com/owner/repo",
    "https://github.com:0443/owner/repo",
    "https://github.com:/owner/repo",
    "https://a@b@github.com/owner/repo",
    "https://a:b@github.com/owner/repo",
    "https://github.com./owner/repo",
    "https://github%2Ecom/owner/repo",
    "//github.com/owner/repo",
    "https://github.com/owner//x/../../repo",
    "https://github.com/owner/repo/info/./refs?service=git-upload-pack#",
    "https://github.com/owner/repo/info//refs/#",
    "https://github.com/owner/repo/%69nfo/refs#",
    "https://github.com/owner/repo/x/../git-upload-pack#",
)
"""Addresses of one repository, as a server may write them. What comes after ``#`` is not sent."""


@pytest.mark.parametrize("rule", ["https://github.com/owner/repo", "https://github.com/owner/*"])
def test_a_redirect_is_known_in_every_spelling(rule: str, tmp_path: Path) -> None:
    terms = replace(load_config(config(archive := Archive(tmp_path), "")).conditions, kept_out=opted_out(rule))
    with ExitStack() as servers:
        urls = [servers.enter_context(redirect_to(spelling)).url() for spelling in SPELLINGS]
        night = archive.fetch_only(archive.plan(*urls), conditions=terms)
    found = dict(zip(SPELLINGS, (night.line(url).error for url in urls), strict=True))
    assert found == dict.fromkeys(SPELLINGS, "opted_out")


def test_a_host_has_a_name_in_letters_and_one_without(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    names = ("https://m\u00fcnchen.example/a", "https://xn--mnchen-3ya.example/a", "https://XN--mnchen-3ya.example/a")
    for rule in names[:2]:
        terms = replace(load_config(config(archive, "")).conditions, kept_out=opted_out(rule))
        with ExitStack() as servers:
            urls = [servers.enter_context(redirect_to(name)).url() for name in names[1:]]
            night = archive.fetch_only(archive.plan(*urls), conditions=terms)
        assert endings(night) == {("refused", "opted_out"): 2}


def opted_out(rule: str) -> OptOuts:
    return OptOuts([Pattern.of(rule)])


def test_a_redirect_of_a_redirect_is_joined_as_it_is_followed(tmp_path: Path) -> None:
    """A relative address is joined with the one before as the server wrote it, not as it was sent."""
    archive = Archive(tmp_path)
    with referee() as server:
        answers = [server.server.url("owner/x/.."), "repo.git/info/refs?service=git-upload-pack"]
        server.answer = lambda number: status(302, f"Location: {answers[number]}") if number < 2 else None
        terms = load_config(config(archive, "")).conditions
        kept_out = opted_out(server.server.url("owner/x/repo.git"))
        load = archive.plan(server.server.url("old.git"))
        night = archive.fetch_only(load, conditions=replace(terms, kept_out=kept_out))
    assert endings(night) == {("refused", "opted_out"): 1}
    assert len(server.times) == 2


def test_redirects_count_where_they_lead(tmp_path: Path) -> None:
    """Many names that lead to one host do not make it a host without limits."""
    archive = Archive(tmp_path)
    with referee() as server:
        tables = table(server, concurrency=1, requests_per_second=1000, requests_per_night=7)
        with redirect_to(server.server.url("a.git")) as one, redirect_to(server.server.url("b.git")) as two:
            fetch(archive, tables, [one.url("1.git"), one.url("2.git"), two.url("3.git"), two.url("4.git")])
    assert len(server.times) == 7
    assert server.most_at_once == 1


def test_redirects_to_a_host_that_does_not_answer_do_not_close_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_state, "STRIKE_EVERY_S", 0)
    archive = Archive(tmp_path, concurrency=1)
    with nobody() as peer, redirect_to(f"http://127.0.0.1:{peer.port}/a.git") as elsewhere:
        urls = [elsewhere.url(f"{number}.git") for number in range(MOST_UNANSWERED + 2)]
        night = fetch(archive, table(f"127.0.0.1:{peer.port}", requests_per_second=1000), urls)
    assert endings(night) == {("failed", "connection_failed"): MOST_UNANSWERED + 2}


# Tokens.


TOKEN = "t0ken-0f-the-f0rge"
SENT = b"authorization: Basic " + b64encode(f"x:{TOKEN}".encode())


def authorized(server: Referee) -> list[bool]:
    return [SENT.lower() in request.lower() for request in server.heads]


@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_token_is_sent_with_the_first_request(place: str, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    key = {"token_env": "FORGE"} if place == "environment" else {"token_file": str(tmp_path / "token")}
    with referee() as server, referee() as other:
        tables = table(server, username="x", **key) + table(other)
        night = fetch(archive, tables, [*server.urls(1), *other.urls(1)], {"FORGE": TOKEN})
    assert endings(night) == {WELL: 2}
    assert authorized(server) == [True] * 3
    assert authorized(other) == [False] * 3


@pytest.mark.parametrize("direction", ["from", "to"])
def test_a_token_is_not_sent_after_a_redirect(direction: str, tmp_path: Path) -> None:
    """Neither to the other host, nor to the own one if another host chose what is read there."""
    archive = Archive(tmp_path)
    with referee() as server, referee() as other:
        tables = table(server, username="x", token_env="FORGE")
        first, second = (server, other) if direction == "from" else (other, server)
        place = f"Location: {second.server.url('r.git')}/info/refs?service=git-upload-pack"
        first.answer = lambda number: status(302, place)
        night = fetch(archive, tables, first.urls(1), {"FORGE": TOKEN})
    assert endings(night) == {WELL: 1}
    assert authorized(first) == [direction == "from"]
    assert authorized(second) == [False] * 3


def test_a_token_is_not_sent_after_a_way_round_another_host(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with referee() as server, referee() as other:
        tables = table(server, username="x", token_env="FORGE")
        there, back = (
            f"Location: {to.server.url('r.git')}/info/refs?service=git-upload-pack" for to in (other, server)
        )
        server.answer = lambda number: status(302, there) if number == 0 else None
        other.answer = lambda number: status(302, back)
        night = fetch(archive, tables, server.urls(1), {"FORGE": TOKEN})
    assert endings(night) == {WELL: 1}
    assert authorized(server) == [True, False, False, False]


def test_a_token_is_not_sent_in_the_clear() -> None:
    settings = Config.model_validate({"hosts": {"h.example": {"token_env": "FORGE"}}}).with_tokens({"FORGE": TOKEN})
    turn = host_turn.HostTurn(settings.conditions.hosts, "http://h.example/r.git", deadline=None)  # type: ignore[arg-type]
    assert turn.login("https", "h.example", 443) is not None
    assert turn.login("http", "h.example", 80) is None
    assert turn.login("https", "h.example", 444) is None


def test_a_configuration_does_not_show_its_tokens() -> None:
    settings = Config.model_validate({"hosts": {"h.example": {"token_env": "FORGE"}}}).with_tokens({"FORGE": TOKEN})
    login = settings.conditions.hosts.logins["h.example"].split()[1]
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {settings.conditions!r}"
    assert TOKEN not in shown
    assert login not in shown
    assert {TOKEN, login} <= set(settings.secrets)


# Who asks.


def test_a_public_forge_is_not_crawled_without_a_name(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    load = archive.plan("https://github.com/torvalds/linux", "https://git.example.invalid/x")
    with pytest.raises(NamelessCrawl, match=r"github\.com is not crawled without a name: set user_agent"):
        archive.fetch_only(load, conditions=Config().conditions)
    assert archive.storage.stat(load.manifest(0)) is None


def test_git_s_own_headers_are_sent(tmp_path: Path) -> None:
    """A wall against bots lets git pass by them."""
    with referee() as server:
        fetch(Archive(tmp_path), "", server.urls(1))
    for request in server.heads:
        lines = request.lower().split(b"\r\n")
        assert {b"user-agent: git/test", b"accept-encoding: gzip, deflate", b"pragma: no-cache"} <= set(lines)
        assert sum(line.startswith(b"accept:") for line in lines) == 1
