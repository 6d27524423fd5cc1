"""A real Gitea on this machine, for trying how forges are listed and for tests; not for keeping data.

    scripts/gitea build          build the program into the cache folder (once, some ten CPU minutes), start nothing
    scripts/gitea run FOLDER     run it with its data in FOLDER, made if needed, until Ctrl-C; it prints where it is
    scripts/gitea test [...]     run the tests with a real Gitea; what follows is for pytest

Go builds it, with cgo, from Gitea's published module, which has no built front end: the interface is complete, the
pages are bare. It listens on the loopback address only, with SQLite, and asks no other machine for anything.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import getpass
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from go_command import go
from hadoop_daemons import HOST, Failed, cache_folder, free_ports, locked

MODULE = "code.gitea.io/gitea"
VERSION = "v1.26.0"
TAGS = "sqlite sqlite_unlock_notify"
SHIPPED = ("options", "public", "templates")
"""Folders of the module that the program reads."""

TESTS = ("tests/fetch/forges/test_gitea.py", "tests/e2e/test_gitea.py")

ADMIN = "keeper"
STARTS_WITHIN_S = 120.0
ENDS_WITHIN_S = 60.0

SETTINGS = """APP_NAME = Gitea
RUN_MODE = prod
RUN_USER = {user}
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
HTTP_ADDR = {host}
HTTP_PORT = {port}
ROOT_URL = http://{host}:{port}/
STATIC_ROOT_PATH = {program}
APP_DATA_PATH = {folder}/data
DISABLE_SSH = true
OFFLINE_MODE = true

