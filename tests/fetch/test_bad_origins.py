"""Whatever an origin does ends as one visit with a status, a code and a message, and its neighbours are archived."""

from __future__ import annotations

import gc
import http.server
import os
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import pytest

from pipeline.git.limits import MIB, Limits
from tests.fetch.archive import LIMITS, Archive, reachable
from tests.support.bad_servers import ADVERTISEMENT_TYPE, FLUSH, pkt
from tests.support.nobody import nobody
from tests.support.repos import add_commits, build_graph, git, init, put_commit, put_tree, set_refs, sha256_repository
from tests.support.servers import (
    Listener,
    Peer,
    corrupt_pack,
    endless_pack,
    endless_refs,
    garbage_pack,
    git_daemon,
    half,
    http_backend,
    http_status,
    redirect_to,
    reset,
    silent,
    trickle,
)
from tests.support.sockets import Line, listening
from tests.support.until import until

SECRET = "hunter2"
HASTY = Limits(connect_s=2, silence_s=2, total_s=20)
SHORT = Limits(connect_s=2, silence_s=20, total_s=4)
Serve = Callable[[Path], AbstractContextManager[Peer]]
TIGHT = Limits(connect_s=2, silence_s=20, total_s=30, refs_bytes=MIB, pack_bytes=4 * MIB)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    build_graph(root / "repo.git", [[1], [2, 1], [3, 1, 2]])
    add_commits(root / "repo.git", 200)
    build_graph(root / "good.git", [[1], [2, 1]])
    sha256_repository(root / "sha256.git")
    init(root / "sha256-empty.git", "--object-format=sha256")
    lacking = init(root / "lacking.git")
    blob = git(lacking, "hash-object", "-w", "--stdin", stdin=b"soon gone\n").decode().strip()
    tip = put_commit(lacking, put_tree(lacking, ("100644", "a", blob)))
    set_refs(lacking, {b"refs/heads/main": tip})
    git(lacking, "update-server-info")
    git(root / "repo.git", "update-server-info")
    return root


