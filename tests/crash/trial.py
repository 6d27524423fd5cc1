"""One archive on HDFS that is put back to an earlier night again and again, to see how it survives another death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, TextIO

from pipeline.maintain.loads import find_rubbish, load_states, remove
from pipeline.model.layout import WAREHOUSE, Load
from pipeline.model.origin import bucket_of, network_id
from pipeline.model.tables import ALL, NAMESPACE, OBJECT_TABLES
from pipeline.storage.paths import is_temporary
from pipeline.tables import session
from tests.crash.points import REACHED
from tests.e2e.archive import Archive, Place, night
from tests.support.git import git, put_tag, resolve, set_refs
from tests.support.repos import add_commits, build_graph, compare, force_push, fork_of
from tests.support.servers import Peer

WHEN = ("run_id", "started_at", "duration_s", "last_visit", "added_at", "pack_bytes")
"""Columns that differ between any two runs; git may also pack the same objects into a byte more or less."""

BUCKETS = 2
LIMIT_S = 180
GONE_S = 20

Rows = dict[str, list[str]]


@dataclass
class Origins:
    """Small repositories with two days of history, in both buckets; names are chosen by the bucket they lead to."""

    served: Path
    server: Peer
    urls: dict[str, str] = field(default_factory=dict)

    def make(self, label: str, bucket: int) -> Path:
        """A new repository whose origin belongs to the bucket."""
        numbered = (f"{label}-{number}.git" for number in range(1000))
        name = next(n for n in numbered if bucket_of(network_id(self.server.url(n)), BUCKETS) == bucket)
        self.urls[label] = self.server.url(name)
        build_graph(self.served / name, [[1], [2, 1], [3, 1, 2]])
        add_commits(self.served / name, 3, label=label)
        return self.served / name

    def add(self, label: str, bucket: int) -> str:
        """Another new repository's URL; not among those that are listed."""
        self.make(label, bucket)
        return self.urls[label]

    def repo(self, label: str) -> Path:
        return self.served / self.urls[label].rpartition("/")[2]

    def first_day(self) -> None:
        root = self.make("root", 0)
        add_commits(root, 3, branch="side", label="side")
        self.urls["fork"] = self.server.url("fork.git")
        fork_of(root, self.served / "fork.git")
        moved = self.make("moved", 1)
        set_refs(moved, {b"refs/heads/old": resolve(moved, "main~1")})
        self.make("still", 0)
        self.make("gone", 1)

    def second_day(self) -> None:
        """HEADs move on, aside and to what was known already; a ref goes, a tag comes, a repository is deleted."""
        set_refs(self.repo("root"), {b"refs/heads/main": resolve(self.repo("root"), "side")})
        add_commits(self.repo("fork"), 2, label="second")
        moved = self.repo("moved")
        force_push(moved)
        add_commits(moved, 2, label="second")
        git(moved, "update-ref", "-d", "refs/heads/old")
        set_refs(moved, {b"refs/tags/v1": put_tag(moved, resolve(moved, "main"), "commit", "v1")})
        self.repo("gone").rename(self.served / "elsewhere")

    @property
    def listed(self) -> list[str | tuple[str, str]]:
        """What is added to an archive."""
        urls = self.urls
        return [urls["root"], (urls["fork"], urls["root"]), urls["moved"], urls["still"], urls["gone"]]


@dataclass(frozen=True)
class Program:
    """A command that runs as a program of its own, in a session of its own; ``log`` has what it says of errors."""

    process: subprocess.Popen[str]
    log: TextIO

    def reach(self) -> None:
        """Wait until it is held at its point."""
        assert self.process.stdout is not None
        assert any(REACHED in line for line in self.process.stdout), self.said()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        """Wait for its end; its exit code, and what it said."""
        stdout, _ = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, stdout + self.said()

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()


