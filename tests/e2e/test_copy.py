"""A copy is killed everywhere, completed, becomes an archive of its own, and goes on with nights."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.context.workplace import Workplace
from pipeline.maintain.copy.run_copy import run_copy
from pipeline.storage.local import LocalStorage
from tests.e2e.archive import Archive, Place, night
from tests.support.crash import Crash
from tests.support.hdfs import MiniHdfs
from tests.support.repos import add_commits, build_graph, compare, force_push, fork_of, strange_repository
from tests.support.servers import Peer, git_daemon

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_spark")]

NAMES = ("graph", "fork", "strange")
NIGHTS = (1, 2, 3)


@dataclass(frozen=True)
class Point:
    """A moment of a copy: one write to the destination. ``calls`` such writes are ignored first."""

    write: str
    path: Callable[[str], bool]
    calls: int = 0
    after: bool = False


def ends(*suffixes: str) -> Callable[[str], bool]:
    return lambda path: path.endswith(suffixes)


def has(part: str) -> Callable[[str], bool]:
    return lambda path: part in path


POINTS = {
    "before any file": Point("upload", has("/data/")),
    "some data files are there": Point("upload", has("/data/"), calls=2, after=True),
    "data is there, and no manifest": Point("upload", has("-m0")),
    "a snapshot of one table is whole": Point("upload", has("/metadata/snap-"), after=True),
    "tables are whole, no document is": Point("replace", has("runs/")),
    "all but the metadata": Point("replace", ends(".metadata.json")),
    "a table has new metadata, and an old hint": Point("replace", ends("version-hint.text")),
    "all tables but origins are new": Point("replace", has("/origins/metadata/v")),
    "only the record is old": Point("replace", has("copy.json")),
    "complete, nothing is deleted": Point("replace", has("copy.json"), after=True),
}


class Doomed(LocalStorage):
    """A destination whose writer dies at a point: nothing is written from then on. A dead writer's lease has ended."""

    def __init__(self, root: Path, point: Point) -> None:
        super().__init__(root)
        self.point, self.left, self.dead, self.lock = point, point.calls, False, threading.Lock()

    def _watched(self, name: str, path: str, write: Callable[[], Any]) -> Any:
        if path.startswith("lease."):
            return write()
        with self.lock:
            here = name == self.point.write and self.point.path(path)
            self.left -= here
            now = here and self.left == -1
            self.dead = self.dead or (now and not self.point.after)
            if self.dead:
                raise Crash
        done = write()
        with self.lock:
            self.dead = self.dead or now
            if now:
                raise Crash
        return done

    def upload(self, local: Path, path: str) -> Any:
        return self._watched("upload", path, lambda: LocalStorage.upload(self, local, path))

    def replace(self, path: str, data: bytes) -> None:
        self._watched("replace", path, lambda: LocalStorage.replace(self, path, data))

    def create(self, path: str, data: bytes) -> None:
        self._watched("create", path, lambda: LocalStorage.create(self, path, data))

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        return bool(self._watched("delete", path, lambda: LocalStorage.delete(self, path, recursive=recursive)))


@dataclass
class World:
    """An archive, the repositories that it visits, and what these were on each night."""

    archive: Archive
    served: Path
    past: Path
    server: Peer

    def url(self, name: str) -> str:
        return self.server.url(f"{name}.git")

    def night(self, archive: Archive, day: int) -> None:
        for name in NAMES:
            add_commits(self.served / f"{name}.git", 2, label=f"night {day}")
        force_push(self.served / "graph.git")
        assert archive.nightly(day)["failed"] == []
        shutil.copytree(self.served, self.past / str(day))

    def same(self, archive: Archive, day: int, scratch: Path) -> None:
        """Every repository comes back as it was on that night."""
        for name in NAMES:
            to = archive.restore(self.url(name), scratch / uuid.uuid4().hex, day=day)
            assert compare(self.past / str(day) / f"{name}.git", to) == [], (name, day)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, one_spark: None) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    served = root / "served"
    build_graph(served / "graph.git", [[1], [2, 1], [3, 1], [4, 2, 3]])
    fork_of(served / "graph.git", served / "fork.git")
    strange_repository(served / "strange.git", large_bytes=100_000)
    place = Place("local", str(root))
    archive = Archive.at(
        place, root / "config", "original", fetch={"refs": ["HEAD", "refs/"]}, nightly={"jobs": ["language_census"]}
    )
    archive.init()
    with git_daemon(served) as server:
        made = World(archive, served, root / "past", server)
        archive.add(made.url("graph"), made.url("strange"), (made.url("fork"), made.url("graph")))
        yield made