@contextmanager
def static_files(root: Path, content_type: str | None = None) -> Iterator[Peer]:
    """A web server that knows nothing of git."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def guess_type(self, path: str | os.PathLike[str]) -> str:
            return content_type or super().guess_type(path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield Peer("http", server.server_port)
        finally:
            server.shutdown()
            thread.join(10)


def page(body: bytes, content_type: str = "text/html; charset=utf-8") -> AbstractContextManager[Listener]:
    """Answers every request with this page."""

    def handle(line: Line) -> None:
        line.read_head()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        line.send(f"{head}Connection: close\r\n\r\n".encode() + body)

    return listening(handle, "http")


def raw(data: bytes, scheme: str) -> AbstractContextManager[Listener]:
    """Answers any request with these bytes, and closes."""

    def handle(line: Line) -> None:
        if scheme == "http":
            line.read_head()
        else:
            line.reader(int(line.reader(4), 16) - 4)
        line.send(data)
        line.socket.shutdown(socket.SHUT_WR)
        while line.socket.recv(65_536):
            pass

    return listening(handle, scheme)


def smart(body: bytes) -> AbstractContextManager[Listener]:
    return page(body, ADVERTISEMENT_TYPE)


def refused(_: Path) -> AbstractContextManager[Peer]:
    return nobody()


CAPABILITIES = b"".join(map(pkt, (b"version 2\n", b"ls-refs=unborn\n", b"fetch\n", b"object-format=sha1\n"))) + FLUSH


def read_request(line: Line) -> None:
    while (size := line.reader(4)) not in (FLUSH, b""):
        if int(size, 16) > 4:
            line.reader(int(size, 16) - 4)


def endless_after_refs(answer: bytes) -> AbstractContextManager[Listener]:
    """One ref, then the same pkt-line forever instead of the pack."""

    def handle(line: Line) -> None:
        line.reader(int(line.reader(4), 16) - 4)
        line.send(CAPABILITIES)
        read_request(line)
        line.send(pkt(b"1" * 40 + b" refs/heads/main\n") + FLUSH)
        read_request(line)
        if answer.startswith(b"\2"):
            line.send(pkt(b"packfile\n"))
        chunk = pkt(answer) * 200
        if answer == b"shallow":
            line.send(pkt(b"shallow-info\n"))
            line.send_forever(
                b"".join(pkt(b"shallow %040x\n" % n) for n in range(m, m + 999)) for m in range(0, 1 << 60, 999)
            )
        line.send_forever(chunk for _ in range(1 << 60))

    return listening(handle)


def over(scheme: str, server: Callable[[str], AbstractContextManager[Peer]]) -> Serve:
    return lambda _: server(scheme)


def _redirect_to_itself(_: Path) -> AbstractContextManager[Listener]:
    return http_status(302, "Location: /again/info/refs?service=git-upload-pack\r\n")


BAD: dict[tuple[str, str], dict[str, tuple[str | Serve, str]]] = {
    ("failed", "unknown_host"): {
        "unknown host": ("git://no-such-host.invalid/repo.git", "no-such-host.invalid does not resolve"),
        "redirect to a long host": (
            lambda _: http_status(302, f"Location: http://{'a' * 1_900}.example/x\r\n"),
            "the host a{100}... does not resolve",
        ),
    },
    ("failed", "connection_failed"): {
        "refused connection": (refused, "cannot connect to 127.0.0.1:[0-9]+ .*refused"),
        "redirect to a login cut in two": (
            lambda _: http_status(302, f"Location: http://127.0.0.1:1/{SECRET}@other/info/refs?{SECRET}\r\n"),
            "127.0.0.1:1",
        ),
        "redirect elsewhere": (
            lambda _: http_status(302, f"Location: http://u:{SECRET}@127.0.0.1:1/login?token={SECRET}\r\n"),
            "127.0.0.1:1",
        ),
    },
    ("refused", "scheme_refused"): {
        "file": ("file:///etc/passwd", "file:// is not fetched from"),
        "ssh": ("ssh://git@example.org/repo.git", "ssh:// is not fetched from"),
        "scp": ("git@example.org:repo.git", "only git, http and https"),
        "no host": ("http:///repo.git", "no host"),
        "bad port": ("git://127.0.0.1:99999/repo.git", "port"),
        "bad host": ("http://[::1/repo.git", "not a URL"),
        "line end in path": ("git://127.0.0.1/a%0ab.git", "control character"),
        "redirect to ftp": (lambda _: redirect_to("ftp://127.0.0.1/repo.git"), "ftp:// is not fetched from"),
    },
    ("refused", "address_refused"): {
        "private": ("git://10.1.2.3/repo.git", "10.1.2.3 leads to an address that is not public"),
        "metadata": ("http://169.254.169.254/repo.git", "169.254.169.254 leads to"),
        "redirect to a refused address": (
            lambda _: redirect_to("http://169.254.169.254/repo.git"),
            "169.254.169.254 leads to",
        ),
    },
    ("not_found", "not_found"): {
        "missing over git": (git_daemon, "no such repository|not exported"),
        "missing over http": (http_backend, "says 404"),
        "404": (lambda _: http_status(404), "says 404"),
        "410": (lambda _: http_status(410), "says 410"),
    },
    ("refused", "login_required"): {
        "401": (lambda _: http_status(401, 'WWW-Authenticate: Basic realm="x"\r\n'), "says 401, it wants a login"),
        "403": (lambda _: http_status(403), "says 403"),
    },
    ("deferred", "rate_limited"): {
        "429": (lambda _: http_status(429, "Retry-After: 3000\r\n"), "says 429, we ask too much"),
        "403 with a time to wait": (lambda _: http_status(403, "Retry-After: 60\r\n"), "says 403, we ask too much"),
        "403 with none left": (
            lambda _: http_status(403, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1\r\n"),
            "says 403, we ask too much",
        ),
        "an error line about limits": (
            lambda _: raw(pkt(b"ERR GitHub is temporarily limiting some unauthenticated downloads"), "git"),
            "says: GitHub is temporarily limiting",
        ),
    },
    ("refused", "blocked_legal"): {"451": (lambda _: http_status(451), "says 451, the repository is withheld")},
    ("refused", "challenged"): {
        "Anubis": (
            lambda _: page(
                b"<!doctype html><html><head><title>Making sure you&#39;re not a bot!</title>" + b"x" * 9000
            ),
            "says 200 and wants to see a person",
        ),
        "Cloudflare": (lambda _: http_status(403, "cf-mitigated: challenge\r\n"), "says 403 and wants to see a person"),
        "AWS": (lambda _: http_status(202, "x-amzn-waf-action: challenge\r\n"), "says 202 and wants to see a person"),
    },
    ("failed", "server_error"): {
        "500": (lambda _: http_status(500), "says 500"),
        "503": (lambda _: http_status(503, "Retry-After: 3000\r\n"), "says 503"),
        "an error with a login": (
            lambda _: raw(
                pkt(f"ERR no https://u:pa/ss{SECRET}@h/x token={SECRET} u:{SECRET}@h {'a ' * 9000}".encode()), "git"
            ),
            "says: no https://... token=... ",
        ),
        "an error line": (lambda _: raw(pkt(b"ERR come back \x1b[31mlater\n"), "git"), "says: come back .*later"),
    },
    ("failed", "protocol"): {
        "418": (lambda _: http_status(418), "says 418"),
        "redirect to a malformed login": (
            lambda _: http_status(302, f"Location: http://u:pa/ss{SECRET}@127.0.0.1/x?{SECRET}\r\n"),
            "protocol",
        ),
        "redirect to 60 kB": (
            lambda _: http_status(302, f"Location: http://h/{'a' * 60_000}\r\n"),
            "60,009 characters",
        ),
        "redirect to control characters": (
            lambda _: http_status(302, f"Location: http://u:{SECRET}\x01@h/\x1b[31m\r\n"),
            "not an address",
        ),
        "redirect to itself": (_redirect_to_itself, "more than 5 redirects"),
        "a header line without end": (
            lambda _: http_status(200, f"X-Long: {SECRET}{'a' * 70_000}\r\n"),
            "does not speak HTTP",
        ),
        "a type without end": (
            lambda _: page(b"", f"text/{'a' * 60_000}?{SECRET}"),
            "not a git server",
        ),
        "headers without end": (
            lambda _: http_status(200, "".join(f"X-{n}: {SECRET}\r\n" for n in range(200))),
            "does not speak HTTP",
        ),
        "a page": (lambda _: page(b"<html>" + SECRET.encode()), "not a git server: it sends text/html"),
        "garbage over git": (lambda _: raw(b"SSH-2.0-OpenSSH_9.2\r\n" * 9, "git"), "does not speak git's protocol"),
        "garbage over http": (lambda _: raw(b"SSH-2.0-OpenSSH_9.2\r\n" * 9, "http"), "does not speak"),
        "garbage as advertisement": (
            lambda _: smart(b"\0\1\2 garbage " + SECRET.encode()),
            "does not speak git's protocol",
        ),
        "no objects": (
            lambda _: raw(CAPABILITIES + pkt(b"nonsense refs/heads/main\n") + FLUSH, "git"),
            "bad ref advertisement",
        ),
    },
    ("failed", "timeout"): {
        "silent git": (over("git", silent), "silent for 2 s"),
        "silent http": (over("http", silent), "silent for 2 s"),
        "trickle git": (lambda _: trickle("git", interval_s=0.05), "longer than its limit of 4 s"),
        "trickle http": (lambda _: trickle("http", interval_s=0.05), "longer than its limit of 4 s"),
    },
    ("failed", "connection_lost"): {
        "reset git": (over("git", reset), "closed the connection"),
        "reset http": (over("http", reset), "closed the connection"),
        "half git": (lambda root: half(root, 4_000, "git"), "closed the connection"),
        "half http": (lambda root: half(root, 4_000, "http"), "closed the connection"),
        "half at once": (lambda root: half(root, 0, "git"), "closed the connection"),
        "half refs": (lambda root: half(root, 60, "http"), "closed the connection"),
        "empty advertisement": (lambda _: smart(b""), "closed the connection"),
    },
    ("failed", "limit_exceeded"): {
        "endless refs git": (over("git", endless_refs), "1048576 bytes"),
        "endless refs http": (over("http", endless_refs), "1048576 bytes"),
        "endless pack git": (over("git", endless_pack), "the pack exceeds 4194304 bytes"),
        "endless pack http": (over("http", endless_pack), "the pack exceeds 4194304 bytes"),
        "endless progress": (lambda _: endless_after_refs(b"\2Counting objects: 1\r"), "1048576 bytes"),
        "endless shallow": (lambda _: endless_after_refs(b"shallow"), "1048576 bytes"),
    },
    ("failed", "pack_corrupt"): {
        "garbage pack git": (lambda root: garbage_pack(root, "git"), "checksum"),
        "garbage pack http": (lambda root: garbage_pack(root, "http"), "checksum"),
        "corrupt pack git": (lambda root: corrupt_pack(root, "git"), "checksum"),
        "corrupt pack http": (lambda root: corrupt_pack(root, "http"), "checksum"),
    },
    ("refused", "dumb_protocol"): {
        "plain files": (static_files, "only serves files"),
        "plain files as text": (lambda root: static_files(root, "text/plain"), "only serves files"),
    },
    ("refused", "object_format"): {
        "SHA-256 git": (git_daemon, "SHA-256|sha256"),
        "SHA-256 http": (http_backend, "SHA-256|sha256"),
        "empty SHA-256 git": (git_daemon, "SHA-256|sha256"),
        "empty SHA-256 http": (http_backend, "SHA-256|sha256"),
    },
}
"""By status and error code: bad origins by name, each with its URL or server and the detail of its visit."""

LIMITS_OF = {"silent": HASTY, "trickle": SHORT, "endless": TIGHT}


def repository_of(name: str) -> str:
    if "empty SHA-256" in name:
        return "sha256-empty.git"
    if "SHA-256" in name:
        return "sha256.git"
    return "missing.git" if "missing" in name else "repo.git"


@pytest.mark.parametrize(
    ("name", "status", "code"), [(name, *ending) for ending, origins in BAD.items() for name in origins]
)
def test_a_bad_origin_is_one_visit(name: str, status: str, code: str, served: Path, tmp_path: Path) -> None:
    server, says = BAD[status, code][name]
    archive = Archive(tmp_path, limits=LIMITS_OF.get(name.partition(" ")[0], LIMITS))
    with git_daemon(served) as neighbour, nullcontext(server) if isinstance(server, str) else server(served) as bad:
        url = bad if isinstance(bad, str) else bad.url(repository_of(name))
        good = neighbour.url("good.git")
        night = archive.fetch(url, good)
    visit, line = night.visit(url), night.line(url)
    assert (visit["status"], visit["error"]) == (status, code), visit["detail"]
    assert (line.status, line.error, line.detail) == (status, code, visit["detail"])
    check_sentence(visit["detail"], says)
    assert (visit["objects"], night.refs(url)) == (0, {})
    assert night.line(good).status == "full"
    assert sorted(night.new_ids()) == sorted(reachable(served / "good.git"))
    assert {row["origin"] for row in night.rows("refs")} == {good}
    assert archive.left_in_scratch() == []


def check_sentence(detail: str, says: str) -> None:
    assert re.search(says, detail), detail
    assert detail.isprintable(), repr(detail)
    assert len(detail) < 300
    for leak in (SECRET, "Traceback", "object at 0x", "HTTPConnectionPool", "Errno", "Max retries"):
        assert leak not in detail


def test_a_resolver_that_never_answers_is_one_visit(
    served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, real = threading.Event(), socket.getaddrinfo

    def hang(host: str, *rest: object) -> object:
        if host != "slow.example":
            return real(host, *rest)  # type: ignore[arg-type]
        return asked.wait(120)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    archive = Archive(tmp_path, limits=Limits(connect_s=2, silence_s=20, total_s=30))
    with git_daemon(served) as neighbour:
        good = neighbour.url("good.git")
        night = archive.fetch("git://slow.example/a.git", "http://slow.example/b.git", good)
    asked.set()
    for url in ("git://slow.example/a.git", "http://slow.example/b.git"):
        assert night.visit(url)["error"] == "timeout"
        assert night.visit(url)["detail"] == "the host slow.example was not resolved within 2 s"
    assert night.line(good).status == "full"


@pytest.mark.parametrize(
    "kind", [ADVERTISEMENT_TYPE.title(), f"{ADVERTISEMENT_TYPE};charset=utf-8", f" {ADVERTISEMENT_TYPE.upper()} ; x=y"]
)
def test_a_type_is_compared_as_git_does(kind: str, served: Path, tmp_path: Path) -> None:
    """We accept what ``git clone`` accepts: case, blanks and parameters do not matter, nor the type of a pack."""
    with http_backend(served) as backend, _other_types(backend, kind) as server:
        url = server.url("repo.git")
        git(tmp_path, "clone", "--quiet", "--mirror", url, "cloned.git")
        night = Archive(tmp_path).fetch(url)
    assert night.visit(url)["status"] == "full", night.visit(url)["detail"]
    assert sorted(night.new_ids()) == sorted(reachable(served / "repo.git"))


def _other_types(backend: Peer, kind: str) -> AbstractContextManager[Listener]:
    """A real server behind a proxy that changes the types of its answers."""

    def handle(line: Line) -> None:
        head = line.read_head()
        if not head:
            return
        method, path, _ = head.decode().split(" ", 2)
        sent = dict(row.split(": ", 1) for row in head.decode().split("\r\n")[1:] if row)
        names = {name.lower(): value for name, value in sent.items()}
        body = line.reader(int(names.get("content-length", 0)))
        keep = {name: names[name] for name in ("content-type", "git-protocol", "content-encoding") if name in names}
        request = urllib.request.Request(f"http://127.0.0.1:{backend.port}{path}", body or None, keep, method=method)
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
        told = kind if method == "GET" else "text/plain"
        line.send(f"HTTP/1.1 200 OK\r\nContent-Type: {told}\r\nContent-Length: {len(content)}\r\n".encode())
        line.send(b"Connection: close\r\n\r\n" + content)

    return listening(handle, "http")


def test_fifty_failures_leave_nothing_open(served: Path, tmp_path: Path) -> None:
    """No thread, descriptor or socket outlives its visit, not even until garbage collection."""
    archive = Archive(tmp_path, limits=Limits(connect_s=2, silence_s=0.3, total_s=5, pack_bytes=1000))
    with (
        listening(lambda line: line.reader(1 << 20) and None) as mute,  # until its client leaves
        reset("http") as rude,
        half(served, 3000, "http") as cut,
        redirect_to("http://10.0.0.1/x.git") as away,
        raw(b"nonsense", "git") as mad,
        smart(pkt(b"version 2\n") + b"nonsense") as madder,
        git_daemon(served) as daemon,
        http_backend(served) as backend,
    ):
        servers = [mute, rude, cut, away, mad, madder]
        urls = [server.url(f"{n}.git") for server in servers for n in range(8)]
        urls += [daemon.url("repo.git"), backend.url("repo.git")]
        archive.fetch(*urls)
        gc.collect()
        before = wait_for_fewest(open_things)
        gc.disable()
        try:
            night = archive.fetch(*urls)
            until(lambda: open_things() <= before, f"more than {before} are open", limit_s=30, pause_s=0.01)
        except AssertionError as error:
            raise AssertionError(f"{error}: {named_things()}") from None
        finally:
            gc.enable()
    assert {line.status for line in night.visits} == {"failed", "refused", "not_found"}
    assert len(night.visits) == 50


def open_things() -> tuple[int, int]:
    """Descriptors and threads of this process, which also runs most of the servers."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def named_things() -> tuple[list[str], list[str]]:
    """The same by name."""
    descriptors = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            descriptors.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(descriptors), sorted(thread.name for thread in threading.enumerate())


def wait_for_fewest(count: Callable[[], tuple[int, int]], calm_s: float = 0.3) -> tuple[int, int]:
    """Wait for the lowest count: the servers' threads end a moment after their clients."""
    fewest, since = count(), time.monotonic()
    while time.monotonic() - since < calm_s:
        if count() < fewest:
            fewest, since = count(), time.monotonic()
        time.sleep(0.01)
    return fewest
