"""No secret ends up in anything that is written: output, logs, tables, JSON, scratch, processes."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.model import redact
from tests.e2e.archive import PROGRAM, Archive, Place
from tests.support.bad_servers import ADVERTISEMENT_TYPE, FLUSH, pkt
from tests.support.nobody import nobody
from tests.support.repos import build_graph
from tests.support.servers import Listener, git_daemon, http_status
from tests.support.sockets import Line, listening
from tests.support.written import Written

LOOK_EVERY_S = 0.5


@dataclass
class Planted:
    """Secrets, each unique, so that a leaked one shows where it came from."""

    where: dict[str, str] = field(default_factory=dict)

    def new(self, where: str) -> str:
        secret = f"S3cr3t{len(self.where):03d}x"
        self.where[secret] = where
        return secret

    def found_in(self, text: str) -> list[str]:
        """Hosts appear in lower case."""
        return [where for secret, where in self.where.items() if secret.lower() in text.lower()]


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted()


def answer(head: str, body: bytes = b"") -> contextlib.AbstractContextManager[Listener]:
    def handle(line: Line) -> None:
        line.read_head()
        line.send(head.encode() + f"\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)

    return listening(handle, "http")


def says(*lines: bytes) -> contextlib.AbstractContextManager[Listener]:
    """A git server that sends these lines to any request."""

    def handle(line: Line) -> None:
        line.reader(int(line.reader(4), 16) - 4)
        line.send(b"".join(lines))
        with contextlib.suppress(OSError):
            while line.socket.recv(65_536):
                pass

    return listening(handle, "git")


@pytest.fixture
def parrot() -> Iterator[Listener]:
    """A server that repeats what was sent as a login, and the login decoded, wherever a client may show it."""

    def handle(line: Line) -> None:
        head = line.read_head()
        sent = head.partition(b"Authorization: Basic ")[2].partition(b"\r\n")[0]
        assert sent, "a token is sent with the first request"
        said = b" ".join((sent, base64.b64decode(sent), base64.b64decode(sent).partition(b":")[2]))
        body = pkt(b"ERR you are " + said)
        line.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nX-You: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (ADVERTISEMENT_TYPE.encode(), said, len(body), body)
        )

    with listening(handle, "http") as server:
        yield server


REFS = (
    b"".join(map(pkt, (b"version 2\n", b"ls-refs=unborn\n", b"fetch\n", b"object-format=sha1\n")))
    + FLUSH
    + pkt(b"1" * 40 + b" refs/heads/main\n")
    + FLUSH
)


def hostile(planted: Planted) -> list[contextlib.AbstractContextManager[Listener]]:
    s = planted.new
    advertised = f"HTTP/1.1 200 OK\r\nContent-Type: {ADVERTISEMENT_TYPE}"
    return [
        http_status(
            302, f"Location: http://u:{s('redirect')}@127.0.0.1:1/x?token={s('its query')}#{s('fragment')}\r\n"
        ),
        http_status(302, f"Location: http://u:pa/ss{s('cut redirect')}@127.0.0.1/x?{s('its query')}\r\n"),
        http_status(302, f"Location: http://u:1/{s('redirect, port')}@127.0.0.1/x\r\n"),
        http_status(302, f"Location: ftp://u:{s('redirect, ftp')}@127.0.0.1/x\r\n"),
        http_status(302, f"Location: //u:{s('redirect, relative')}@127.0.0.1:1/x\r\n"),
        http_status(302, f"Location: http://u:\x01{s('redirect, control')}@127.0.0.1:1/x\r\n"),
        http_status(302, f"Location: http://[fe80::1%25{s('redirect, zone')}]/x\r\n"),
        http_status(302, f"Location: http://u%3A{s('redirect, encoded')}%40127.0.0.1/x\r\n"),
        http_status(401, f'WWW-Authenticate: Basic realm="{s("realm")}"\r\nSet-Cookie: {s("cookie")}\r\n'),
        answer(f"HTTP/1.1 500 {s('reason')}\r\nX-Debug: {s('header')}", s("page").encode()),
        answer(f"{s('status line')} nonsense"),
        answer(f"HTTP/1.1 200 OK\r\nContent-Type: text/html; token={s('content type')}", s("page").encode()),
        answer(f"HTTP/1.1 200 OK\r\nContent-Type: https://u:{s('content type')}@h/x"),
        answer(advertised, pkt(f"# {s('advertisement')}".encode()) + FLUSH),
        answer(advertised, pkt(f"version {s('version')}".encode()) + FLUSH),
        answer(advertised, pkt(b"version 2") + pkt(f"object-format={s('format')}".encode()) + FLUSH),
        says(pkt(b"version 2") + pkt(b"fetch") + FLUSH, pkt(f"{s('ref')} {s('ref')}".encode()) + FLUSH),
        answer(advertised, f"zzzz{s('no length')}".encode()),
        answer(advertised, pkt(f"ERR token={s('ERR over http')}".encode())),
        says(pkt(f"ERR no https://u:pa/ss{s('ERR')}@h/x?{s('ERR, query')} u:{s('ERR, scp')}@h".encode())),
        says(pkt(f'ERR {{"password": "{s("ERR, json")}"}} Bearer {s("ERR, bearer")}'.encode())),
        says(REFS, pkt(b"packfile\n"), pkt(f"\3fatal: https://u:{s('side band')}@h/x".encode())),
        says(REFS, pkt(b"packfile\n"), pkt(f"\2at https://u:{s('progress')}@h/x".encode()), b"0001zz"),
    ]


def mistyped(planted: Planted) -> list[str]:
    s = planted.new
    return [
        f"https://user:pa/ss{s('slash')}@host/x",
        f"https://user:pa#ss{s('hash')}@host/x",
        f"https://user:pa?ss{s('question mark')}@host/x",
        f"https://user:12/{s('port')}@host/x",
        f"https://{s('user')}@host/x",
        f"https://user:{s('password')}@host/x",
        f"https://host/x?private_token={s('query')}",
        f"https://user%3A{s('encoded')}%40host/x",
        f"user:{s('no scheme')}@host/x",
        f"https://user:{s('cut off')}",
    ]


def environment(planted: Planted) -> dict[str, str]:
    proxy = f"http://u:{planted.new('proxy')}@127.0.0.1:1"
    return {
        **os.environ,
        "http_proxy": proxy,
        "https_proxy": proxy,
        "ALL_PROXY": proxy,
        "AWS_SECRET_ACCESS_KEY": planted.new("environment"),
        "GITHUB_TOKEN": planted.new("environment"),
    }


def command_lines() -> Iterator[str]:
    """Command lines of all processes, as any user of this machine may read them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_text("latin-1")


