"""One conversation: what is requested, in which order, and what a server cannot make us do."""

from __future__ import annotations

import gzip
import itertools
import pickle
import socket
import struct
import threading
from binascii import unhexlify
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from pipeline.git.conditions import Conditions
from pipeline.git.errors import (
    LimitExceeded,
    OriginError,
    ProtocolError,
    RepositoryNotFound,
    ServerError,
)
from pipeline.git.exchange import Received, advertised_ids, exchange
from pipeline.git.host_turn import HostTurn
from pipeline.git.limits import MIB, Limits
from pipeline.git.network import AddressPolicy, Deadline, Dialer
from pipeline.git.transport import _Protocol
from pipeline.model.errors import ScratchFailed
from pipeline.rules.negotiation import FetchPlan, Ref
from tests.fetch.handmade import handmade
from tests.git.packs import BLOB, full, pack_of
from tests.support.bad_servers import ADVERTISEMENT_TYPE, FLUSH, RESULT_TYPE, pkt
from tests.support.nobody import nobody
from tests.support.prefixes import PREFIXES
from tests.support.repos import add_commits, build_graph, git, resolve, run_git
from tests.support.servers import git_daemon, http_backend, redirect_to
from tests.support.sockets import Line, listening

LIMITS = Limits(connect_s=5, silence_s=10, total_s=20, refs_bytes=MIB)
TIP = "1" * 40
PACK = pack_of([full(BLOB, b"x")])


def talk(
    url: str, spool: Path, *, offers: tuple[bytes, ...] = (), limits: Limits = LIMITS, wants: bool = True
) -> Received:
    def decide(refs: Mapping[bytes, bytes]) -> FetchPlan:
        return FetchPlan(tuple(sorted(set(refs.values()))) if wants else (), offers)

    conditions = Conditions(AddressPolicy((ip_network("127.0.0.0/8"),)), limits, PREFIXES, "git/test")
    with Deadline(limits.total_s) as deadline:
        return exchange(HostTurn(conditions.hosts, url, deadline), decide, spool, conditions)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "test.pack"


@pytest.mark.parametrize("server", [git_daemon, http_backend])
def test_a_pack_is_what_git_takes(server: object, tmp_path: Path, spool: Path) -> None:
    repo = tmp_path / "served" / "my repo.git"
    repo.parent.mkdir()
    build_graph(repo, [[1], [2, 1], [3, 1, 2]])
    add_commits(repo, 30)
    with server(repo.parent) as peer:  # type: ignore[operator]
        received = talk(peer.url("my%20repo.git"), spool)
    tip = bytes.fromhex(resolve(repo, "main"))
    tips = {f"refs/heads/{name}".encode(): Ref(bytes.fromhex(oid)) for name, oid in branches(repo).items()}
    assert received.refs == {b"HEAD": Ref(tip, b"refs/heads/main"), **tips}
    assert received.pack_bytes == spool.stat().st_size
    git(repo.parent, "init", "-q", "--bare", "copy.git")
    assert run_git("-C", repo.parent / "copy.git", "index-pack", "--stdin", stdin=spool.read_bytes()).returncode == 0
    listed = git(repo.parent, "verify-pack", "-v", *repo.parent.glob("copy.git/objects/pack/*.idx"))
    assert b"chain length" in listed
    assert b"\x7f" not in spool.read_bytes()[12:13], "deltas by offset were asked for"


