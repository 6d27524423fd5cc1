"""A repository in a temporary folder, with the objects that git needs to answer one question."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, Self

from pipeline.git.pack_writer import PackWriter
from pipeline.git.program import GitFailed, run_git
from pipeline.git.restore import write_repository
from pipeline.model.errors import UsageError
from pipeline.model.objects import TREE, GitObject
from pipeline.model.tree import entries_before_damage, kind_of
from pipeline.read.network_objects import NetworkObjects
from pipeline.read.packing import pack_contents
from pipeline.read.tree_rows import Entry, entries_of
from pipeline.rules.commit_diff import EMPTY_TREE
from pipeline.rules.restore import Head
from pipeline.rules.tree_diff import Changed, Steps, TooMany, compare
from pipeline.rules.walk import MOST_PATHS

_UNBORN = Head(b"refs/heads/main")


class NotKept(UsageError):
    """Git needs objects that the archive does not have."""

    def __init__(self, count: int, example: str) -> None:
        super().__init__(count, example)
        self.count, self.example = count, example

    def __str__(self) -> str:
        return (
            f"the archive does not keep {self.count} objects that git needs for this, such as {self.example}: they "
            "were taken down, are larger than its limit, or never came; `pipeline fsck --deep` tells if it lost them"
        )


class TooManyChanges(UsageError):
    """Two trees differ in more paths than are compared here."""

    def __str__(self) -> str:
        return f"these commits differ in more than {MOST_PATHS:,} paths: too many to compare"


class Lender(Protocol):
    """Where objects come from; those that it lacks are left out."""

    def trees(self, wanted: Collection[bytes]) -> Mapping[bytes, bytes]:
        """The bodies of some trees."""

    def commits(self, wanted: Collection[bytes]) -> Iterator[GitObject]:
        """Some commits."""

    def pack_contents(self, lacking: set[bytes], pack: PackWriter) -> None:
        """Add some blobs to a pack; those that are found are removed from ``lacking``."""


class NetworkLender:
    """Lends what a network has."""

    def __init__(self, objects: NetworkObjects) -> None:
        self._objects, self._trees = objects, objects.trees()

    def trees(self, wanted: Collection[bytes]) -> Mapping[bytes, bytes]:
        """The bodies of some trees."""
        return self._trees.bodies(wanted)

    def commits(self, wanted: Collection[bytes]) -> Iterator[GitObject]:
        """Some commits."""
        return self._objects.commits(wanted)

    def pack_contents(self, lacking: set[bytes], pack: PackWriter) -> None:
        """Add some blobs to a pack; those that are found are removed from ``lacking``."""
        for group in self._objects.contents(lacking):
            pack_contents(self._objects.storage, [group], pack)


class ScratchRepository:
    """A bare repository without refs. Git finds in it what was asked for here, and fails if it needs more.

    Args:
        folder: where it is; made by ``write_repository``.
    """

    def __init__(self, folder: Path, lender: Lender) -> None:
        self._folder, self._lender = folder, lender
        self._bodies: dict[bytes, bytes] = {EMPTY_TREE: b""}
        self._new: list[GitObject] = []
        self._known: set[bytes] = set()
        self._contents: set[bytes] = set()
        self._lacking: set[bytes] = set()

    @classmethod
    @contextmanager
    def open(cls, lender: Lender) -> Iterator[Self]:
        """An empty one, deleted at the end."""
        with TemporaryDirectory(prefix="git-lakehouse-") as folder:
            place = Path(folder) / "repository"
            write_repository(place, lambda _: None, {}, _UNBORN)
            yield cls(place, lender)

    def add_commits(self, wanted: Collection[bytes]) -> None:
        """Give git some commits."""
        new = set(wanted) - self._known
        self._known |= new
        self._new += self._lender.commits(new)

    def add_contents(self, wanted: Collection[bytes]) -> None:
        """Give git some blobs, without a word about those that are not archived: it may not need them."""
        self._contents.update(wanted)

    def trees(self, wanted: Collection[bytes]) -> Mapping[bytes, bytes]:
        """Give git some trees; returns the bodies of all that it has, which lack those that are not archived."""
        unread = set(wanted) - self._bodies.keys()
        if unread:
            found = self._lender.trees(unread)
            self._new += (GitObject(TREE, oid, body) for oid, body in found.items())
            self._bodies |= found
        return self._bodies

    def entries(self, trees: Collection[bytes], name: bytes) -> dict[bytes, Entry]:
        """Give git some trees; returns the entry of a name in each that has one."""
        bodies = self.trees(trees)
        return entries_of(((oid, bodies[oid]) for oid in trees if oid in bodies), name)

    def compare(self, old: bytes, new: bytes) -> list[Changed]:
        """Give git the trees that differ below two root trees; returns what differs.

        Raises:
            NotKept: one of them is not archived.
            TooManyChanges: there are too many.
        """
        seen: set[tuple[bytes, bytes]] = set()
        level = {(old, new)}
        while level:
            seen |= level
            bodies = self.trees({oid for pair in level for oid in pair})
            level = {below for pair in level for below in _folders_that_differ(pair, bodies)} - seen
        try:
            return list(compare(old, new, self._bodies, Steps(MOST_PATHS)))
        except KeyError as error:
            raise NotKept(1, error.args[0].hex()) from None
        except TooMany:
            raise TooManyChanges from None

    def git(self, *words: str | bytes) -> bytes:
        """What git says.

        Raises:
            GitMissing: it is not installed.
            NotKept: it fails, and some blobs are not archived.
            GitFailed: it fails otherwise, such as for a malformed tree.
            StoredFileDamaged: a file cannot be read.
        """
        self._write()
        try:
            return run_git(self._folder, *words)
        except GitFailed:
            if self._lacking:
                raise NotKept(len(self._lacking), min(self._lacking).hex()) from None
            raise

    def _write(self) -> None:
        contents = self._contents - self._known
        if not self._new and not contents:
            return
        lacking = set(contents)
        with PackWriter(self._folder / "objects" / "pack") as pack:
            for found in self._new:
                pack.add(found)
            if lacking:
                self._lender.pack_contents(lacking, pack)
            pack.finish()
        self._new.clear()
        self._known |= contents
        self._lacking |= lacking


def _folders_that_differ(pair: tuple[bytes, bytes], bodies: Mapping[bytes, bytes]) -> set[tuple[bytes, bytes]]:
    """Pairs of folders of one name that two trees do not share; the empty tree stands for none."""
    old, new = (_folders(bodies.get(oid, b"")) for oid in pair)
    names = old.keys() | new.keys()
    pairs = {(old.get(name, EMPTY_TREE), new.get(name, EMPTY_TREE)) for name in names}
    return {(one, other) for one, other in pairs if one != other}


def _folders(body: bytes) -> dict[bytes, bytes]:
    return {name: oid for mode, name, oid in entries_before_damage(body) if kind_of(mode) == "tree"}
