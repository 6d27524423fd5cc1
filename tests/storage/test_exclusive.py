"""Renaming without replacing, with and without the kernel's help."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.storage import exclusive
from pipeline.storage.exclusive import rename_exclusively


@pytest.fixture(params=["kernel", "without"])
def helped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "without":
        monkeypatch.setattr(exclusive, "_kernel_call", lambda: None)
    return request.param == "kernel"


@pytest.mark.usefixtures("helped")
def test_moves_and_refuses(tmp_path: Path) -> None:
    source, taken, free = tmp_path / "source ü", tmp_path / "taken", tmp_path / "free"
    source.write_text("1")
    taken.write_text("2")
    with pytest.raises(FileExistsError):
        rename_exclusively(source, taken)
    rename_exclusively(source, free)
    assert (free.read_text(), taken.read_text(), source.exists()) == ("1", "2", False)
    with pytest.raises(FileNotFoundError):
        rename_exclusively(source, tmp_path / "other")


def test_the_kernel_refuses_what_appears_after_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_text("1")
    (tmp_path / "taken").write_text("2")
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    with pytest.raises(FileExistsError):
        rename_exclusively(tmp_path / "source", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "2"