def branches(repo: Path) -> dict[str, str]:
    said = git(repo, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads").decode()
    return dict(line.split() for line in said.splitlines())


def test_offers_are_sent_in_their_order_and_no_pack_without_wants(spool: Path) -> None:
    digits = [b"%040d" % n for n in (5, 3, 9, 1)]
    with handmade({"refs/heads/main": TIP}, [PACK]) as (server, asked):
        talk(server.url(), spool, offers=tuple(map(unhexlify, digits)))
        assert talk(server.url(), spool, wants=False).pack_bytes == 0
    (fetch,) = asked.fetches()
    assert [line for line in fetch if line.startswith(b"have ")] == [b"have " + offer for offer in digits]
    assert b"ofs-delta" in fetch
    assert fetch.index(b"ofs-delta") < fetch.index(b"want " + TIP.encode())
    assert spool.read_bytes() == PACK


@pytest.mark.parametrize(
    "bad", [b"", b"a" * 39, b"a" * 41, b"A" * 40, b"g" * 40, b"a" * 64, b"a" * 39 + b"\n", b"a" * 40 + b"\n"]
)
def test_an_id_that_is_none_is_refused(bad: bytes) -> None:
    with pytest.raises(ProtocolError, match="bad ref advertisement: b'refs/heads/a' has the id"):
        advertised_ids({b"HEAD": b"b" * 40, b"refs/heads/a": bad})


def test_a_spool_that_can_not_be_written_is_no_servers_fault(tmp_path: Path) -> None:
    with (
        handmade({"refs/heads/main": TIP}, [PACK]) as (server, _),
        pytest.raises(ScratchFailed, match="no-such-folder"),
    ):
        talk(server.url(), tmp_path / "no-such-folder" / "test.pack")


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_a_full_disk_is_no_servers_fault(size: int) -> None:
    """Small packs fail when the file is closed, large ones while they are written."""
    with (
        handmade({"refs/heads/main": TIP}, [pack_of([full(BLOB, b"x"), bytes(size)])]) as (server, _),
        pytest.raises(ScratchFailed, match="No space left"),
    ):
        talk(server.url(), Path("/dev/full"))


def http(*answers: bytes) -> object:
    """Answers the n-th request over HTTP with the n-th of these whole responses; repeats the last one forever."""
    turn = itertools.count()

    def handle(line: Line) -> None:
        head = line.read_head()
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        line.reader(length)
        line.send(answers[min(next(turn), len(answers) - 1)])

    return listening(handle, "http")


def answer(kind: str, *lines: bytes) -> bytes:
    body = b"".join(lines)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


ADVERTISEMENT = answer(
    ADVERTISEMENT_TYPE, pkt(b"# service=git-upload-pack\n"), FLUSH, pkt(b"version 2\n"), pkt(b"fetch\n"), FLUSH
)
URIS = pkt(b"packfile-uris\n")
REFS = answer(RESULT_TYPE, pkt(TIP.encode() + b" refs/heads/main\n"), FLUSH)


def test_an_answer_that_does_not_end_is_not_waited_for(spool: Path) -> None:
    advertised = ADVERTISEMENT.partition(b"\r\n\r\n")[2]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {ADVERTISEMENT_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"

    def handle(line: Line) -> None:
        if line.read_head().startswith(b"GET"):
            line.send(b"%b%x\r\n%b\r\n" % (head.encode(), len(advertised), advertised))
            line.server.ended.wait(60)
        else:
            line.send(REFS)

    patient = LIMITS.model_copy(update={"silence_s": 600, "total_s": 10})
    with listening(handle, "http") as server:
        received = talk(server.url(), spool, limits=patient, wants=False)
    assert received.refs == {b"refs/heads/main": Ref(bytes.fromhex(TIP))}


@pytest.mark.parametrize(
    ("lines", "error", "says"),
    [
        ([pkt(b"ERR upload-pack: not our ref 1111\n")], ServerError, "says: upload-pack: not our ref"),
        ([pkt(b"ERR repository does not exist\n")], RepositoryNotFound, "says: repository does not exist"),
        ([pkt(b"packfile\n"), pkt(b"\3out of \x1b[1mmemory\x07\n"), FLUSH], ServerError, "says: out of"),
        ([pkt(b"packfile\n"), pkt(b"\7what channel\n"), FLUSH], ProtocolError, "does not speak"),
        ([URIS, pkt(b"https://10.0.0.1/x sha1 " + b"1" * 40), pkt(b"packfile\n")], ProtocolError, "addresses of packs"),
        ([URIS, pkt(b"file:///x sha1 " + b"1" * 40), pkt(b"packfile\n"), FLUSH], ProtocolError, "does not speak"),
    ],
)  # fmt: skip
def test_what_comes_instead_of_a_pack(lines: list[bytes], error: type[OriginError], says: str, spool: Path) -> None:
    with http(ADVERTISEMENT, REFS, answer(RESULT_TYPE, *lines)) as server, pytest.raises(error) as caught:  # type: ignore[attr-defined]
        talk(server.url(), spool)
    assert caught.value.why.isprintable()
    caught.match(says)
    assert not spool.exists() or spool.stat().st_size == 0


def test_the_body_of_a_redirect_is_not_read_to_its_end(tmp_path: Path, spool: Path) -> None:
    build_graph(tmp_path / "repo.git", [[1]])

    def handle(line: Line) -> None:
        line.read_head()
        location = f"Location: {target.url()}/info/refs?service=git-upload-pack\r\n"
        line.send(f"HTTP/1.1 302 Moved\r\n{location}Content-Length: 1000000000000\r\n\r\n".encode())
        line.send_forever(bytes(65_536) for _ in itertools.count())

    with http_backend(tmp_path) as target, listening(handle, "http") as server:
        assert talk(server.url("old.git"), spool).pack_bytes > 0
        assert server.sent_bytes < 30 * MIB


def test_a_visit_needs_one_connection(tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_graph(tmp_path / "repo.git", [[1], [2, 1]])
    connected = []
    connect = Dialer.connect

    def counted(self: Dialer, host: str, port: int) -> socket.socket:
        connected.append(port)
        return connect(self, host, port)

    monkeypatch.setattr(Dialer, "connect", counted)
    with http_backend(tmp_path) as server:
        assert talk(server.url(), spool).pack_bytes > 0
    assert len(server.requests) == 3
    assert len(connected) == 1


GREETING = pkt(b"version 2\n") + pkt(b"ls-refs\n") + pkt(b"fetch\n") + FLUSH


def test_a_request_is_sent_at_once(spool: Path) -> None:
    """Each of its lines would be a packet of its own, and cost the server a wake-up."""
    requests = []

    def handle(line: Line) -> None:
        line.socket.recv(1024)
        line.send(GREETING)
        requests.append(line.socket.recv(1024))
        line.send(pkt(TIP.encode() + b" refs/heads/main\n") + FLUSH)
        line.socket.recv(1024)

    with listening(handle, "git") as server:
        assert talk(server.url(), spool, wants=False).refs == {b"refs/heads/main": Ref(bytes.fromhex(TIP))}
    (request,) = requests
    assert b"command=ls-refs" in request
    assert request.endswith(FLUSH)


def test_a_server_that_has_hung_up_is_still_heard(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()

    def handle(line: Line) -> None:
        line.socket.recv(1024)
        line.send(GREETING + pkt(b"ERR too many of you\n"))
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by a reset
        line.socket.close()
        gone.set()

    write = _Protocol.write_pkt_line

    def write_when_it_is_gone(self: _Protocol, line: bytes | None) -> None:
        if line is not None and line.startswith(b"command="):
            assert gone.wait(10)
        write(self, line)

    monkeypatch.setattr(_Protocol, "write_pkt_line", write_when_it_is_gone)
    with listening(handle, "git") as server, pytest.raises(ServerError, match="the server says: too many of you"):
        talk(server.url(), spool)


def test_redirects_without_end(spool: Path) -> None:
    def handle(line: Line) -> None:
        if not (head := line.read_head()):
            return
        path = head.split(b" ")[1].decode()
        line.send(f"HTTP/1.1 302 Moved\r\nLocation: /x{path}\r\nContent-Length: 0\r\n\r\n".encode())

    with listening(handle, "http") as server, pytest.raises(ProtocolError, match="more than 5 redirects"):
        talk(server.url(), spool)


def test_a_renamed_repository_is_followed(tmp_path: Path, spool: Path) -> None:
    build_graph(tmp_path / "repo.git", [[1], [2, 1]])
    with http_backend(tmp_path) as target, redirect_to(target.url()) as server:
        assert talk(server.url("old.git"), spool).refs[b"HEAD"].symref == b"refs/heads/main"
    assert any(request.startswith("POST") for request in target.requests)


@pytest.mark.parametrize(("to", "is_move"), [("/Old.git", False), ("/new.git", True)])
def test_another_spelling_of_a_place_is_no_move(to: str, is_move: bool, spool: Path) -> None:
    head = f"HTTP/1.1 301 Moved\r\nLocation: {to}/info/refs?service=git-upload-pack\r\n"
    redirect = f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
    with http(redirect, ADVERTISEMENT, REFS) as server:  # type: ignore[attr-defined]
        found = talk(server.url("old"), spool, wants=False).moved_to
        assert found == (server.url(to[1:]) if is_move else None)


def test_a_compressed_answer_is_counted_as_it_inflates(spool: Path) -> None:
    body = gzip.compress(b"".join(pkt(b"%040d refs/heads/b%d\n" % (n, n)) for n in range(200_000)))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {RESULT_TYPE}\r\nContent-Encoding: gzip\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with http(ADVERTISEMENT, head.encode() + body) as server, pytest.raises(LimitExceeded, match="ref advertisement"):  # type: ignore[attr-defined]
        talk(server.url(), spool)


@pytest.mark.parametrize(
    "url", ["ftp://u:s3cr3t@h/place", "http://h:s3cr3t/place", "/place", "git:///place", "http://u:s3cr3t@{here}/place"]
)
def test_an_error_says_why_and_not_whom(url: str, spool: Path) -> None:
    """Who asked knows whom, and a URL may have a secret."""
    with nobody() as peer, pytest.raises(OriginError) as caught:
        talk(url.format(here=f"127.0.0.1:{peer.port}"), spool)
    error = pickle.loads(pickle.dumps(caught.value))
    assert "s3cr3t" not in repr(error)
    assert "place" not in repr(error)
    assert str(error) == error.why == caught.value.why
