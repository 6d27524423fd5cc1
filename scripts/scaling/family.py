"""A root and its forks as real bare repositories: forks share the root's objects and have commits of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.histories import FILES_OF_A_FOLDER
from benchmarks.measure import command
from benchmarks.repositories import Server
from scaling.made import FIRST, MAIN, Shape
from scaling.server import pack_of

_EPOCH = 1_700_000_000
_SPREAD = 7_919
"""Forks change files far apart from each other."""


@dataclass(frozen=True, slots=True)
class Family:
    """Each fork is one commit ahead of the root, which changes a file or adds one.

    Attributes:
        files: of the root.
        forks: their numbers count from 0.
    """

    server: Server
    files: int
    forks: int

    @property
    def origins(self) -> int:
        """The root and its forks."""
        return 1 + self.forks

    @property
    def root(self) -> str:
        """The URL of the root."""
        return self.server.url("root")

    def fork(self, number: int) -> str:
        """The URL of a fork."""
        return self.server.url(_fork(number))

    def lines(self) -> Iterator[str]:
        """All origins, as ``pipeline origins add`` reads them."""
        yield self.root
        for number in range(self.forks):
            yield f"{self.fork(number)} {self.root}"

    def make(self) -> None:
        """Make all repositories."""
        version = Shape(self.files, changed=1, blob_bytes=1_000).version(0, FIRST)
        root = self._init("root")
        _type(root, pack_of({made.oid: made for made in version.objects}), "index-pack", "--stdin")
        command(["git", "-C", root, "update-ref", MAIN.decode(), version.tip.hex()])
        objects = f"{root.resolve()}/objects\n"
        for number in range(self.forks):
            (self._init(_fork(number)) / "objects" / "info" / "alternates").write_text(objects)
            self._commit(number, FIRST, version.tip.hex())

    def change(self, number: int) -> None:
        """Let a fork add a file, or change one, a second time."""
        tip = command(["git", "-C", self.server.path(_fork(number)), "rev-parse", MAIN.decode()]).strip()
        self._commit(number, FIRST + 1, tip)

    def listed(self, number: int) -> list[tuple[str, int, str]]:
        """Path, mode and id of all files at a fork's HEAD, as git lists them, sorted."""
        text = command(["git", "-C", self.server.path(_fork(number)), "ls-tree", "-r", "-z", "HEAD"])
        rows = (line.partition("\t") for line in text.split("\0") if line)
        return sorted((path, int(facts.split()[0], 8), facts.split()[2]) for facts, _, path in rows)

    def _init(self, name: str) -> Path:
        path = self.server.path(name)
        command(["git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", path])
        return path

    def _commit(self, number: int, version: int, parent: str) -> None:
        text = b"/* fork %d, version %d */\n" % (number, version)
        who = b"Some Body <body%d@example.org> %d +0100" % (number % 40, _EPOCH + 3600 * (FIRST + version))
        stream = (
            b"commit %b\ncommitter %b\ndata %d\n%b\nfrom %b\nM 100644 inline %b\ndata %d\n%b\n"
            % (MAIN, who, len(text), text, parent.encode(), self._path(number, version), len(text), text)
        )  # fmt: skip
        _type(self.server.path(_fork(number)), stream, "fast-import", "--quiet")

    def _path(self, number: int, version: int) -> bytes:
        if (number + version) % 2:
            return b"own/file%07d.c" % version
        file = number * _SPREAD % self.files
        return b"part%05d/file%07d.c" % (file // FILES_OF_A_FOLDER, file)


def _fork(number: int) -> str:
    return f"fork{number:05}"


def _type(repository: Path, text: bytes, *words: str) -> None:
    subprocess.run(["git", "-C", repository, *words], input=text, check=True, stdout=subprocess.DEVNULL)