def copied(world: World, name: str, place: Place | None = None) -> Archive:
    """A copy as an archive of its own configuration."""
    place = place or Place("local", str(Path(world.archive.location).parent))
    sections = {key.replace(".", "__"): dict(values) for key, values in world.archive.settings.items()}
    sections["archive"].pop("location")
    return Archive.at(place, world.past.parent / f"config-{name}", name, **sections)


def paths(archive: Archive) -> set[str]:
    return {e.path for e in archive.storage.walk() if not e.path.startswith(("lease.", "copy.json"))}


def test_three_nights_with_a_kill_at_each_of_ten_points(world: World, tmp_path: Path) -> None:
    copy = copied(world, "copy")
    root = Path(copy.location)
    place = Workplace(world.archive.config, world.archive.storage)
    half: Archive | None = None
    for day in NIGHTS:
        world.night(world.archive, day)
        for name, point in POINTS.items():
            doomed = Doomed(root, point)
            with pytest.raises(Crash):
                run_copy(place, doomed)
            assert doomed.dead, name
            if day > 1 and not point.after:
                before = pipeline.open(root, night=night(day - 1))
                assert before.arrow("refs").num_rows > 0, name
            if (day, name) == (3, "only the record is old"):
                half = copied(world, "half")
                shutil.copytree(root, half.location)
                world.same(copy, day - 1, tmp_path)
        done = run_copy(place, LocalStorage(root))
        assert done.nights == tuple(str(night(past)) for past in NIGHTS[:day])
        assert done.files < done.kept / 2, "only documents, which are as young as the copy"
        assert done.deleted > 0 or day == 1
        assert paths(copy) <= paths(world.archive)
    for day in NIGHTS:
        world.same(copy, day, tmp_path)
    assert "is a copy of another one" in copy.run("nightly", "--night", str(night(4)), code=2).stderr
    assert "is a copy of another one" in copy.run("fsck", code=2).stderr
    again = run_copy(place, LocalStorage(root), verify=True)
    assert again.files < again.kept / 2

    assert half is not None
    with lost(world.archive):
        promoted(world, copy, half, tmp_path)


@contextmanager
def lost(archive: Archive) -> Iterator[None]:
    shutil.move(archive.location, f"{archive.location}-lost")
    try:
        yield
    finally:
        shutil.move(f"{archive.location}-lost", archive.location)


def promoted(world: World, copy: Archive, half: Archive, tmp_path: Path) -> None:
    """Both become archives of their own; the one that lacks the last night makes it again."""
    for archive, nights in ((half, NIGHTS[:-1]), (copy, NIGHTS)):
        assert archive.ask("relocate")["tables"] > 10
        assert archive.ask("relocate")["tables"] == 0
        assert archive.ask("fsck")["findings"] == []
        world.same(archive, nights[-1], tmp_path)
        assert len(archive.status()["nights"]) == len(nights)
        (counted,) = archive.sql("SELECT count(*) AS n, count(DISTINCT oid) AS ids FROM contents WHERE at_head")
        assert counted["n"] >= counted["ids"] > 0
    half.nightly(3)
    world.same(half, 3, tmp_path)
    assert half.ask("fsck")["findings"] == []
    world.night(copy, 4)
    for day in (1, 4):
        world.same(copy, day, tmp_path)
    assert copy.ask("fsck", "--deep")["findings"] == []
    assert copy.run("doctor", code=(0,)).code == 0


@pytest.mark.hdfs
def test_another_storage(world: World, hdfs: MiniHdfs, tmp_path: Path) -> None:
    """From this machine to HDFS, and from there to another folder of it, which is then all that is left."""
    if not world.archive.status()["nights"]:
        world.night(world.archive, 1)
    place = Place("hdfs", f"{hdfs.hdfs_uri}/copy-{uuid.uuid4().hex}", {"webhdfs_urls": [hdfs.webhdfs_url]})
    first, second = (copied(world, name, place) for name in ("first", "second"))
    reached = ("--destination-config", first.config_path)
    done = world.archive.ask("copy", first.location, *reached)
    assert done["files"] > 50
    again = world.archive.ask("copy", first.location, *reached, "--verify")
    assert again["files"] < again["kept"]
    first.ask("relocate")
    assert first.ask("copy", second.location)["nights"] == done["nights"]
    second.ask("relocate")
    for entry in first.storage.list():
        first.storage.delete(entry.path, recursive=True)
    world.same(second, 1, tmp_path)
    assert second.ask("fsck")["findings"] == []
    query = "SELECT count(*) AS n FROM commits"
    assert second.sql(query) == world.archive.sql(query)
