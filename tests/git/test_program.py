"""Git is run within limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.git import program
from pipeline.git.program import GitFailed, run_git
from tests.support.git import init, put


def test_output_and_time_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "a.git"
    init(repository)
    blob = put(repository, "blob", b"x" * 100_000)
    assert run_git(repository, "cat-file", "blob", blob) == b"x" * 100_000
    monkeypatch.setattr(program, "MOST_OUTPUT_BYTES", 50_000)
    with pytest.raises(GitFailed, match="wrote more than"):
        run_git(repository, "cat-file", "blob", blob)
    monkeypatch.setattr(program, "MOST_S", 0.2)
    with pytest.raises(GitFailed, match="took more than"):
        run_git(repository, "-c", "alias.wait=!sleep 60", "wait")


def test_what_git_says_is_told(tmp_path: Path) -> None:
    init(tmp_path / "a.git")
    with pytest.raises(GitFailed, match="cat-file failed: fatal"):
        run_git(tmp_path / "a.git", "cat-file", "blob", "0" * 40)
