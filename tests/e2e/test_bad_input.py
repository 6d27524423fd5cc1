"""One night with everything that can be wrong with an origin, and good origins beside it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.e2e.archive import Archive
from tests.e2e.conftest import MakeArchive
from tests.support.git import put, put_commit, put_tree, set_refs
from tests.support.nobody import nobody
from tests.support.repos import add_commits, build_graph, compare, empty_repository, init, sha256_repository
from tests.support.servers import Peer, corrupt_pack, garbage_pack, half, http_status, redirect_to, silent

pytestmark = pytest.mark.slow

EXPECTED = MappingProxyType(
    {
        "unknown host": ("failed", "unknown_host"),
        "refused connection": ("failed", "connection_failed"),
        "404": ("not_found", "not_found"),
        "missing over git": ("not_found", "not_found"),
        "never answers over git": ("failed", "timeout"),
        "never answers over http": ("failed", "timeout"),
        "closes half way over git": ("failed", "connection_lost"),
        "closes half way over http": ("failed", "connection_lost"),
        "garbage instead of a pack": ("failed", "pack_corrupt"),
        "a flipped bit": ("failed", "pack_corrupt"),
        "a corrupt object on the server": ("failed", "server_error"),
        "SHA-256": ("refused", "object_format"),
        "file": ("refused", "scheme_refused"),
        "ssh": ("refused", "scheme_refused"),
        "private address": ("refused", "address_refused"),
        "cloud metadata": ("refused", "address_refused"),
        "moved to what is opted out": ("refused", "opted_out"),
        "empty": ("full", None),
        "good over git": ("full", None),
        "good over http": ("full", None),
    }
)


@dataclass(frozen=True)
class BadNight:
    """An archive after one night of all of them."""

    archive: Archive
    urls: dict[str, str]
    summary: Any


def build(served: Path) -> None:
    build_graph(served / "good.git", [[1], [2, 1], [3, 1, 2]])
    build_graph(served / "out.git", [[1]])
    build_graph(served / "target.git", [[1]])
    add_commits(served / "target.git", 200)
    empty_repository(served / "empty.git")
    sha256_repository(served / "sha256.git")
    broken = init(served / "broken.git")
    blob = put(broken, "blob", b"hello\n")
    set_refs(broken, {b"refs/heads/main": put_commit(broken, put_tree(broken, ("100644", "a", blob)))})
    (broken / "objects" / blob[:2] / blob[2:]).write_bytes(b"no zlib stream")


@pytest.fixture(scope="module")
def bad_night(make_archive: MakeArchive, served: Path, daemon: Peer, web: Peer) -> BadNight:
    build(served)
    archive = make_archive("bad", fetch__limits={"connect_s": 30, "silence_s": 15})
    with contextlib.ExitStack() as stack:
        urls = {
            "unknown host": "git://no-such-host.invalid/repo.git",
            "refused connection": stack.enter_context(nobody()).url(),
            "404": stack.enter_context(http_status(404)).url(),
            "missing over git": daemon.url("missing.git"),
            "never answers over git": stack.enter_context(silent("git")).url(),
            "never answers over http": stack.enter_context(silent("http")).url(),
            "closes half way over git": stack.enter_context(half(served, 4000, "git")).url("target.git"),
            "closes half way over http": stack.enter_context(half(served, 4000, "http")).url("target.git"),
            "garbage instead of a pack": stack.enter_context(garbage_pack(served)).url("target.git"),
            "a flipped bit": stack.enter_context(corrupt_pack(served, "http")).url("target.git"),
            "a corrupt object on the server": daemon.url("broken.git"),
            "SHA-256": daemon.url("sha256.git"),
            "file": f"file://{served}/good.git",
            "ssh": "ssh://git@example.org/repo.git",
            "private address": "http://10.1.2.3/repo.git",
            "cloud metadata": "http://169.254.169.254/repo.git",
            "moved to what is opted out": stack.enter_context(redirect_to(web.url("out.git"), code=301)).url(),
            "empty": web.url("empty.git"),
            "good over git": daemon.url("good.git"),
            "good over http": web.url("good.git"),
        }
        archive.add(*urls.values())
        archive.run("origins", "opt-out", web.url("out.git"))
        summary = archive.nightly(1, code=1)
    return BadNight(archive, urls, summary)


@pytest.mark.parametrize("name", EXPECTED)
def test_each_origin_is_one_visit_with_its_code(bad_night: BadNight, name: str) -> None:
    visit = bad_night.archive.visit(bad_night.urls[name], 1)
    assert (visit["status"], visit["error"]) == EXPECTED[name], visit["detail"]
    assert (visit["detail"] is None) == (visit["error"] is None)
    if visit["error"] is not None:
        assert (visit["objects"], visit["pack_bytes"]) == (0, 0)


def test_the_summary_counts_and_names_them(bad_night: BadNight) -> None:
    statuses = [status for status, _ in EXPECTED.values()]
    assert bad_night.summary["origins"] == {status: statuses.count(status) for status in sorted(set(statuses))}
    told = {bad["origin"]: (bad["status"], bad["error"]) for bad in bad_night.summary["failed"]}
    assert told == {bad_night.urls[name]: ending for name, ending in EXPECTED.items() if ending[1] is not None}


@pytest.mark.parametrize("name", ["good over git", "good over http", "empty"])
def test_good_origins_of_that_night_are_complete(bad_night: BadNight, name: str, served: Path, tmp_path: Path) -> None:
    restored = bad_night.archive.restore(bad_night.urls[name], tmp_path / "restored.git")
    assert compare(served / f"{name.partition(' ')[0]}.git", restored) == []


def test_bad_origins_left_nothing_but_their_visits(bad_night: BadNight) -> None:
    good = {bad_night.urls[name] for name in ("good over git", "good over http", "empty")}
    for table in ("refs", "repositories", "files"):
        assert {row["origin"] for row in bad_night.archive.sql(f"SELECT DISTINCT origin FROM {table}")} <= good
    networks = "SELECT network FROM origins WHERE last_status <> 'full'"
    for table in ("commits", "trees", "tags", "blobs", "contents"):
        assert bad_night.archive.sql(f"SELECT * FROM {table} WHERE network IN ({networks})") == []


@pytest.mark.parametrize("url", ["git@example.org:a.git", "/srv/a.git", "http://[::1/a.git", "https:///a.git"])
def test_the_command_does_not_take_what_is_no_url(bad_night: BadNight, url: str) -> None:
    said = bad_night.archive.run("origins", "add", url, code=2)
    assert "not shown" in said.stderr
    assert said.stdout == ""


def test_the_command_says_what_will_not_be_fetched(bad_night: BadNight) -> None:
    said = bad_night.archive.run("origins", "add", bad_night.urls["ssh"])
    assert f"{bad_night.urls['ssh']}: its visits will be refused" in said.stderr