@pytest.fixture
def fresh_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_known", set())


@pytest.mark.slow
@pytest.mark.usefixtures("one_spark", "fresh_words")
def test_nothing_that_is_written_has_a_secret(planted: Planted, parrot: Listener, tmp_path: Path) -> None:
    written, run_in = Written(), tmp_path / "here"
    run_in.mkdir()
    served = tmp_path / "served"
    served.mkdir()
    build_graph(served / "good.git", [[1], [2, 1]])
    token = planted.new("HDFS token")
    conf = {
        "spark.hadoop.fs.s3a.secret.key": planted.new("Spark's Hadoop secret"),
        "spark.hadoop.fs.s3a.endpoint": f"https://u:{planted.new('Spark, a URL')}@127.0.0.1/",
    }
    archive = Archive.at(
        Place("local", str(tmp_path / "archives")), tmp_path / "settings", "a",
        fetch__limits={"connect_s": 3, "silence_s": 3}, log={"level": "DEBUG"}, spark__conf=conf,
        hdfs={"webhdfs_urls": ["http://127.0.0.1:1"], "auth": "token", "token": token, "attempts": 1},
        **{f'hosts."127.0.0.1:{parrot.port}"': {"token_env": "FORGE_TOKEN", "username": "u"}},
    )  # fmt: skip
    forge_token = planted.new("token of a host")
    planted.where[base64.b64encode(f"u:{forge_token}".encode()).decode()] = "token of a host, as it is sent"
    env = environment(planted) | {"FORGE_TOKEN": forge_token}
    running: set[str] = set()

    def run(*words: str | Path, code: int) -> None:
        name = f"{len(written.texts)}: {words[0]} {words[-1] if code else ''}"
        at = words.index("--") if "--" in words else len(words)
        command = [PROGRAM, *words[:at], "--config", archive.config_path, *words[at:]]
        stdout = stderr = None
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=run_in, env=env
        ) as process:
            try:
                while stderr is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        stdout, stderr = process.communicate(timeout=LOOK_EVERY_S)
                    running.update(command_lines())
            finally:
                process.kill()
        assert process.returncode == code, f"{name}: {process.returncode}\n{stderr}"
        written.texts[f"{name}, stdout"], written.texts[f"{name}, stderr"] = stdout or "", stderr

    def say(*words: str | Path, code: int) -> None:
        """Run in this process: for commands that end before they need Spark, or may use the tests' Spark."""
        said = archive.run(*words, code=code)
        name = f"{len(written.texts)}: {words[0]}"
        written.texts[f"{name}, stdout"], written.texts[f"{name}, stderr"] = said.stdout, said.stderr

    archive.init()
    bad = mistyped(planted)
    for url in bad:
        for words in (
            ("origins", "add", url),
            ("origins", "add", "https://h/a", "--fork-of", url),
            ("origins", "add", "https://h/a", url),
            ("origins", "add", "--from", url),
            ("status", url),
            ("origins", "pause", url),
            ("restore", url, tmp_path / "restored"),
            ("status", "--archive", url.replace("https://", "hdfs://")) if "://" in url else ("status", url, url),
        ):
            say(*words, code=2)
    lines = tmp_path / "origins.txt"
    lines.write_text("".join(f"{url}\nhttps://h/a {url}\n" for url in bad))
    say("origins", "add", "--from", lines, code=2)
    say("backfill", "origins", "--from", lines, code=2)
    say("status", "--archive", "hdfs://127.0.0.1:1/x", code=5)
    say("status", "--archive", f"s3a://k:{planted.new('location')}@b/x", code=2)

    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(server) for server in hostile(planted)]
        good = stack.enter_context(git_daemon(served)).url("good.git")
        gone = stack.enter_context(nobody()).url()
        archive.add(*(server.url() for server in servers), good, gone, parrot.url())
        run("nightly", "--night", "2026-11-01", code=1)
    say("submit", "language_census", "--", "--token", planted.new("argument"), code=2)
    say("submit", "language_census", "--dry-run", code=0)
    say("submit", "language_census", "--dry-run", "--output", "json", code=0)
    for table in ("visits", "origins"):
        say("sql", f"SELECT * FROM {table}", "--output", "json", code=0)
    say("status", servers[0].url(), code=0)
    with pytest.MonkeyPatch.context() as patch:
        unforeseen = RuntimeError(f"https://u:{planted.new('unforeseen')}@h/x token={planted.new('unforeseen')}")
        patch.setattr("pipeline.cli.status.check_url", lambda url: (_ for _ in ()).throw(unforeseen))
        say("status", good, code=5)

    assert len({row["detail"] for row in archive.sql("SELECT detail FROM visits")}) > 10
    for folder in (tmp_path / "archives", tmp_path / "settings" / "scratch", run_in):
        written.folder(folder)
    written.texts["processes"] = "\n".join(running)
    assert any(str(archive.location) in line and "java" in line for line in running), "Spark of the night was seen"
    assert sum(name.endswith("rows") for name in written.texts) > 10
    assert sum(name.endswith("inflated") for name in written.texts) > 5
    assert {name: found for name, text in written.texts.items() if (found := planted.found_in(text))} == {}
