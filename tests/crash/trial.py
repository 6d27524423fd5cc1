"""One archive on HDFS that is reset to an earlier night again and again, to see how it survives the next kill."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pipeline.maintain.loads import find_rubbish, load_states, remove
from pipeline.model.layout import WAREHOUSE, Load
from pipeline.model.origin import bucket_of, network_id
from pipeline.model.tables import ALL, NAMESPACE, OBJECT_TABLES
from pipeline.storage.interface import Entry
from pipeline.storage.paths import is_temporary
from tests.crash.program import Program
from tests.e2e.archive import Archive, Place, night
from tests.support.git import git, put_tag, resolve, set_refs
from tests.support.repos import add_commits, build_graph, compare, force_push, fork_of
from tests.support.servers import Peer
from tests.support.spark import forget_tables

WHEN = ("run_id", "started_at", "duration_s", "last_visit", "added_at", "pack_bytes", "changes", "silent", "watched")
"""Columns that differ between any two runs; git may also pack the same objects one byte larger or smaller."""

BUCKETS = 2
COPIERS = 8

Rows = dict[str, list[str]]


@dataclass
class Origins:
    """Small repositories with two days of history, in both buckets; names are chosen by their bucket."""

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
        """Make a new repository that is not in ``listed``; return its URL."""
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
        """HEADs move forward, sideways and to known commits; a ref goes, a tag comes, a repository is deleted."""
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
        """The origins that are added to an archive."""
        urls = self.urls
        return [urls["root"], (urls["fork"], urls["root"]), urls["moved"], urls["still"], urls["gone"]]


class Trial:
    """The archive. Commands in this process share one Spark; commands that will be killed are programs."""

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
        self._saved: dict[str, dict[str, Entry]] = {}
        self._next: Program | None = None

    def save(self, name: str) -> None:
        """Save the current state of the archive."""
        storage = self.archive.storage
        self._saved[name] = {entry.path: entry for entry in storage.walk()}
        self._copy([(f"{storage.root_uri}/{path}", f"{storage.root_uri}-{name}/{path}") for path in self._saved[name]])

    def back_to(self, name: str) -> None:
        """Reset the archive to a saved state. Files unchanged by size and time are left alone."""
        storage, saved = self.archive.storage, self._saved[name]
        folders = {str(folder) for path in saved for folder in PurePosixPath(path).parents}
        same = set(self._keep(saved, folders, ""))
        lost = saved.keys() - same
        self._copy([(f"{storage.root_uri}-{name}/{path}", f"{storage.root_uri}/{path}") for path in lost])
        for path in lost:
            self._hadoop.setTimes(self._path(storage.uri(path)), round(saved[path].modified_at * 1000), -1)
        forget_tables(self.archive.spark)

    def _keep(self, saved: Mapping[str, Entry], folders: Collection[str], folder: str) -> Iterator[str]:
        """Delete changed files; yield unchanged ones."""
        storage = self.archive.storage
        for entry in storage.list(folder):
            if entry.is_dir and entry.path in folders:
                yield from self._keep(saved, folders, entry.path)
            elif entry == saved.get(entry.path):
                yield entry.path
            else:
                storage.delete(entry.path, recursive=True)

    def _copy(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Copy files within HDFS, several at once: each one costs little but waiting."""
        files, settings = self._hadoop, self.archive.spark._jsc.hadoopConfiguration()
        copy = self.archive.spark._jvm.org.apache.hadoop.fs.FileUtil.copy

        def one(pair: tuple[str, str]) -> bool:
            source, target = map(self._path, pair)
            return bool(copy(files, source, files, target, False, settings))

        with ThreadPoolExecutor(COPIERS) as pool:
            assert all(pool.map(one, pairs))

    @property
    def _hadoop(self) -> Any:
        """Hadoop's own client of this HDFS."""
        return self._path(self.archive.storage.root_uri).getFileSystem(self.archive.spark._jsc.hadoopConfiguration())

    def _path(self, uri: str) -> Any:
        return self.archive.spark._jvm.org.apache.hadoop.fs.Path(uri)

    @contextmanager
    def start(
        self,
        how: Literal["die", "hold"],
        point: str,
        *arguments: str | Path,
        today: date,
        archive: Archive | None = None,
    ) -> Iterator[Program]:
        """Run a command with an accident; at the end nothing of it is left, and the next program is ready."""
        program, self._next = self._next or Program.starting(self.archive.config_path), None
        words = [*map(str, arguments), "--config", str((archive or self.archive).config_path)]
        try:
            program.order(how=how, point=point, today=str(today), arguments=words)
            yield program
        finally:
            program.end_all()
            self._next = Program.starting(self.archive.config_path)

    def close(self) -> None:
        """End the waiting program."""
        if self._next is not None:
            self._next.end_all()

    def kill(self, point: str, *arguments: str | Path, today: date, archive: Archive | None = None) -> None:
        """Run a command as a program that dies at the point, with all processes that it started."""
        with self.start("die", point, *arguments, today=today, archive=archive) as program:
            code, said = program.end()
            assert code == -signal.SIGKILL, f"{point}: the program ended with {code}\n{said}"

    def rows(self, day: int) -> Rows:
        """Every table on a night."""
        return {table.name: self.archive.rows(table.name, day, without=WHEN) for table in ALL}

    def results(self, day: int) -> list[str]:
        """The job's results for a night."""
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
        """Files of landings and unfinished uploads, after a sweep of unreferenced files.

        Without those beside the lease: whoever takes it next deletes them when they are a week old.
        """
        storage = self.archive.storage
        later = time.time() + 60
        for rubbish in find_rubbish(storage, load_states(storage), untouched_since=later, plans_before=None):
            remove(storage, rubbish)
        left = [entry.path for entry in storage.walk() if not entry.path.startswith("lease.d/")]
        return [path for path in left if "/landing/" in path or is_temporary(path)]

    def data_files(self) -> Counter[str]:
        """How many files each table's data folder holds, whether a snapshot refers to them or not."""
        inside = [entry.path.split("/") for entry in self.archive.storage.walk(f"{WAREHOUSE}/{NAMESPACE}")]
        return Counter(table for _, _, table, kind, *_ in inside if kind == "data")

    def caches_frames(self) -> bool:
        """Whether Spark caches a frame that a run forgot: Spark would check it again when its tables are written."""
        return not self.archive.spark._jsparkSession.sharedState().cacheManager().isEmpty()

    def not_finished(self, *days: int) -> list[int]:
        storage = self.archive.storage
        return [day for day in days if storage.stat(Load.of_night(night(day)).finished) is None]

    def restored_differs(self, url: str, original: Path) -> list[str]:
        """Differences that C git finds in a restored repository."""
        self.restored += 1
        to = self.archive.restore(url, self.folder / f"restored-{self.restored}.git")
        return compare(original, to)
