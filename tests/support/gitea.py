"""The real Gitea of ``scripts/gitea``, and its interface as people use it: through an administrator's token."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_gitea import ADMIN, Gitea, running

JSON = dict[str, Any]
SETTLES_WITHIN_S = 60.0


@dataclass(frozen=True)
class Held:
    """A repository as Gitea's own database has it; ``changed`` in seconds."""

    id: int
    name: str
    private: bool
    empty: bool
    archived: bool
    mirror: bool
    parent: int | None
    changed: int

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.name.partition("/")[0]


class Refused(Exception):
    """Gitea answered with an error; ``status`` is its."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status


class People:
    """Those who use it."""

    def __init__(self, gitea: Gitea) -> None:
        self.gitea = gitea

    def ask(self, method: str, path: str, document: JSON | None = None) -> Any:
        """What the interface answers."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"Authorization": f"token {self.gitea.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.gitea.url}/api/v1/{path}", body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                said = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, f"{method} {path}: {error.read()[:500].decode(errors='replace')}") from None
        return json.loads(said) if said else None

    def organisation(self, name: str) -> None:
        """An owner of repositories."""
        self.ask("POST", "orgs", {"username": name})

    def create(self, owner: str, name: str, *, empty: bool = False) -> JSON:
        """A repository with a commit, or none."""
        return dict(self.ask("POST", f"orgs/{owner}/repos", {"name": name, "auto_init": not empty}))

    def fork(self, of: str, owner: str, name: str) -> JSON:
        return dict(self.ask("POST", f"repos/{of}/forks", {"organization": owner, "name": name}))

    def mirror(self, url: str, owner: str, name: str) -> JSON:
        """A mirror of what is at a URL."""
        asked = {"clone_addr": url, "repo_owner": owner, "repo_name": name, "mirror": True, "service": "git"}
        return dict(self.ask("POST", "repos/migrate", asked))

    def change(self, repository: str, **values: Any) -> JSON:
        return dict(self.ask("PATCH", f"repos/{repository}", values))

    def transfer(self, repository: str, owner: str) -> None:
        self.ask("POST", f"repos/{repository}/transfer", {"new_owner": owner})

    def delete(self, repository: str) -> None:
        self.ask("DELETE", f"repos/{repository}")

    def show(self, repository: str) -> JSON:
        return dict(self.ask("GET", f"repos/{repository}"))

    def write(self, repository: str, path: str, text: str, **values: Any) -> None:
        """A commit with one new file."""
        content = base64.b64encode(text.encode()).decode()
        self.ask("POST", f"repos/{repository}/contents/{path}", {"content": content, "message": path, **values})

    def pushing(self, repository: str) -> str:
        """A URL that may be pushed to."""
        return f"{self.gitea.url.replace('//', f'//{ADMIN}:{self.gitea.token}@')}/{repository}.git"

    def _database(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(self.gitea.folder / "gitea.db", timeout=60))

    def truth(self) -> dict[int, Held]:
        """All repositories by id, without asking the interface that lists them."""
        with self._database() as database:
            rows = database.execute(
                "SELECT id, owner_name || '/' || name, is_private, is_empty, is_archived, is_mirror, "
                "CASE WHEN is_fork THEN fork_id END, updated_unix FROM repository"
            ).fetchall()
        return {row[0]: Held(row[0], row[1], *map(bool, row[2:6]), *row[6:]) for row in rows}

    def age(self, seconds: int) -> None:
        """Let all that happened so far have happened so much earlier."""
        with self._database() as database, database:
            database.execute("UPDATE repository SET updated_unix = updated_unix - ?", (seconds,))

    def until(self, holds: Callable[[], object]) -> None:
        """Wait for what Gitea does later, in its queues."""
        until = time.monotonic() + SETTLES_WITHIN_S
        while not holds():
            assert time.monotonic() < until, "Gitea does not do it"
            time.sleep(0.05)

    def requests(self, agent: str) -> list[str]:
        """Method and path of each request by a user agent, as the access log has them."""
        lines = (self.gitea.folder / "log" / "access.log").read_text().splitlines()
        quoted = (line.split('"') for line in lines)
        return [words[1].rpartition(" ")[0] for words in quoted if words[-2] == agent]


@contextlib.contextmanager
def people(folder: Path, items: int = 50) -> Iterator[People]:
    """Those of a Gitea that runs until the end of the block."""
    with running(folder, items) as gitea:
        yield People(gitea)


class Kept:
    """The data of a Gitea as they were, to begin again with."""

    def __init__(self, gitea: Gitea) -> None:
        self.gitea, self.copy = gitea, gitea.folder.with_name(f"{gitea.folder.name}.kept")
        gitea.stop()
        shutil.copytree(gitea.folder, self.copy, symlinks=True)
        gitea.start()

    def restore(self) -> None:
        self.gitea.stop()
        shutil.rmtree(self.gitea.folder)
        shutil.copytree(self.copy, self.gitea.folder, symlinks=True)
        self.gitea.start()
