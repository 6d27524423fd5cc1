"""What ``scripts/scale`` makes up: repositories that git accepts, and a server that serves them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.model.objects import COMMIT, TREE
from scaling.made import FIRST, MAIN, Shape
from scaling.population import Population, place_of
from scaling.server import MadeUpServer, made_up_server
from tests.support.git import run_git

SHAPE = Shape(files=60, changed=7, blob_bytes=200)


def git(*words: str | Path) -> str:
    done = run_git(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def server():
    with made_up_server() as served:
        yield served


def test_a_version_adds_what_it_changes() -> None:
    first, third = SHAPE.version(5, FIRST), SHAPE.version(5, FIRST + 2)
    assert [made.type for made in first.objects][-4:] == [TREE, TREE, TREE, COMMIT]
    added = list(SHAPE.added(5, FIRST + 2))
    assert len([made for made in added if made.name is not None]) == SHAPE.changed
    assert third.tip in {made.oid for made in added}
    assert not {made.oid for made in added} & SHAPE.version(5, FIRST + 1).ids
    assert not first.ids & SHAPE.version(6, FIRST).ids


def test_git_clones_and_fetches_from_the_server(server: MadeUpServer, tmp_path: Path) -> None:
    population = Population(server.url, SHAPE, networks=3, forks=1)
    server.show(SHAPE, population.begun)
    root, fork = population.root(2), f"{population.root(2)}/0"
    clone, forked = tmp_path / "root.git", tmp_path / "fork.git"
    git("clone", "--quiet", "--bare", root, clone)
    git("clone", "--quiet", "--bare", fork, forked)
    assert git("-C", clone, "rev-parse", "HEAD") == SHAPE.version(2, FIRST + 1).tip.hex()
    assert git("-C", forked, "rev-parse", "HEAD") == SHAPE.version(2, FIRST).tip.hex()
    server.advance([2])
    git("-C", clone, "fetch", "--quiet", "origin", "main:main")
    assert git("-C", clone, "rev-parse", MAIN.decode()) == SHAPE.version(2, FIRST + 2).tip.hex()
    git("-C", clone, "fsck", "--full", "--strict")
    objects = {made.oid.hex() for v in range(FIRST, FIRST + 3) for made in SHAPE.version(2, v).objects}
    assert set(git("-C", clone, "rev-list", "--all", "--objects", "--no-object-names").split()) == objects


def test_a_known_tip_is_shown_as_it_was_told(server: MadeUpServer) -> None:
    server.show(SHAPE, FIRST, [b"\1" * 20 + b"\2" * 20])
    shown = subprocess.run(["git", "ls-remote", f"{server.url}/1"], check=True, capture_output=True, text=True).stdout
    assert shown.split()[0] == "02" * 20


def test_origins_are_listed_as_the_command_reads_them() -> None:
    population = Population("git://h", SHAPE, networks=2, forks=1)
    assert list(population.lines()) == ["git://h/0", "git://h/0/0 git://h/0", "git://h/1", "git://h/1/0 git://h/1"]
    assert population.origins == 4
    assert [place_of(line.split()[0]) for line in population.lines()] == [(0, True), (0, False), (1, True), (1, False)]
