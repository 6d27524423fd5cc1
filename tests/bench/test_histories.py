"""Synthetic histories: reproducible, complete, and about as large as requested."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import histories
from tests.support.git import git, resolve


def objects(repository: Path) -> dict[str, tuple[str, int]]:
    listed = git(repository, "cat-file", "--batch-all-objects", "--batch-check").decode().splitlines()
    return {oid: (kind, int(size)) for oid, kind, size in map(str.split, listed)}


def test_a_long_history(tmp_path: Path) -> None:
    one, two = tmp_path / "one.git", tmp_path / "two.git"
    for path in (one, two):
        histories.long_history(path, 20_000_000)
    assert resolve(one, "HEAD") == resolve(two, "HEAD")
    found = objects(one)
    raw = sum(size for _, size in found.values())
    assert raw == pytest.approx(20_000_000, rel=0.15)
    assert raw > 5 * sum(pack.stat().st_size for pack in one.glob("objects/pack/*.pack"))
    reachable = git(one, "rev-list", "--objects", "--no-object-names", "--all").decode().split()
    assert found.keys() == set(reachable)


def test_generated_pages(tmp_path: Path) -> None:
    path = tmp_path / "pages.git"
    histories.generated_pages(path, 5_000_000)
    blobs = [size for kind, size in objects(path).values() if kind == "blob"]
    assert sum(blobs) == pytest.approx(5_000_000, rel=0.15)
    assert len(blobs) == 2 * histories.RELEASES
    (pack,) = path.glob("objects/pack/*.pack")
    assert pack.stat().st_size < sum(blobs) / 10


def test_a_wide_head(tmp_path: Path) -> None:
    histories.wide_head(tmp_path / "wide.git", 3_000_000)
    blobs = [size for kind, size in objects(tmp_path / "wide.git").values() if kind == "blob"]
    assert sum(blobs) == pytest.approx(3_000_000, rel=0.1)
    assert len(blobs) > 10


def test_small_repositories_share_nothing_and_grow(tmp_path: Path) -> None:
    one, two = tmp_path / "one.git", tmp_path / "two.git"
    for number, path in enumerate((one, two)):
        histories.small_repository(path, number)
    assert not objects(one).keys() & objects(two).keys()
    before = resolve(one, "HEAD")
    histories.add_commit(one)
    assert resolve(one, "HEAD^") == before
