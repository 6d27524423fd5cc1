"""Where rows are written to: a file that appears when it is complete; nothing else is replaced."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pipeline.cli.places import place
from pipeline.model.errors import UsageError


def write(to: Path, data: bytes) -> None:
    with place(to) as file:
        file.write(data)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    to = tmp_path / "rows.csv"
    to.write_bytes(b"old")
    with place(to) as file:
        file.write(b"new")
        assert to.read_bytes() == b"old"
    assert to.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [to]


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    to = tmp_path / "pipe"
    os.mkfifo(to)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(to.read_bytes()), daemon=True)
    reader.start()
    write(to, b"rows")
    assert to.is_fifo()
    reader.join()
    assert read == [b"rows"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    write(link, b"rows")
    assert link.is_symlink()
    assert target.read_bytes() == b"rows"


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="it is a folder"):
        write(Path(name), b"")
