"""A host's file is shared by processes, survives them, and is never believed when it is damaged."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.git.host_file import UNUSED_S, HostFile
from pipeline.model.errors import ScratchFailed
from pipeline.rules.host_state import HostState
from pipeline.storage.scratch import delete_untouched

NAME = "h.example"


def forked(work: Callable[[], None]) -> int:
    """Run this in a process of its own, which then waits to be killed; returns once the work is done."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(writing, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def counted(file: HostFile) -> int:
    """Count one request; returns how many there were before."""
    return file.change(lambda state, now: (state._replace(requests=state.requests + 1), state.requests))


def test_what_a_killed_process_wrote_stays(tmp_path: Path) -> None:
    def count() -> None:
        file = HostFile(tmp_path, NAME)
        for _ in range(3):
            counted(file)

    kill(forked(count))
    file = HostFile(tmp_path, NAME)
    assert counted(file) == 3
    file.close()


def test_no_change_is_lost_among_processes(tmp_path: Path) -> None:
    def count() -> None:
        file = HostFile(tmp_path, NAME)
        for _ in range(300):
            counted(file)

    for pid in [forked(count) for _ in range(3)]:
        kill(pid)
    file = HostFile(tmp_path, NAME)
    assert counted(file) == 900
    file.close()


def test_a_place_is_held_until_its_process_ends(tmp_path: Path) -> None:
    def take() -> None:
        assert HostFile(tmp_path, NAME).take_place(2)

    file = HostFile(tmp_path, NAME)
    holders = [forked(take), forked(take)]
    assert not file.take_place(2)
    assert file.take_place(3), "a third place is free"
    file.close()
    file = HostFile(tmp_path, NAME)
    kill(holders[0])
    assert file.take_place(2)
    kill(holders[1])
    file.close()


@pytest.mark.parametrize("damage", [b"", b"noise", None])
def test_a_damaged_file_is_an_unknown_host(damage: bytes | None, tmp_path: Path) -> None:
    file = HostFile(tmp_path, NAME)
    counted(file)
    data = bytearray(file.path.read_bytes())
    data[40] ^= 1
    file.path.write_bytes(bytes(data) if damage is None else damage)
    assert file.change(lambda state, now: (state, state)) == HostState()
    assert counted(file) == 0
    assert counted(file) == 1
    file.close()


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", ".", "..", "x" * 5000, "[::1]", "\0", "\udcff", "[::1]:99"]
)
def test_whatever_a_host_is_called_its_file_is_in_the_folder(name: str, tmp_path: Path) -> None:
    file = HostFile(tmp_path / "hosts", name)
    assert file.path.parent == tmp_path / "hosts"
    counted(file)
    assert [path.is_file() for path in (tmp_path / "hosts").iterdir()] == [True]
    file.close()


def test_a_folder_that_cannot_be_written_is_no_origin_s_failure(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("a file")
    with pytest.raises(ScratchFailed, match="scratch cannot be written"):
        HostFile(tmp_path / "hosts", NAME)


def test_unused_files_are_deleted(tmp_path: Path) -> None:
    for name in ("old.example", "new.example"):
        HostFile(tmp_path, name).close()
    long_ago = (tmp_path / "new.example").stat().st_mtime - UNUSED_S - 60
    os.utime(tmp_path / "old.example", (long_ago, long_ago))
    delete_untouched(tmp_path, UNUSED_S)
    assert [path.name for path in tmp_path.iterdir()] == ["new.example"]
    delete_untouched(tmp_path / "not there", UNUSED_S)
