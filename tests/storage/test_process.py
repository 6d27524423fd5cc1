import subprocess
import sys

import pytest

from pipeline.storage.lease import Lease, Owner
from pipeline.storage.local import LocalStorage
from pipeline.storage.process import is_gone, process_identity

pytestmark = pytest.mark.skipif(process_identity() == "", reason="this system does not tell processes apart by /proc")

HOLD = """
import sys
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.local import LocalStorage
lease = Lease.acquire(LocalStorage(sys.argv[1]), Owner.here("first", "night 2026-11-24"), ttl_s=3600)
print("held", flush=True)
sys.stdin.read()
"""


def hold(folder):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    return child


def test_this_process_is_not_gone():
    import os

    assert not is_gone(os.getpid(), process_identity())


def test_an_unknown_machine_is_never_called_gone():
    assert not is_gone(2**22 - 1, "other-boot/pid:[1]/17")
    assert not is_gone(2**22 - 1, "")


def test_the_same_number_started_at_another_time_is_another_process():
    import os

    machine = process_identity().rpartition("/")[0]
    assert is_gone(os.getpid(), f"{machine}/1")


def test_a_dead_holder_is_not_waited_for(tmp_path):
    child = hold(tmp_path)
    child.kill()
    child.communicate()
    with Lease.acquire(LocalStorage(tmp_path), Owner.here("second"), ttl_s=60) as lease:
        lease.check()


def test_a_living_holder_is_waited_for_and_named(tmp_path):
    from pipeline.storage.lease_record import ArchiveHeld

    child = hold(tmp_path)
    try:
        with pytest.raises(ArchiveHeld, match="night 2026-11-24, run first"):
            Lease.acquire(LocalStorage(tmp_path), Owner.here("second"), ttl_s=60)
    finally:
        child.communicate()
