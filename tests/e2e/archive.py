"""An archive as its users see it: the command line, run in this process or as a separate program."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from pyspark.sql import SparkSession

from pipeline.cli.main import cli
from pipeline.context.config import Config, load_config
from pipeline.read import archive as read
from pipeline.storage.factory import open_storage
from pipeline.storage.interface import Storage
from pipeline.tables.session import open_session
from tests.support.own_logging import own_logging
from tests.support.spark import QUICK_SPARK, UNCOMPILED

PROGRAM = Path(sys.executable).with_name("pipeline")
PROGRAM_LIMIT_S = 240

Row = dict[str, Any]


def night(day: int) -> date:
    return date(2026, 11, day)


@dataclass(frozen=True)
class Place:
    """A place for archives; ``hdfs`` is the configuration that a place on HDFS needs."""

    name: str
    root: str
    hdfs: dict[str, Any] | None = None


@dataclass(frozen=True)
class Said:
    """The result of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, which must be exactly one JSON document."""
        return json.loads(self.stdout)


class Started(subprocess.Popen[str]):
    """A program in a session of its own; a test that fails does not wait for it."""

    def __exit__(self, kind: type[BaseException] | None, *others: Any) -> None:
        if kind is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        super().__exit__(kind, *others)


@dataclass(frozen=True)
class Archive:
    """One archive and the configuration of its commands.

    Every method that runs a command checks the exit code, by default 0, and returns the JSON output.
    """

    location: str
    folder: Path
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def at(cls, place: Place, folder: Path, name: str, **sections: dict[str, Any]) -> Archive:
        """An archive that is not created yet; ``sections`` are merged into the common configuration."""
        settings: dict[str, dict[str, Any]] = {
            "archive": {"location": f"{place.root}/{name}", "buckets": 4},
            "fetch": {"allowed_networks": ["127.0.0.0/8"], "scratch": str(folder / "scratch"), "run_bytes": 16 << 20},
            "fetch.limits": {"connect_s": 10, "silence_s": 30, "total_s": 120},
            "nightly": {"jobs": []},
            "spark": QUICK_SPARK,
            "spark.conf": UNCOMPILED,
            "luigi": {"first_pause_s": 0.1},
            "log": {"level": "INFO"},
        }
        if place.hdfs is not None:
            settings["hdfs"] = place.hdfs
        for section, values in sections.items():
            key = section.replace("__", ".")
            settings[key] = settings.get(key, {}) | values
        folder.mkdir(parents=True, exist_ok=True)
        archive = cls(settings["archive"]["location"], folder, settings)
        archive.write_config()
        return archive

    @property
    def config_path(self) -> Path:
        return self.folder / "config.toml"

    def write_config(self) -> None:
        lines = []
        for section, values in self.settings.items():
            lines += [f"[{section}]", *(f'"{key}" = {json.dumps(value)}' for key, value in values.items()), ""]
        self.config_path.write_text("\n".join(lines))

    def with_settings(self, **sections: dict[str, Any]) -> Archive:
        """The same archive with other settings, in a separate configuration file."""
        settings = {name: dict(values) for name, values in self.settings.items()}
        for section, values in sections.items():
            key = section.replace("__", ".")
            settings[key] = settings.get(key, {}) | values
        folder = self.folder / f"with-{len(list(self.folder.glob('with-*')))}"
        folder.mkdir()
        changed = dataclasses.replace(self, folder=folder, settings=settings)
        changed.write_config()
        return changed

    # Commands

    def run(self, *arguments: str | Path, code: int | tuple[int, ...] = 0, stdin: str | None = None) -> Said:
        """Run a command in this process. It may end with any of the codes."""
        words = [*_placed(arguments, "--config", str(self.config_path))]
        with own_logging():
            done = CliRunner().invoke(cli, words, input=stdin)
        said = Said(done.exit_code, done.stdout, done.stderr)
        codes = code if isinstance(code, tuple) else (code,)
        assert said.code in codes, f"{words} ended with {said.code}\n{said.stdout}\n{said.stderr}\n{done.exc_info}"
        return said

    def start(self, *arguments: str | Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a command as a separate program in its own session."""
        words = [str(PROGRAM), *_placed(arguments, "--config", str(self.config_path))]
        return Started(
            words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def program(self, *arguments: str | Path, code: int = 0) -> Said:
        """Run a command as a separate program."""
        with self.start(*arguments) as process:
            try:
                stdout, stderr = process.communicate(timeout=PROGRAM_LIMIT_S)
            finally:
                process.kill()
        assert process.returncode == code, f"{arguments} ended with {process.returncode}\n{stdout}\n{stderr}"
        noise = [line for line in stderr.splitlines() if line.lstrip().startswith(("Traceback", "WARNING: Using"))]
        assert noise == [], stderr
        return Said(process.returncode, stdout, stderr)

    def ask(self, *arguments: str | Path, code: int = 0) -> Any:
        """Run a command with --output json."""
        said = self.run(*_placed(arguments, "--output", "json"), code=code)
        return said.json if said.stdout else None

    def init(self, *arguments: str) -> Any:
        return self.ask("init", *arguments)

    def add(self, *urls: str | tuple[str, str]) -> Any:
        """Add origins, each a URL or a pair of URL and fork root, in one call."""
        lines = "".join(f"{url if isinstance(url, str) else ' '.join(url)}\n" for url in urls)
        said = self.run("origins", "add", "--from", "-", "--output", "json", stdin=lines)
        return said.json

    def nightly(self, day: int, *arguments: str, code: int = 0) -> Any:
        return self.ask("nightly", "--night", str(night(day)), *arguments, code=code)

    def restore(self, url: str, to: Path, *, day: int | None = None, code: int = 0) -> Path:
        when = [] if day is None else ["--night", str(night(day))]
        self.ask("restore", url, to, *when, code=code)
        return to

    def sql(self, query: str, *, day: int | None = None, code: int = 0) -> list[Row]:
        when = [] if day is None else ["--night", str(night(day))]
        found: list[Row] = self.ask("sql", query, *when, "--limit", "100000", code=code)
        return found

    def status(self, *url: str) -> Any:
        return self.ask("status", *url)

    # What commands do not show

    @property
    def config(self) -> Config:
        return load_config(self.config_path)

    @property
    def storage(self) -> Storage:
        return open_storage(self.location, self.config.hdfs)

    @property
    def spark(self) -> SparkSession:
        """The session that commands in this process use."""
        return open_session(self.config.spark, self.storage.root_uri, "tests")

    def read(self, day: int | None = None) -> read.Archive:
        return read.Archive(self.spark, None if day is None else night(day), self.storage)

    def rows(self, table: str, day: int | None = None, *, without: Sequence[str] = ()) -> list[str]:
        """All rows of a table on a night as sorted text; columns by name, so that two archives can be compared."""
        found = self.read(day).table(table).drop(*without).toArrow().to_pylist()
        return sorted(repr(sorted(row.items())) for row in found)

    def visit(self, url: str, day: int) -> Row:
        """The only visit of an origin on a night."""
        (found,) = self.sql(f"SELECT * FROM visits WHERE origin = '{url}' AND night = DATE '{night(day)}'")
        return found


def _placed(arguments: Sequence[str | Path], *options: str) -> list[str]:
    """The arguments with options before a ``--``, after which they would be the job's."""
    words = [str(argument) for argument in arguments]
    at = words.index("--") if "--" in words else len(words)
    return [*words[:at], *options, *words[at:]]
