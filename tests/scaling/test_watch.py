"""CPU time of a program and all that it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scaling.watch import Kind, watch

BUSY_S = 1.0
DAEMON = f"""
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if not os.fork():
    while time.process_time() < {BUSY_S}:
        pass
    os._exit(0)
try:
    os.wait()
except ChildProcessError:
    pass
while time.process_time() < {BUSY_S}:
    pass
"""
"""Like PySpark's daemon, it lets the kernel forget its workers."""


def test_a_worker_that_nobody_waited_for_counts(tmp_path: Path) -> None:
    script = tmp_path / "daemon.py"
    script.write_text(DAEMON)
    java = f"'{sys.executable}' '{script}'; true"
    leader = f"import subprocess; subprocess.run(['bash', '-c', {java!r}], check=True)"
    found = watch(subprocess.Popen([sys.executable, "-c", leader]), tmp_path)
    # What the two take after the last look at each is missed: more on a busy machine. Without the worker there would
    # be BUSY_S.
    assert 1.25 * BUSY_S < found.cpu_s < 2.8 * BUSY_S
    assert found.peak_bytes.keys() == {Kind.LEADER, Kind.JVM, Kind.PYTHON}
