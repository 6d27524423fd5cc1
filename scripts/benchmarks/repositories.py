"""The repositories used for all measurements, served by a real git daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import command
from git_daemon import free_port, serve


class NoRepositories(Exception):
    """The folder has neither bundles nor bare repositories."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return f"{self.folder} has neither *.bundle nor bare repositories"


@dataclass(frozen=True, slots=True)
class Repository:
    """A bare repository served at ``url``; ``raw_bytes`` is the inflated size of all its objects."""

    name: str
    path: Path
    url: str
    objects: int
    raw_bytes: int

    @property
    def pack_bytes(self) -> int:
        """Size of its packs."""
        return sum(pack.stat().st_size for pack in self.path.glob("objects/pack/*.pack"))


@dataclass(frozen=True, slots=True)
class Server:
    """Serves every repository below ``folder``, even those made later."""

    folder: Path
    root_url: str

    def url(self, name: str) -> str:
        """Where a repository is served."""
        return f"{self.root_url}/{name}.git"

    def path(self, name: str) -> Path:
        """The folder of a repository, which need not exist yet."""
        return self.folder / f"{name}.git"

    def repository(self, name: str) -> Repository:
        """An existing repository."""
        path = self.path(name)
        listed = command(
            ["git", "-C", path, "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectsize)"]
        )
        sizes = [int(line) for line in listed.split()]
        return Repository(name, path, self.url(name), len(sizes), sum(sizes))


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    daemon = serve(folder, port)
    try:
        yield Server(folder, f"git://127.0.0.1:{port}")
    finally:
        daemon.terminate()
        daemon.wait()


def copy_all(source: Path, server: Server) -> list[Repository]:
    """Copy all bundles and bare repositories of a folder: heads and tags, one pack each.

    Raises:
        NoRepositories: the folder has none.
    """
    found = sorted([*source.glob("*.bundle"), *(head.parent for head in source.glob("*/HEAD"))])
    if not found:
        raise NoRepositories(source)
    for path in found:
        command(["git", "clone", "--quiet", "--bare", "--no-local", path, server.path(path.stem)])
    return [server.repository(path.stem) for path in found]
