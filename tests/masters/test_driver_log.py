"""The log of a driver on YARN, as its node serves it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.tables.masters.driver_log import DriverLog
from pipeline.tables.masters.yarn import Container
from tests.support.sockets import Line, listening


@dataclass
class Node:
    """A NodeManager's web service; ``grow`` is added to a file between its listing and its reading."""

    files: dict[str, bytes] = field(default_factory=dict)
    grow: bytes = b""

    def answer(self, line: Line) -> None:
        path = line.read_head().split()[1].decode()
        read = re.search(r"/logs/(\w+)\?size=-(\d+)$", path)
        body = self.read(read[1], int(read[2])) if read else self.listed()
        line.send(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def listed(self) -> bytes:
        files = [{"fileName": name, "fileSize": str(len(data))} for name, data in self.files.items()]
        return json.dumps({"containerLogsInfo": [{"containerLogInfo": files, "containerId": "c_1"}]}).encode()

    def read(self, name: str, last: int) -> bytes:
        self.files[name] += self.grow
        data = self.files[name]
        head = f"Container: c_1 on n\n=====\nLogType:{name}\nLogLength:{len(data)}\nLogContents:\n"
        return (
            head.encode() + data[-last:] + f"\nEnd of LogType:{name}.This log file is of a running container".encode()
        )


@contextmanager
def log_of(node: Node) -> Iterator[DriverLog]:
    with listening(node.answer, "http") as server:
        yield DriverLog(Container("c_1", f"127.0.0.1:{server.port}"))


def test_each_line_comes_once_and_when_it_is_whole() -> None:
    node = Node({"stdout": b"one\ntw", "stderr": b""})
    with log_of(node) as log:
        assert list(log.lines()) == ["one"]
        assert list(log.lines()) == []
        node.files["stdout"] += b"o\nthree"
        node.files["stderr"] += b"bad\n"
        assert list(log.lines()) == ["two", "bad"]
        assert list(log.lines(last=True)) == ["three"]


def test_a_file_that_grows_while_it_is_read_loses_nothing() -> None:
    node = Node({"stdout": b"a\n"}, grow=b"b\n")
    with log_of(node) as log:
        assert list(log.lines()) == ["a", "b"]
        node.grow = b""
        node.files["stdout"] += b"c\n"
        assert list(log.lines()) == ["c"]


def test_words_of_the_service_inside_a_log_are_the_logs() -> None:
    said = b"LogContents:\nLogLength:3\nEnd of LogType:stdout\nx\n"
    with log_of(Node({"stdout": said})) as log:
        assert list(log.lines()) == said.decode().splitlines()


def test_an_answer_that_is_cut_says_nothing_and_raises_nothing() -> None:
    def cut(line: Line) -> None:
        line.read_head()
        line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{")

    with listening(cut, "http") as server:
        log = DriverLog(Container("c_1", f"http://127.0.0.1:{server.port}"))
        assert list(log.lines()) == []


def test_a_node_that_does_not_answer_says_nothing() -> None:
    with listening(lambda line: None, "http") as server:
        log = DriverLog(Container("c_1", f"http://127.0.0.1:{server.port}"))
        assert list(log.lines(last=True)) == []
