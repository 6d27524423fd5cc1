"""Real git servers on free loopback ports: git daemon, and git http-backend behind cheroot or nginx."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from tests.support.git import git_environment
from tests.support.sessions import comes_up
from tests.support.sockets import JOIN_LIMIT_S, LOOPBACK, START_LIMIT_S, Peer, free_port

ATTEMPTS: Final = 5
CHUNK: Final = 65_536

# Changes the bytes of one response on their way to the client; None hangs up.
Alter = Callable[[bytes], bytes | None]


def _exec_path() -> Path:
    return Path(subprocess.run(["git", "--exec-path"], capture_output=True, check=True).stdout.decode().strip())


@contextlib.contextmanager
def served_by(command: Callable[[int], Sequence[str | Path]], log: IO[bytes], host: str = LOOPBACK) -> Iterator[int]:
    """Start a server on a free port; kill it and its children on exit. Yields the port."""
    for _ in range(ATTEMPTS):
        port = free_port()
        process = subprocess.Popen(
            command(port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=git_environment(),
            start_new_session=True,
        )
        try:
            if comes_up(process, port, host):
                yield port
                return
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(JOIN_LIMIT_S)
    log.seek(0)
    raise RuntimeError(f"the server did not start: {log.read().decode(errors='replace')}")


@contextlib.contextmanager
def git_daemon(root: Path, host: str = LOOPBACK, *options: str) -> Iterator[Peer]:
    """Serve every repository below ``root`` at git://; ``requests`` holds the path of each upload-pack.

    Args:
        options: further ones of git's program.
    """
    marker = b"Request upload-pack for '"

    def command(port: int) -> list[str | Path]:
        where = [f"--base-path={root}", f"--listen={host}", f"--port={port}"]
        return [_exec_path() / "git-daemon", "--export-all", "--reuseaddr", "--verbose", *options, *where, root]

    with tempfile.NamedTemporaryFile(prefix="git-daemon-") as log:

        def requests() -> list[str]:
            lines = Path(log.name).read_bytes().splitlines()
            return [line.partition(marker)[2].rstrip(b"'").decode("latin-1") for line in lines if marker in line]

        with served_by(command, log.file, host) as port:
            yield Peer("git", port, requests, host)


class Cgi:
    """A CGI program as a WSGI application.

    Args:
        command: of the program.
        variables: of its environment, besides those that each request sets.
        alter: returns, for each response, a function that changes its body on the way out.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        variables: Mapping[str, str],
        alter: Callable[[], Alter] | None = None,
    ) -> None:
        self.command, self.variables, self.alter = command, variables, alter

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        with tempfile.TemporaryFile() as body:
            shutil.copyfileobj(environ["wsgi.input"], body)
            body.seek(0)
            process = subprocess.Popen(
                self.command, stdin=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._cgi(environ)
            )
        assert process.stdout is not None
        status, headers = _cgi_head(process.stdout)
        start_response(status, headers)
        return self._body(process, process.stdout)

    def _cgi(self, environ: Mapping[str, Any]) -> dict[str, str]:
        passed = ("REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_CONTENT_ENCODING")
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape")
        cgi = {"PATH_INFO": path, "REMOTE_ADDR": LOOPBACK, **self.variables}
        cgi |= {name: environ[name] for name in passed if environ.get(name)}
        if "HTTP_GIT_PROTOCOL" in environ:
            cgi["GIT_PROTOCOL"] = environ["HTTP_GIT_PROTOCOL"]
        return git_environment() | cgi

    def _body(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> Iterator[bytes]:
        alter = self.alter() if self.alter else None
        try:
            while chunk := output.read1(CHUNK):  # type: ignore[attr-defined]
                altered = alter(chunk) if alter else chunk
                if altered is None:
                    raise ConnectionAbortedError("hung up on purpose")
                if altered:
                    yield altered
        finally:
            output.close()
            process.kill()
            process.wait(JOIN_LIMIT_S)


def _cgi_head(output: IO[bytes]) -> tuple[str, list[tuple[str, str]]]:
    status, headers = "200 OK", []
    while line := output.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "status":
            status = value
        else:
            headers.append((name, value))
    return status, headers


def backend(root: Path, alter: Callable[[], Alter] | None = None) -> Cgi:
    """``git http-backend`` for every repository below ``root``."""
    return Cgi([_exec_path() / "git-http-backend"], {"GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1"}, alter)


@contextlib.contextmanager
def wsgi_server(
    application: Callable[..., Iterable[bytes]], certificate: tuple[Path, Path] | None = None
) -> Iterator[Peer]:
    """Serve an application at http://; at https:// with a certificate and its key."""
    asked: list[str] = []

    def noting(environ: Mapping[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING", "")
        asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{'?' if query else ''}{query}")
        return application(environ, start_response)

    server = wsgi.Server((LOOPBACK, 0), noting, numthreads=8, shutdown_timeout=1)
    server.error_log = lambda *_, **__: None  # type: ignore[method-assign]
    if certificate is not None:
        server.ssl_adapter = BuiltinSSLAdapter(*map(str, certificate))
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield Peer("http" if certificate is None else "https", server.bind_addr[1], lambda: list(asked))
    finally:
        server.stop()
        thread.join(JOIN_LIMIT_S)


@contextlib.contextmanager
def http_backend(
    root: Path, *, alter: Callable[[], Alter] | None = None, certificate: tuple[Path, Path] | None = None
) -> Iterator[Peer]:
    """Serve every repository below ``root`` at http:// with git's own CGI program.

    Args:
        root: folder of bare repositories.
        alter: returns, for each response, a function that changes its body on the way out.
        certificate: a certificate and its key, to serve at https:// instead.
    """
    with wsgi_server(backend(root, alter), certificate) as peer:
        yield peer


def nginx_missing() -> str:
    """Why ``nginx_backend`` cannot run here; "" when it can."""
    missing = [program for program in ("nginx", "fcgiwrap") if shutil.which(program) is None]
    return f"{' and '.join(missing)} not on PATH" if missing else ""


_NGINX: Final = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        client_max_body_size 0;
        location / {{
            fastcgi_pass unix:{folder}/fcgi.sock;
            fastcgi_param SCRIPT_FILENAME {program};
            fastcgi_param GIT_PROJECT_ROOT {root};
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param GIT_PROTOCOL $http_git_protocol;
            fastcgi_param PATH_INFO $document_uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
            fastcgi_param REMOTE_ADDR $remote_addr;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx_backend(root: Path) -> Iterator[Peer]:
    """Serve the same with nginx and fcgiwrap, as small git hosts do; see ``nginx_missing``."""
    with tempfile.TemporaryDirectory(prefix="nginx-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        log = stack.enter_context((folder / "output.log").open("w+b"))
        wrapper = subprocess.Popen(
            ["fcgiwrap", "-c", "4", "-s", f"unix:{folder}/fcgi.sock"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=git_environment(), start_new_session=True,
        )  # fmt: skip
        stack.callback(wrapper.wait, JOIN_LIMIT_S)
        stack.callback(os.killpg, wrapper.pid, signal.SIGKILL)

        until = time.monotonic() + START_LIMIT_S
        while not (folder / "fcgi.sock").exists():
            assert wrapper.poll() is None, "fcgiwrap ended"
            assert time.monotonic() < until, "fcgiwrap does not listen"
            time.sleep(0.01)

        def command(port: int) -> list[str | Path]:
            program = _exec_path() / "git-http-backend"
            text = _NGINX.format(folder=folder, host=LOOPBACK, port=port, program=program, root=root)
            (folder / "nginx.conf").write_text(text)
            return ["nginx", "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]

        def requests() -> list[str]:
            lines = (folder / "access.log").read_text().splitlines()
            return [line.split('"')[1].rpartition(" ")[0] for line in lines]

        yield Peer("http", stack.enter_context(served_by(command, log)), requests)
