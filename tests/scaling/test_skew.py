"""``scripts/scale skew``: its repositories, and that it fails if a limit is missed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.measure import MB
from benchmarks.repositories import Server
from scaling import skew
from scaling.__main__ import skewed
from scaling.family import Family
from scaling.steps import Step
from scaling.watch import Kind, Watched
from scaling.written import Added
from tests.support.git import run_git

FILES, FORKS = 120, 4


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    made = Family(Server(tmp_path_factory.mktemp("served"), "git://h"), FILES, FORKS)
    made.make()
    return made


def git(family: Family, name: str, *words: str) -> list[str]:
    done = run_git("-C", family.server.path(name), *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


def test_each_fork_has_a_head_of_its_own_and_the_objects_of_the_root(family: Family) -> None:
    heads = {tuple(git(family, f"fork{number:05}", "rev-parse", "HEAD")) for number in range(FORKS)}
    assert len(heads) == FORKS
    for number in range(FORKS):
        git(family, f"fork{number:05}", "fsck", "--full", "--strict")
        assert len(git(family, f"fork{number:05}", "diff", "--name-only", "HEAD~", "HEAD")) == 1
        assert git(family, f"fork{number:05}", "rev-parse", "HEAD~") == git(family, "root", "rev-parse", "HEAD")
        assert int(git(family, f"fork{number:05}", "count-objects")[0].split()[0]) < 6
    assert {len(family.listed(number)) for number in range(FORKS)} == {FILES, FILES + 1}


def test_a_changed_fork_is_one_commit_further(family: Family) -> None:
    before = family.listed(1)
    family.change(1)
    assert len(set(family.listed(1)) - set(before)) == 1
    assert git(family, "fork00001", "rev-list", "--count", "HEAD") == ["3"]


def steps(family: Family, rows: list[dict[str, Any]], peak: int = 3_999 * MB, written: int = 250) -> list[Step]:
    """Two nights, and the look at some rows."""
    nights = [Watched(peak_bytes={Kind.LEADER: 1, Kind.JVM: each}) for each in (1, peak)]
    added = [{"files": Added(rows=each), "contents": Added(rows=1_000)} for each in (written - 3, 3)]
    named = zip(("first night", "second night"), nights, added, strict=True)
    return [*itertools.starmap(Step, named), Step("files", Watched(output=rows))]


def rows_of(family: Family) -> list[dict[str, Any]]:
    return [
        {"origin": family.fork(number), "path": path, "mode": mode, "oid": oid.upper()}
        for number in skew.looked_at(family)
        for path, mode, oid in family.listed(number)
    ]


def test_what_is_as_it_must_be_passes(family: Family) -> None:
    skew.check(family, steps(family, rows_of(family)))


@pytest.mark.parametrize(
    ("unlike", "told"),
    [
        ({"peak": 4_000 * MB}, "second night: a process (JVM) took 4,000 MB and must stay below 4,000 MB"),
        ({"written": 251}, "files got 251 rows, more than 2 times the 125 of distinct trees"),
    ],
    ids=["memory", "rows"],
)
def test_a_missed_limit_is_told(family: Family, unlike: dict[str, int], told: str) -> None:
    with pytest.raises(skew.LimitMissed) as missed:
        skew.check(family, steps(family, rows_of(family), **unlike))
    assert str(missed.value) == told


def test_files_that_are_not_as_git_lists_them_are_told(family: Family) -> None:
    rows = rows_of(family)
    for wrong in (rows[1:], [*rows, rows[0]], [rows[0] | {"mode": 0o100755}, *rows[1:]]):
        with pytest.raises(skew.LimitMissed, match=r"git ls-tree 121; .* \('own/file0000001\.c', "):
            skew.check(family, steps(family, wrong))


def test_the_command_shows_its_figures_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(work: Path, family: Family) -> Iterator[tuple[str, list[Step]]]:
        yield f"{family.files} and {family.forks}", [Step("a night", Watched())]
        raise skew.LimitMissed("too large")

    monkeypatch.setattr(skew, "measure", measure)
    done = CliRunner().invoke(skewed, ["--files", "5", "--forks", "3"], obj=(str(tmp_path), None))
    assert done.exit_code == 1
    assert "5 and 3: cost" in done.output
    assert done.output.endswith("Error: too large\n")
