"""Each server behaves as it is named, with C git as the client."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import hadoop_daemons
from tests.support import real_servers
from tests.support.repos import add_commits, build_graph, compare, git_environment, run_git, strange_repository
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
    nginx_backend,
    nginx_missing,
    redirect_to,
    reset,
    silent,
    trickle,
)
from tests.support.sockets import free_port, own_ports

Serve = Callable[[Path], AbstractContextManager[Peer]]

SERVERS = [
    git_daemon,
    http_backend,
    pytest.param(nginx_backend, marks=pytest.mark.skipif(bool(nginx_missing()), reason=nginx_missing() or "-")),
]
SCHEMES = ["git", "http"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    build_graph(folder / "repo.git", [[1], [2, 1], [3, 1, 2]])
    return folder


def clone(url: str, target: Path) -> subprocess.CompletedProcess[bytes]:
    return run_git("-c", "transfer.fsckObjects=false", "clone", "-q", "--mirror", url, target, timeout_s=60)


@pytest.mark.parametrize("serve", SERVERS)
def test_a_server_serves_everything(serve: Serve, root: Path, tmp_path: Path) -> None:
    strange = strange_repository(root / "strange.git", large_bytes=300_000)
    with serve(root) as server:
        done = clone(server.url("strange.git"), tmp_path / "clone.git")
        assert done.returncode == 0, done.stderr
        assert compare(strange, tmp_path / "clone.git") == []
        assert all("/strange.git" in request for request in server.requests)
        assert server.requests


@pytest.mark.parametrize("serve", SERVERS)
def test_a_server_sends_only_what_is_new(serve: Serve, root: Path, tmp_path: Path) -> None:
    with serve(root) as server:
        assert clone(server.url(), tmp_path / "clone.git").returncode == 0
        add_commits(root / "repo.git", 40)
        done = run_git("-C", tmp_path / "clone.git", "fetch", "-q")
        assert done.returncode == 0, done.stderr
        before = len(server.requests)
        assert run_git("ls-remote", server.url()).returncode == 0
        assert len(server.requests) > before
    assert compare(root / "repo.git", tmp_path / "clone.git") == []


@pytest.mark.parametrize("serve", SERVERS)
def test_a_server_speaks_protocol_v2(serve: Serve, root: Path) -> None:
    with serve(root) as server:
        command = ["git", "-c", "protocol.version=2", "ls-remote", server.url()]
        environment = git_environment() | {"GIT_TRACE_PACKET": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    assert b"version 2" in done.stderr
    assert b"refs/heads/main" in done.stdout


@pytest.mark.parametrize("serve", SERVERS)
def test_a_missing_repository_is_refused(serve: Serve, root: Path, tmp_path: Path) -> None:
    with serve(root) as server:
        done = clone(server.url("missing.git"), tmp_path / "clone.git")
    assert done.returncode == 128


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a clone that is not expected to end, and kills it after the test."""
    started = []

    def start(url: str) -> subprocess.Popen[bytes]:
        command = ["git", "clone", "-q", "--bare", url, str(tmp_path / "clone.git")]
        process = subprocess.Popen(
            command,
            env=git_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()  # git passes it on to its helpers
        process.wait(30)


Client = Callable[[str], subprocess.Popen[bytes]]
Endless = Callable[[str], AbstractContextManager[Listener]]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_silent_keeps_its_client_waiting(scheme: str, client: Client) -> None:
    with silent(scheme) as server:
        process = client(server.url())
        assert server.wait_connected()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        assert server.sent_bytes == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_trickle_goes_on_byte_by_byte(scheme: str, client: Client) -> None:
    with trickle(scheme, interval_s=0.005) as server:
        process = client(server.url())
        assert server.wait_sent(300)
        assert process.poll() is None


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("serve", [endless_refs, endless_pack])
def test_endless_answers_are_taken_by_git_as_long_as_they_come(serve: Endless, scheme: str, client: Client) -> None:
    with serve(scheme) as server:
        process = client(server.url())
        assert server.wait_sent(3_000_000)
        assert process.poll() is None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reset_is_no_orderly_end(scheme: str, tmp_path: Path) -> None:
    with reset(scheme) as server:
        with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", server.port), 20) as line:
            line.recv(1)
        assert clone(server.url(), tmp_path / "clone.git").returncode == 128


@pytest.mark.parametrize("scheme", SCHEMES)
def test_half_cuts_the_pack(scheme: str, root: Path, tmp_path: Path) -> None:
    add_commits(root / "repo.git", 200)
    with half(root, 4_000, scheme) as server:
        done = clone(server.url(), tmp_path / "clone.git")
    assert done.returncode == 128
    assert b"early EOF" in done.stderr or b"unexpected disconnect" in done.stderr, done.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
def test_half_is_whole_when_the_cut_is_far(scheme: str, root: Path, tmp_path: Path) -> None:
    with half(root, 10_000_000, scheme) as server:
        assert clone(server.url(), tmp_path / "clone.git").returncode == 0
    assert compare(root / "repo.git", tmp_path / "clone.git") == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_garbage_is_no_pack(scheme: str, root: Path, tmp_path: Path) -> None:
    with garbage_pack(root, scheme) as server:
        assert b"refs/heads/main" in run_git("ls-remote", server.url()).stdout
        done = clone(server.url(), tmp_path / "clone.git")
    assert done.returncode == 128
    assert b"pack signature mismatch" in done.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
def test_corrupt_fails_to_inflate(scheme: str, root: Path, tmp_path: Path) -> None:
    with corrupt_pack(root, scheme) as server:
        done = clone(server.url(), tmp_path / "clone.git")
    assert done.returncode == 128
    assert b"inflate" in done.stderr, done.stderr


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500, 503])
def test_http_status(code: int, tmp_path: Path) -> None:
    with http_status(code, "Retry-After: 7\r\n") as server:
        done = clone(server.url(), tmp_path / "clone.git")
        assert server.connections >= 1
    assert done.returncode == 128
    expected = {401: b"could not read Username", 404: b"not found"}.get(code, b"error: %d" % code)
    assert expected in done.stderr


def test_redirect_leads_to_the_other_server(root: Path, tmp_path: Path) -> None:
    with http_backend(root) as target, redirect_to(target.url()) as server:
        done = clone(server.url("old.git"), tmp_path / "clone.git")
        assert done.returncode == 0, done.stderr
        assert (server.connections, len(target.requests) > 0) == (1, True)
    assert compare(root / "repo.git", tmp_path / "clone.git") == []


def test_a_client_that_leaves_within_its_request_is_no_error() -> None:
    with endless_refs("http") as server:
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(b"POST /repo.git/git-upload-pack HTTP/1.1\r\n\r\n")
        assert server.wait_connected()


def test_a_server_whose_port_was_taken_meanwhile_starts_at_another(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    with git_daemon(tmp_path / "elsewhere") as other:
        ports = iter([other.port])
        monkeypatch.setattr(real_servers, "free_port", lambda: next(ports, None) or free_port())
        with git_daemon(root) as server:
            assert run_git("ls-remote", server.url()).returncode == 0
        assert list(ports) == []


def test_processes_that_run_tests_take_no_ports_of_each_other_nor_of_hadoop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    found = []
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        found.append(own_ports())
        assert free_port() in found[-1]
    assert set(found[0]).isdisjoint(found[1])
    assert max(*found[0], *found[1]) < min(hadoop_daemons.PORTS)
