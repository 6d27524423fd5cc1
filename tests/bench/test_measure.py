"""What is measured is the work, not the measuring."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from benchmarks.measure import cost_of

A_WHILE_S = 0.2
BURN = f"import time\nwhile time.process_time() < {A_WHILE_S}: pass\n"


def burn(cpu_s: float = A_WHILE_S) -> None:
    ends = time.process_time() + cpu_s
    while time.process_time() < ends:
        pass


def test_the_look_for_children_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
        burn()
        return []

    monkeypatch.setattr(psutil.Process, "children", slow)
    assert cost_of(lambda: None)[1].cpu_s < A_WHILE_S / 2


@pytest.fixture
def idle_child() -> Iterator[psutil.Popen]:
    """A child that burns the processor once it is written to."""
    code = f"input()\n{BURN}print(flush=True)\ninput()"
    with psutil.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield child
        child.stdin.write(b"\n")


def test_work_in_this_process_in_an_ended_child_and_in_a_running_one_counts(idle_child: psutil.Popen) -> None:
    def work() -> None:
        burn()
        subprocess.run([sys.executable, "-c", BURN], check=True)
        idle_child.stdin.write(b"\n")
        idle_child.stdin.flush()
        idle_child.stdout.readline()

    assert 2.5 * A_WHILE_S < cost_of(work)[1].cpu_s < 6 * A_WHILE_S
