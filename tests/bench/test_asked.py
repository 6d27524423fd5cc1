"""The scripts beside the twenty questions answer them, on repositories whose answers are known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.asked import BY_GIT, IN_FILES, questions
from tests.submit.test_questions import CALC, FORK, TOOLS, make_repositories
from tests.support.git import git_environment, run_git

ONLY_ARCHIVED = {2, 4, 5}
"""Forks, failures and nights."""


def answer(script: str, folder: Path, *repositories: Path) -> list[list[str]]:
    words = ["bash", "-euo", "pipefail", "-c", script, "bash", *map(str, repositories)]
    done = subprocess.run(words, cwd=folder, env=git_environment(), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("mirrors")
    make_repositories(folder)
    return tuple(folder / name for name in (CALC, TOOLS, FORK))


def test_every_question_has_its_scripts() -> None:
    asking = questions("https://example.org/mine")
    assert [each.number for each in asking] == list(range(1, 21))
    assert "https://example.org/mine" in asking[12].sql
    assert BY_GIT.keys() == {each.number for each in asking} - ONLY_ARCHIVED
    assert IN_FILES.keys() < BY_GIT.keys()


def test_git_answers(mirrors: tuple[Path, ...], tmp_path: Path) -> None:
    found = {number: answer(script, tmp_path, *mirrors) for number, script in BY_GIT.items()}
    assert all(found.values()), [number for number, rows in found.items() if not rows]
    assert found[6] == [["3", "bob@example.org"], ["2", "ada@example.org"]]
    assert found[7] == [["2023", "1", "1"], ["2024", "2", "4"]]
    assert found[8] == [["1", "00"], ["2", "11"], ["1", "12"], ["1", "13"]]
    assert found[9] == [["1", "ada@example.org"]]
    assert found[10] == [["3"], ["0"], ["0"], ["1"], ["0"], ["0"], ["4"], ["0"], ["0"]]
    assert [row[0] for row in found[13]] == ["100644", "100644", "120000", "100644"]
    assert found[19] == [["HEAD:src/calc.py"]] * 2
    assert found[20] == [["2", "calc.py"]]


def test_files_answer_the_same(mirrors: tuple[Path, ...], tmp_path: Path) -> None:
    clones = tuple(tmp_path / path.stem for path in mirrors)
    for mirror, clone in zip(mirrors, clones, strict=True):
        assert run_git("clone", "-q", mirror, clone).returncode == 0
    found = {number: answer(script, tmp_path, *clones) for number, script in IN_FILES.items()}
    assert len(found[13]) == 3
    assert len(found[17]) == len(answer(BY_GIT[17], tmp_path, *mirrors))
    assert len(found[18]) == 1
    assert sorted(row[0].rpartition("/")[2] for row in found[19]) == ["calc.py", "calc.py"]
