"""Repositories that live: commits, forced pushes, branches, tags, forks, renames, deletions and returns."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.git import git, resolve, run_git, set_refs
from tests.support.repos import (
    add_commits,
    build_graph,
    dangling_head,
    detached_head,
    force_push,
    fork_of,
    put_tag,
)

MOST_REPOSITORIES = 12

State = tuple[str, ...]
"""What a repository shows: its HEAD and one line per branch and tag."""


def state_of(repo: Path) -> State:
    """The state as git lists it; two repositories with equal states that git finds whole are equal."""
    symbolic = run_git("-C", repo, "symbolic-ref", "-q", "HEAD")
    head = symbolic.stdout if symbolic.returncode == 0 else git(repo, "rev-parse", "HEAD")
    shown = "--format=%(refname) %(objectname) %(*objectname)"
    refs = git(repo, "for-each-ref", shown, "refs/heads", "refs/tags").decode("latin-1").splitlines()
    exists = run_git("-C", repo, "rev-parse", "-q", "--verify", "HEAD").returncode == 0
    return (f"HEAD {head.decode().strip()} {'is there' if exists else 'dangles'}", *sorted(refs))


@dataclass
class World:
    """Repositories in a served folder.

    Attributes:
        alive: names of existing repositories.
        away: names of deleted repositories, which may return.
        fork_of: maps a repository to the one that it was forked from.
        log: what happened, to analyse a failure.
    """

    root: Path
    draw: random.Random
    alive: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    fork_of: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    made: int = 0

    def __post_init__(self) -> None:
        self.hidden = self.root.parent / "deleted"
        self.hidden.mkdir()

    def repo(self, name: str) -> Path:
        return self.root / name

    def live(self, events: int) -> None:
        """Let this many events happen."""
        doings: list[tuple[int, Callable[[], str]]] = [
            (8, self.commit), (2, self.push_by_force), (2, self.branch), (2, self.delete_branch), (2, self.tag),
            (1, self.delete_tag), (1, self.move_head), (2, self.begin), (2, self.fork), (1, self.rename),
            (1, self.delete), (2, self.come_back),
        ]  # fmt: skip
        weights = [weight for weight, _ in doings]
        for _ in range(events):
            ((_, doing),) = self.draw.choices(doings, weights)
            self.log.append(doing() if self.alive else self.begin())

    def begin(self) -> str:
        if len(self.alive) >= MOST_REPOSITORIES:
            return self.commit()
        self.made += 1
        name = f"repo-{self.made}.git"
        build_graph(self.repo(name), [[1], [2, 1], [3, 1, 2]])
        add_commits(self.repo(name), self.draw.randint(1, 5), label=name)
        self.alive.append(name)
        return f"begin {name}"

    def fork(self) -> str:
        if len(self.alive) >= MOST_REPOSITORIES:
            return self.commit()
        source = self._any()
        if run_git("-C", self.repo(source), "rev-parse", "-q", "--verify", "refs/heads/main").returncode != 0:
            return self.commit()
        git(self.repo(source), "symbolic-ref", "HEAD", "refs/heads/main")
        self.made += 1
        name = f"fork-{self.made}.git"
        fork_of(self.repo(source), self.repo(name))
        self.alive.append(name)
        self.fork_of[name] = self.fork_of.get(source, source)
        return f"fork {source} {name}"

    def commit(self) -> str:
        name = self._any()
        count = self.draw.randint(1, 4)
        add_commits(self.repo(name), count, branch=self._branch(name), label=f"work-{len(self.log)}")
        return f"commit {name} {count}"

    def push_by_force(self) -> str:
        name = self._any()
        force_push(self.repo(name), branch=self._branch(name))
        return f"force {name}"

    def branch(self) -> str:
        name = self._any()
        set_refs(self.repo(name), {f"refs/heads/topic-{len(self.log)}".encode(): self._tip(name)})
        return f"branch {name}"

    def delete_branch(self) -> str:
        name = self._any()
        branches = self._branches(name)
        if len(branches) < 2:
            return self.commit()
        gone = self.draw.choice(branches)
        git(self.repo(name), "update-ref", "-d", f"refs/heads/{gone}")
        return f"delete branch {name} {gone}"

    def tag(self) -> str:
        name = self._any()
        label, tip = f"v{len(self.log)}", self._tip(name)
        oid = put_tag(self.repo(name), tip, "commit", label) if self.draw.random() < 0.5 else tip
        set_refs(self.repo(name), {f"refs/tags/{label}".encode(): oid})
        return f"tag {name} {label}"

    def delete_tag(self) -> str:
        name = self._any()
        tags = git(self.repo(name), "for-each-ref", "--format=%(refname)", "refs/tags").decode().split()
        if not tags:
            return self.tag()
        git(self.repo(name), "update-ref", "-d", self.draw.choice(tags))
        return f"delete tag {name}"

    def move_head(self) -> str:
        name = self._any()
        match self.draw.randrange(3):
            case 0:
                detached_head(self.repo(name), f"refs/heads/{self._branch(name)}")
            case 1:
                dangling_head(self.repo(name))
            case _:
                git(self.repo(name), "symbolic-ref", "HEAD", f"refs/heads/{self._branch(name)}")
        return f"head {name}"

    def rename(self) -> str:
        """The old name is no longer found, the new one is a fork in the same network."""
        old = self._any()
        self.made += 1
        new = f"renamed-{self.made}.git"
        self.repo(old).rename(self.repo(new))
        self.alive.remove(old)
        self.alive.append(new)
        self.fork_of[new] = self.fork_of.get(old, old)
        return f"rename {old} {new}"

    def delete(self) -> str:
        if len(self.alive) < 3:
            return self.begin()
        name = self._any()
        self.repo(name).rename(self.hidden / name)
        self.alive.remove(name)
        self.away.append(name)
        return f"delete {name}"

    def delete_for_good(self, name: str) -> None:
        """Delete a repository whose origin was taken down: under another name it would be visited again."""
        if name in self.alive:
            self.alive.remove(name)
            self.repo(name).rename(self.hidden / name)
        else:
            self.away.remove(name)

    def root_of(self, name: str) -> str:
        """The repository whose network a repository belongs to."""
        return self.fork_of.get(name, name)

    def come_back(self) -> str:
        if not self.away:
            return self.commit()
        name = self.away.pop(self.draw.randrange(len(self.away)))
        (self.hidden / name).rename(self.repo(name))
        self.alive.append(name)
        return f"return {name}"

    def states(self) -> dict[str, State]:
        """The current states of all existing repositories."""
        return {name: state_of(self.repo(name)) for name in self.alive}

    def _any(self) -> str:
        return self.draw.choice(self.alive)

    def _branches(self, name: str) -> list[str]:
        return git(self.repo(name), "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").decode().split()

    def _branch(self, name: str) -> str:
        return self.draw.choice(self._branches(name))

    def _tip(self, name: str) -> str:
        return resolve(self.repo(name), f"refs/heads/{self._branch(name)}")
