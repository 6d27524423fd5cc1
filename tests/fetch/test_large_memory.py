"""Large memory has large pages where the system gives them, although Arrow turns them off for its process."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.fetch.large_memory import large_memory

SIZE = 16 << 20
PR_SET_THP_DISABLE = 41
OFFERED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
USE = f"""
import ctypes, re
from pathlib import Path
ctypes.CDLL(None).prctl({PR_SET_THP_DISABLE}, 1, 0, 0, 0)
from pipeline.fetch.large_memory import large_memory
memory = large_memory({SIZE})
memory[:] = bytes({SIZE})
print(sum(map(int, re.findall(r"AnonHugePages:\\s*(\\d+)", Path("/proc/self/smaps").read_text()))))
"""
"""Turns them off, as Arrow does, and prints how many kB of them there are."""


def test_it_begins_as_zeros_and_can_be_used_to_its_end() -> None:
    memory = large_memory(SIZE + 1)
    assert len(memory) == SIZE + 1
    assert not any(memory[:1000])
    memory[SIZE] = 7
    assert memory[-1] == 7


def test_too_much_is_a_lack_of_memory() -> None:
    with pytest.raises(MemoryError):
        large_memory(1 << 60)


def test_forked_processes_do_not_have_it() -> None:
    memory = large_memory(SIZE)
    pid = os.fork()
    if pid == 0:
        faulthandler.disable()
        os._exit(memory[0])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) < 0


@pytest.mark.skipif(
    not OFFERED.exists() or "[madvise]" not in OFFERED.read_text(), reason="this system gives them never, or always"
)
def test_it_has_large_pages_where_they_were_turned_off() -> None:
    said = subprocess.run([sys.executable, "-c", USE], check=True, capture_output=True, text=True).stdout
    assert int(said) >= SIZE // 1024 // 2