class Trial:
    """The archive. Commands of its own process share one Spark; those that are to be killed are programs."""

    def __init__(self, place: Place, folder: Path, **sections: dict[str, Any]) -> None:
        self.folder = folder
        chosen: dict[str, dict[str, Any]] = {
            "archive": {"buckets": BUCKETS, "lease_s": 20},
            "nightly": {"jobs": ["language_census"]},
            "maintain": {"sweep_after_s": 0},
            "spark": {"driver_memory": "1g"},
        }
        for name, values in sections.items():
            chosen[name] = chosen.get(name, {}) | values
        self.archive = Archive.at(place, folder, "archive", **chosen)
        self.restored = 0

    def save(self, name: str) -> None:
        """Remember the archive as it is."""
        self._copy(self.archive.location, self._saved(name))

    def back_to(self, name: str) -> None:
        """Make the archive what it was; whatever happened since is gone."""
        self._copy(self._saved(name), self.archive.location)
        self._forget()

    def _forget(self) -> None:
        """Go on in a new session, whose catalog remembers no table."""
        old = self.archive.spark
        warehouse = old.conf.get(session._WAREHOUSE)
        session._SESSIONS[warehouse] = old.newSession()
        session._SESSIONS[warehouse].conf.set(session._WAREHOUSE, warehouse)

    def _saved(self, name: str) -> str:
        return f"{self.archive.location}-{name}"

    def _copy(self, source: str, target: str) -> None:
        spark = self.archive.spark
        hadoop = spark._jvm.org.apache.hadoop.fs  # type: ignore[union-attr]
        settings = spark._jsc.hadoopConfiguration()
        files = hadoop.Path(source).getFileSystem(settings)
        files.delete(hadoop.Path(target), True)
        assert hadoop.FileUtil.copy(files, hadoop.Path(source), files, hadoop.Path(target), False, settings)

    @contextmanager
    def start(
        self,
        how: Literal["die", "hold"],
        point: str,
        *arguments: str | Path,
        today: date,
        archive: Archive | None = None,
    ) -> Iterator[Program]:
        """Run a command with an accident in it; at the end nothing of it is left."""
        words = [sys.executable, "-m", "tests.crash.launcher", how, point, str(today), *map(str, arguments)]
        words += ["--config", str((archive or self.archive).config_path)]
        with (self.folder / "log").open("w+") as log:
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
            with process:
                try:
                    yield Program(process, log)
                finally:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
        wait_until(lambda: not in_session(process.pid), GONE_S, "what the program started outlives it")

    def kill(self, point: str, *arguments: str | Path, today: date, archive: Archive | None = None) -> None:
        """Run a command as a program that dies at the point, with all that it started."""
        with self.start("die", point, *arguments, today=today, archive=archive) as program:
            code, said = program.end()
            assert code == -signal.SIGKILL, f"{point}: the program ended with {code}\n{said}"

    def rows(self, day: int) -> Rows:
        """Every table on a night."""
        return {table.name: self.archive.rows(table.name, day, without=WHEN) for table in ALL}

    def results(self, day: int) -> list[str]:
        """What the job found on a night."""
        when = f"night = DATE '{night(day)}'"
        return sorted(map(repr, self.archive.spark.table("archive.results.language_census").where(when).collect()))

    def doubles(self, day: int) -> dict[str, Any]:
        """Objects that are in the archive more than once."""
        found = {}
        for table in OBJECT_TABLES:
            keys = self.archive.read(day).table(table.name).select("bucket", "network", "oid").collect()
            twice = {key: count for key, count in Counter(map(tuple, keys)).items() if count > 1}
            if twice:
                found[table.name] = twice
        return found

    def left_behind(self) -> list[str]:
        """Files of landings and unfinished uploads, after a sweep of what is nobody's."""
        storage = self.archive.storage
        later = time.time() + 60
        for rubbish in find_rubbish(storage, load_states(storage), untouched_since=later, plans_before=None):
            remove(storage, rubbish)
        return [e.path for e in storage.walk() if "/landing/" in e.path or is_temporary(e.path)]

    def data_files(self) -> Counter[str]:
        """How many files each table's data folder holds, whether a snapshot refers to them or not."""
        inside = [entry.path.split("/") for entry in self.archive.storage.walk(f"{WAREHOUSE}/{NAMESPACE}")]
        return Counter(table for _, _, table, kind, *_ in inside if kind == "data")

    def not_finished(self, *days: int) -> list[int]:
        storage = self.archive.storage
        return [day for day in days if storage.stat(Load.of_night(night(day)).finished) is None]

    def restored_differs(self, url: str, original: Path) -> list[str]:
        """What C git finds different in a restored repository."""
        self.restored += 1
        to = self.archive.restore(url, self.folder / f"restored-{self.restored}.git")
        return compare(original, to)


def in_session(leader: int) -> list[int]:
    """Processes of a session that run, whatever their groups."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def wait_until(true: Callable[[], bool], limit_s: float, otherwise: str) -> None:
    until = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < until, otherwise
        time.sleep(0.05)
