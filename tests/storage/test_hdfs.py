"""Cases specific to HDFS: silent, dead and restarted servers, lost answers, settings that reach the server."""

from __future__ import annotations

import functools
import hashlib
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.storage.errors import AlreadyThere, FileMissing, StorageError, StorageUnavailable
from pipeline.storage.factory import open_storage
from pipeline.storage.hdfs import HdfsStorage
from pipeline.storage.hdfs_client import make_client
from pipeline.storage.hdfs_status import hdfs_status
from pipeline.storage.interface import Storage
from tests.storage.conftest import hdfs_settings
from tests.support.hdfs import MiniHdfs
from tests.support.nobody import nobody


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def dead_server() -> Iterator[str]:
    """An address where nobody listens."""
    with nobody("http") as peer:
        yield f"http://127.0.0.1:{peer.port}"


@pytest.fixture
def babbling_server() -> Iterator[str]:
    """Answers every request with a page that is not from WebHDFS."""
    body = b"<html>welcome</html>"
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    yield from serve(answer)


@pytest.fixture
def gateway() -> Iterator[str]:
    """Answers every request with 503, like a load balancer without servers."""
    yield from serve(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


def serve(answer: bytes) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=60)


@pytest.mark.timeout(60)
def test_a_server_that_never_answers_is_given_up(silent_server: str, tmp_path: Path) -> None:
    storage = open_storage(
        "hdfs://127.0.0.1:1/x", hdfs_settings(silent_server, connect_timeout_s=0.2, read_timeout_s=0.2, attempts=2)
    )
    (tmp_path / "f").write_bytes(b"x")
    for call in (
        lambda: storage.stat("f"),
        lambda: storage.list("f"),
        lambda: storage.open("f"),
        lambda: storage.read("f"),
        lambda: storage.create("f", b""),
        lambda: storage.replace("f", b""),
        lambda: storage.upload(tmp_path / "f", "f"),
        lambda: storage.rename("f", "g"),
        lambda: storage.delete("f"),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            call()
        assert caught.value.retryable


def test_attempts_and_time_limit_are_the_settings(silent_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for changes, expected in (({"attempts": 3}, 3), ({"attempts": 3, "give_up_after_s": 0.01}, 1)):
        settings = hdfs_settings(silent_server, read_timeout_s=0.1, first_pause_s=0, **changes)
        calls: list[tuple[float, float]] = []
        request = requests.Session.request

        def count(self: requests.Session, *arguments: Any, **keywords: Any) -> requests.Response:
            calls.append(keywords["timeout"])  # noqa: B023
            return request(self, *arguments, **keywords)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(requests.Session, "request", count)
            with pytest.raises(StorageUnavailable):
                HdfsStorage("hdfs://h:1/x", settings).stat("f")
        assert calls == [(10, 0.1)] * expected


def test_a_babbling_server_is_named(babbling_server: str) -> None:
    storage = open_storage("hdfs://h:1/x", hdfs_settings(babbling_server, attempts=1))
    for call in (lambda: storage.stat("f"), lambda: storage.list("f"), lambda: storage.create("f", b"")):
        with pytest.raises(StorageError, match="WebHDFS") as caught:
            call()
        assert not caught.value.retryable


def test_a_gateway_without_servers_may_be_asked_again(gateway: str) -> None:
    with pytest.raises(StorageUnavailable, match="503"):
        open_storage("hdfs://h:1/x", hdfs_settings(gateway, attempts=1)).stat("f")


def test_who_does_not_answer_is_told_in_plain_words(
    silent_server: str, dead_server: str, gateway: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    for addresses, how in (
        ((dead_server,), "Connection refused"),
        ((silent_server,), "silent for 0.2 s"),
        ((gateway,), "HTTP status 503"),
        (("http://nobody.invalid:9870",), "no host has this name"),
        ((f"{dead_server}/", dead_server), "Connection refused"),
    ):
        named = " or ".join(address.rstrip("/") for address in addresses)
        read_timeout_s = 0.2 if silent_server in addresses else 10
        storage = open_storage("hdfs://h:1/x", hdfs_settings(*addresses, attempts=1, read_timeout_s=read_timeout_s))
        for call in (lambda: storage.stat("f"), lambda: storage.upload(tmp_path / "f", "f")):  # noqa: B023
            with pytest.raises(StorageUnavailable) as caught:
                call()
            assert str(caught.value) == (
                f"f: no NameNode answers at {named} ({how}). "
                "Try again later; if it persists, check that NameNode and DataNodes run"
            )


@pytest.mark.hdfs
def test_dead_and_silent_addresses_are_passed_by(
    hdfs: MiniHdfs, dead_server: str, silent_server: str, gateway: str
) -> None:
    settings = hdfs_settings(dead_server, gateway, silent_server, hdfs.webhdfs_url, read_timeout_s=10, attempts=1)
    storage = open_storage(f"{hdfs.hdfs_uri}/{uuid.uuid4().hex}", settings)
    storage.create("f", b"1")
    assert storage.read("f") == b"1"


@pytest.mark.hdfs
def test_block_size_and_replication_reach_the_server(hdfs: MiniHdfs) -> None:
    settings = hdfs_settings(hdfs.webhdfs_url, block_size_bytes=1 << 21, replication=2, user="somebody")
    folder = uuid.uuid4().hex
    open_storage(f"{hdfs.hdfs_uri}/{folder}", settings).create("f", b"1")
    status = make_client(settings).status(f"/{folder}/f")
    assert (status["blockSize"], status["replication"], status["owner"]) == (1 << 21, 2, "somebody")


@pytest.fixture
def on_hdfs(hdfs: MiniHdfs) -> Storage:
    return open_storage(f"{hdfs.hdfs_uri}/{uuid.uuid4().hex}", hdfs_settings(hdfs.webhdfs_url))


class LostAnswer:
    """Executes the first request of one operation, then reports that no answer came."""

    def __init__(self, operation: str) -> None:
        self.operation, self.lost = operation, 0
        self.request = requests.Session.request

    def __call__(self, session: requests.Session, *arguments: Any, **keywords: Any) -> requests.Response:
        answer = self.request(session, *arguments, **keywords)
        if (keywords.get("params") or {}).get("op") == self.operation and not self.lost:
            self.lost += 1
            raise requests.ConnectionError("the answer is lost")
        return answer

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(requests.Session, "request", functools.partialmethod(self))


@pytest.mark.hdfs
def test_a_lost_answer_to_the_last_rename_is_found_out(
    on_hdfs: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"up")
    for call, path, content in (
        (lambda: on_hdfs.create("made", b"new"), "made", b"new"),
        (lambda: on_hdfs.replace("made", b"newer"), "made", b"newer"),
        (lambda: on_hdfs.upload(tmp_path / "f", "sent"), "sent", b"up"),
    ):
        lost = LostAnswer("RENAME")
        with monkeypatch.context() as patch:
            lost.install(patch)
            call()
        assert lost.lost == 1
        assert on_hdfs.read(path) == content
    assert [entry.path for entry in on_hdfs.walk()] == ["made", "sent"]


@pytest.mark.hdfs
def test_a_rename_is_not_sent_twice(on_hdfs: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    on_hdfs.create("a", b"1")
    lost = LostAnswer("RENAME")
    with monkeypatch.context() as patch:
        lost.install(patch)
        with pytest.raises(StorageUnavailable):
            on_hdfs.rename("a", "b")
    assert on_hdfs.read("b") == b"1"


@pytest.mark.slow
@pytest.mark.hdfs
def test_a_namenode_restart_is_waited_for(hdfs: MiniHdfs, on_hdfs: Storage) -> None:
    on_hdfs.create("before", b"1")
    patient = open_storage(
        on_hdfs.root_uri, hdfs_settings(hdfs.webhdfs_url, attempts=1000, give_up_after_s=300, first_pause_s=0.2)
    )
    hdfs.kill("namenode")
    with ThreadPoolExecutor(1) as pool:
        try:
            with pytest.raises(StorageUnavailable):
                on_hdfs.stat("before")
            writing = pool.submit(patient.create, "during", b"2")
        finally:
            hdfs.start("namenode")
        writing.result(timeout=300)
    assert patient.read("before") == b"1"
    assert patient.read("during") == b"2"


@pytest.mark.hdfs
def test_the_state_is_that_of_the_moment(hdfs: MiniHdfs) -> None:
    """Metrics of a NameNode are up to ten seconds old: after a restart they would know of no DataNode."""
    settings = hdfs_settings(hdfs.webhdfs_url)
    hdfs.kill("namenode")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(hdfs.start, "namenode")
        while not starting.done():
            with suppress(StorageUnavailable):
                hdfs_status(settings)
        starting.result()
    status = hdfs_status(settings)
    assert status is not None
    assert (status.live_datanodes, status.dead_datanodes, status.missing_blocks) == (1, 0, 0)


@pytest.mark.slow
@pytest.mark.hdfs
def test_without_datanode_writing_and_reading_may_be_asked_again(
    hdfs: MiniHdfs, on_hdfs: Storage, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    on_hdfs.create("before", b"1")
    hdfs.kill("datanode")
    try:
        for call in (
            lambda: on_hdfs.create("f", b"1"),
            lambda: on_hdfs.upload(tmp_path / "f", "g"),
            lambda: on_hdfs.read("before"),
        ):
            with pytest.raises(StorageUnavailable, match=r"^(f|g|before): (the DataNode at http://|HDFS answered)"):
                call()
        assert [entry.path for entry in on_hdfs.walk()] == ["before"]
    finally:
        hdfs.start("datanode")
    on_hdfs.create("f", b"1")
    assert on_hdfs.read("before") == b"1"


@pytest.mark.hdfs
def test_an_upload_that_breaks_begins_again(on_hdfs: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * (3 << 12)
    (tmp_path / "f").write_bytes(data)
    request = requests.Session.request
    taken: list[bytes] = []

    def dies_once(self: requests.Session, *arguments: Any, **keywords: Any) -> requests.Response:
        if keywords.get("data") is not None and not taken:
            taken.append(next(keywords["data"]))
            raise requests.ConnectionError("the DataNode has died")
        return request(self, *arguments, **keywords)

    monkeypatch.setattr(requests.Session, "request", dies_once)
    uploaded = on_hdfs.upload(tmp_path / "f", "g")
    assert len(taken) == 1
    assert (uploaded.size_bytes, uploaded.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert on_hdfs.read("g") == data
    assert [entry.path for entry in on_hdfs.walk()] == ["g"]


@pytest.mark.hdfs
def test_a_file_that_shrank_while_open_is_an_error(hdfs: MiniHdfs, on_hdfs: Storage) -> None:
    storage = open_storage(on_hdfs.root_uri, hdfs_settings(hdfs.webhdfs_url, attempts=1))
    storage.create("f", b"x" * 1000)
    with storage.open("f") as stream:
        storage.replace("f", b"x" * 10)
        with pytest.raises(StorageUnavailable, match="10 instead of 1000 bytes"):
            stream.read()
        storage.delete("f")
        stream.seek(0)
        with pytest.raises(FileMissing):
            stream.read()


@pytest.mark.hdfs
def test_a_large_read_is_one_request_and_small_ones_share_one(
    hdfs: MiniHdfs, on_hdfs: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_hdfs.create("f", bytes(3 << 20))
    ranges: list[tuple[int, int]] = []
    request = requests.Session.request

    def record(self: requests.Session, *arguments: Any, **keywords: Any) -> requests.Response:
        params = keywords.get("params") or {}
        if params.get("op") == "OPEN":
            ranges.append((params["offset"], params["length"]))
        return request(self, *arguments, **keywords)

    monkeypatch.setattr(requests.Session, "request", record)
    with on_hdfs.open("f") as stream:
        for _ in range(100):
            assert len(stream.read(1000)) == 1000
        stream.seek(1 << 20)
        assert len(stream.read(2 << 20)) == 2 << 20
    assert ranges == [(0, 1 << 20), (1 << 20, 2 << 20)]


@pytest.mark.hdfs
def test_a_taken_name_is_found_when_it_appears_during_the_upload(
    on_hdfs: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"mine")
    verify = HdfsStorage._verify

    def other_is_quicker(self: HdfsStorage, *arguments: Any) -> None:
        verify(self, *arguments)
        on_hdfs.create("f", b"theirs")

    monkeypatch.setattr(HdfsStorage, "_verify", other_is_quicker)
    with pytest.raises(AlreadyThere):
        on_hdfs.upload(tmp_path / "f", "f")
    assert on_hdfs.read("f") == b"theirs"
    assert [entry.path for entry in on_hdfs.walk()] == ["f"]