[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
SQLITE_JOURNAL_MODE = WAL

[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
INTERNAL_TOKEN =
PASSWORD_HASH_ALGO = pbkdf2_v2

[service]
DISABLE_REGISTRATION = true

[api]
MAX_RESPONSE_ITEMS = {items}

[mailer]
ENABLED = false

[actions]
ENABLED = false

[packages]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

[queue]
TYPE = channel

[cron]
ENABLED = false

[migrations]
ALLOW_LOCALNETWORKS = true

[log]
MODE = file
LEVEL = Info
ROOT_PATH = {folder}/log
logger.access.MODE = file
logger.router.MODE =
"""


def program() -> Path:
    """The folder of the built program and of what it reads."""
    return cache_folder() / "gitea" / VERSION


def missing() -> str:
    """Why it cannot be built here; "" if it can, or is built already."""
    if (program() / "gitea").exists():
        return ""
    lacking = [name for name in ("go", "gcc", "git") if shutil.which(name) is None]
    return f"{' and '.join(lacking)} needed to build Gitea" if lacking else ""


def build() -> Path:
    """Builds the program unless it is there; another process that builds is waited for. Returns its folder."""
    folder = program()
    if (folder / "gitea").exists():
        return folder
    with locked(folder.with_name(f".{VERSION}.lock")):
        if (folder / "gitea").exists():
            return folder
        if missing():
            raise Failed(missing())
        print(f"building Gitea {VERSION} into {folder} (once)", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-") as temporary:
            work = Path(temporary)
            source, made = work / "source", work / "made"
            module = json.loads(_go("mod", "download", "-json", f"{MODULE}@{VERSION}", at=work))
            shutil.copytree(module["Dir"], source, copy_function=shutil.copyfile)
            for each in (source, *source.rglob("*/")):
                each.chmod(0o755)  # Go's module cache is read-only
            made.mkdir()
            flags = f'-s -w -X "main.Version={VERSION.removeprefix("v")}" -X "main.Tags={TAGS}"'
            options = ("-p=2", "-trimpath", "-tags", TAGS, "-ldflags", flags)
            _go("build", *options, "-o", str(made / "gitea"), ".", at=source)
            for name in SHIPPED:
                (source / name).rename(made / name)
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    return folder


def _go(*arguments: str, at: Path) -> str:
    """Standard output of a go command."""
    return go(*arguments, at=at, environment={"CGO_ENABLED": "1", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"})


@dataclasses.dataclass
class Gitea:
    """A Gitea with its data in a folder of its own.

    Attributes:
        token: the administrator's; "" before the first start.
        items: repositories that it gives at most on a page; Gitea's own default is 50.
    """

    folder: Path
    port: int
    token: str = ""
    items: int = 50
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def at(cls, folder: Path, items: int = 50) -> Gitea:
        """One in a folder, which may have its data from an earlier run."""
        kept = folder / "local.json"
        if kept.exists():
            return cls(folder, **json.loads(kept.read_text()))
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "app.ini").exists():  # of a first start that did not end
            (folder / "app.ini").unlink()
            (folder / "gitea.db").unlink(missing_ok=True)
            shutil.rmtree(folder / "data", ignore_errors=True)
        return cls(folder, free_ports(["gitea"])["gitea"], items=items)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers; the first time it gets an administrator."""
        built, settings = build(), self.folder / "app.ini"
        if not settings.exists():
            values = {"folder": self.folder, "host": HOST, "port": self.port, "program": built, "items": self.items}
            settings.write_text(SETTINGS.format(**values, user=getpass.getuser(), secret=secrets.token_hex(32)))
            self._run("migrate")
            made = self._run(
                "admin", "user", "create", "--admin", "--username", ADMIN, "--password", secrets.token_hex(16),
                "--email", "admin@localhost.localdomain", "--must-change-password=false",
                "--access-token", "--access-token-name", "tests", "--access-token-scopes", "all",
            )  # fmt: skip
            self.token = made.split("Access token was successfully created...")[-1].split()[0]
            kept = {"port": self.port, "token": self.token, "items": self.items}
            (self.folder / "local.json").write_text(json.dumps(kept))
        with (self.folder / "output.log").open("ab") as log:
            self.process = subprocess.Popen(
                [built / "gitea", "--config", settings, "web"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment(), start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise Failed(f"Gitea did not start:\n{(self.folder / 'output.log').read_text()[-3000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/api/v1/version")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it, and what it has started."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        try:
            self.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(ENDS_WITHIN_S)
        self.process = None

    def settle(self) -> None:
        """Waits until it has done what it does later, in its queues."""
        (token,) = re.findall(r"(?m)^INTERNAL_TOKEN *= *(\S+)", (self.folder / "app.ini").read_text())
        headers = {"X-Gitea-Internal-Auth": f"Bearer {token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ENDS_WITHIN_S)
        try:
            asked = json.dumps({"Timeout": int(ENDS_WITHIN_S * 1e9), "NonBlocking": False})
            connection.request("POST", "/api/internal/manager/flush-queues", asked, headers)
            if (status := connection.getresponse().status) != 200:
                raise Failed(f"Gitea does not do what is in its queues: {status}")
        finally:
            connection.close()

    def _run(self, *arguments: str) -> str:
        command = [str(program() / "gitea"), "--config", str(self.folder / "app.ini"), *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"gitea {arguments[0]} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT", "GITEA"))}
        return kept | {"HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}


@contextlib.contextmanager
def running(folder: Path, items: int = 50) -> Iterator[Gitea]:
    """A Gitea that runs until the end of the block."""
    gitea = Gitea.at(folder, items)
    try:
        gitea.start()
        yield gitea
    finally:
        gitea.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the program")
    commands.add_parser("run", help="run it until Ctrl-C").add_argument("folder", type=Path)
    commands.add_parser("test", help="run the tests", add_help=False)
    asked, rest = parser.parse_known_args(arguments)
    try:
        if asked.command == "build":
            print(build())
        elif asked.command == "test":
            build()
            return subprocess.run([sys.executable, "-m", "pytest", "-m", "long", *TESTS, *rest], check=False).returncode
        else:
            with running(asked.folder.resolve()) as gitea:
                print(f"{gitea.url}, administrator {ADMIN}, token {gitea.token}", flush=True)
                ends = {signal.SIGTERM, signal.SIGINT}
                signal.pthread_sigmask(signal.SIG_BLOCK, ends)
                signal.sigwait(ends)
    except Failed as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
