"""One writer at a time, whatever happens to the others."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.model.errors import UsageError
from pipeline.storage.errors import LeaseLost, StorageError, StorageUnavailable
from pipeline.storage.factory import open_storage
from pipeline.storage.interface import Storage
from pipeline.storage.lease import Lease, Owner
from pipeline.storage.lease_record import ArchiveHeld

RACERS = 8


class Clock:
    """A clock set by tests."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def owner(name: str) -> Owner:
    return Owner(run_id=name, host="host-1", pid=42)


def take(storage: Storage, clock: Clock, name: str = "first") -> Lease:
    return Lease.acquire(storage, owner(name), ttl_s=90, grace_s=10, clock=clock, heartbeat=False)


def holder_of(storage: Storage) -> str:
    return json.loads(storage.read("lease.json"))["run_id"]


def test_the_file_says_who_and_until_when(storage: Storage, clock: Clock) -> None:
    lease = take(storage, clock)
    said = json.loads(storage.read("lease.json"))
    assert (said["run_id"], said["host"], said["pid"]) == ("first", "host-1", 42)
    assert said["expires_at"] == lease.expires_at == clock.now + 90
    lease.check()


def test_a_live_lease_is_respected(storage: Storage, clock: Clock) -> None:
    take(storage, clock)
    clock.now += 99.5
    with pytest.raises(ArchiveHeld) as caught:
        take(storage, clock, "second")
    assert caught.value.holder == "run first (host host-1, pid 42)"
    assert caught.value.expires_in_s == 0.5
    assert holder_of(storage) == "first"


def test_a_renewed_lease_is_respected(storage: Storage, clock: Clock) -> None:
    lease = take(storage, clock)
    clock.now += 89
    lease.renew()
    assert lease.expires_at == clock.now + 90
    clock.now += 89
    lease.check()
    with pytest.raises(ArchiveHeld) as caught:
        take(storage, clock, "second")
    assert caught.value.expires_in_s == 11


def test_an_expired_lease_is_taken_over_and_said(
    storage: Storage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    first = take(storage, clock)
    clock.now += 100
    with caplog.at_level(logging.WARNING):
        second = take(storage, clock, "second")
    assert "took over lease.json from run first (host host-1, pid 42)" in caplog.text
    assert holder_of(storage) == "second"
    second.check()
    with pytest.raises(LeaseLost, match="run second"):
        first.check()
    assert first.lost


def test_a_late_renewal_writes_nothing(storage: Storage, clock: Clock) -> None:
    first = take(storage, clock)
    clock.now += 90
    files = [entry.path for entry in storage.walk()]
    with pytest.raises(LeaseLost, match="ran out"):
        first.renew()
    assert [entry.path for entry in storage.walk()] == files
    with pytest.raises(LeaseLost):
        first.check()


def test_a_paused_holder_cannot_harm_its_successor(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: paused between check and write, awake only after the takeover."""
    first = take(storage, clock)
    clock.now += 60
    replace = storage.replace
    second: list[Lease] = []

    def paused(path: str, data: bytes) -> None:
        clock.now += 200
        second.append(take(storage, clock, "second"))
        replace(path, data)

    monkeypatch.setattr(storage, "replace", paused)
    with pytest.raises(LeaseLost):
        first.renew()
    monkeypatch.undo()
    assert holder_of(storage) == "second"
    second[0].check()
    clock.now += 89
    with pytest.raises(ArchiveHeld, match="run second"):
        take(storage, clock, "third")
    first.release()
    second[0].check()


def test_release_frees_the_archive(storage: Storage, clock: Clock) -> None:
    first = take(storage, clock)
    first.release()
    first.release()
    assert storage.stat("lease.json") is None
    with pytest.raises(LeaseLost, match="released"):
        first.check()
    second = take(storage, clock, "second")
    first.release()
    second.check()


def test_a_late_release_does_not_free_the_successor_s(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take(storage, clock)
    rename = storage.rename

    def paused(src: str, dst: str) -> None:
        monkeypatch.undo()
        clock.now += 200
        take(storage, clock, "second")
        rename(src, dst)

    monkeypatch.setattr(storage, "rename", paused)
    first.release()
    assert holder_of(storage) == "second"


def test_the_context_manager_releases_on_errors_too(storage: Storage, clock: Clock) -> None:
    with pytest.raises(RuntimeError, match="work failed"), take(storage, clock):
        raise RuntimeError("work failed")
    assert storage.stat("lease.json") is None


def test_an_unreachable_storage_does_not_hide_the_work_s_error(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(str(tmp_path))

    def unreachable(*_: object) -> None:
        raise StorageUnavailable("lease.json", "no answer")

    lease = take(storage, clock)
    monkeypatch.setattr(storage, "rename", unreachable)
    with pytest.raises(RuntimeError, match="work failed"), lease:
        raise RuntimeError("work failed")


def race(storage: Storage, clock: Clock) -> list[Lease]:
    barrier = threading.Barrier(RACERS)

    def run(number: int) -> Lease | None:
        barrier.wait(timeout=60)
        try:
            return take(storage, clock, f"racer-{number}")
        except ArchiveHeld:
            return None

    with ThreadPoolExecutor(RACERS) as pool:
        return [lease for lease in pool.map(run, range(RACERS)) if lease]


def test_racers_for_a_free_archive_have_one_winner(storage: Storage, clock: Clock) -> None:
    (winner,) = race(storage, clock)
    winner.check()


def test_racers_for_an_expired_lease_have_one_winner(storage: Storage, clock: Clock) -> None:
    stale = take(storage, clock)
    for _ in range(3):
        clock.now += 100
        (winner,) = race(storage, clock)
        winner.check()
        with pytest.raises(LeaseLost):
            stale.check()
        stale = winner


def test_a_contender_that_looked_long_ago_cannot_move_the_new_lease(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(storage, clock)
    clock.now += 100
    rename = storage.rename
    quick: list[Lease] = []

    def slow(src: str, dst: str) -> None:
        monkeypatch.undo()
        quick.append(take(storage, clock, "quick"))
        rename(src, dst)

    monkeypatch.setattr(storage, "rename", slow)
    with pytest.raises(ArchiveHeld, match="run quick"):
        take(storage, clock, "slow")
    quick[0].check()


def test_a_deleted_lease_file_is_a_lost_lease(storage: Storage, clock: Clock) -> None:
    lease = take(storage, clock)
    storage.delete("lease.json")
    with pytest.raises(LeaseLost, match="gone"):
        lease.renew()


def test_a_file_that_is_no_lease_is_left_alone(storage: Storage, clock: Clock) -> None:
    storage.create("lease.json", b"notes")
    with pytest.raises(StorageError, match="not a lease file"):
        take(storage, clock)
    assert storage.read("lease.json") == b"notes"


@pytest.mark.parametrize("wrong", [{"ttl_s": 0}, {"grace_s": -1}, {"path": "lease"}])
def test_wrong_arguments(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Lease.acquire(open_storage(str(tmp_path)), owner("x"), **wrong)  # type: ignore[arg-type]


class Watched:
    """Sets an event at each replace of a local storage; can be made to fail."""

    def __init__(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = threading.Semaphore(0)
        self.failures = 0
        replace = storage.replace

        def watched(path: str, data: bytes) -> None:
            try:
                if self.failures:
                    self.failures -= 1
                    raise StorageUnavailable(path, "no answer")
                replace(path, data)
            finally:
                self.calls.release()

        monkeypatch.setattr(storage, "replace", watched)


def heartbeats() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lease-heartbeat"]


def test_the_heartbeat_renews_through_failures_and_ends(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(str(tmp_path))
    watched = Watched(storage, monkeypatch)
    watched.failures = 2
    with Lease.acquire(storage, owner("first"), ttl_s=0.03, clock=clock) as lease:
        assert len(heartbeats()) == 1
        for _ in range(4):
            assert watched.calls.acquire(timeout=60)
        lease.check()
    assert heartbeats() == []
    assert storage.stat("lease.json") is None


def test_a_heartbeat_that_finds_another_holder_stops(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    storage = open_storage(str(tmp_path))
    first = Lease.acquire(storage, owner("first"), ttl_s=0.03, clock=clock)
    (thread,) = heartbeats()
    stale = json.loads(storage.read("lease.json"))
    storage.replace("lease.json", json.dumps({**stale, "run_id": "second", "token": "0" * 32}).encode())
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert first.lost
    assert holder_of(storage) == "second"
    assert "now held by run second" in caplog.text


def test_old_leftovers_are_swept(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    clock = Clock()
    clock.now = 4_000_000_000.0
    take(storage, clock).release()
    assert len(list(storage.walk("lease.d"))) == 1
    take(storage, clock, "second").release()
    assert [entry.path for entry in storage.walk("lease.d")] != []
    assert len(list(storage.walk("lease.d"))) == 1


def test_release_waits_for_a_renewal_under_way(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(str(tmp_path))
    replace, delete = storage.replace, storage.delete
    renewing, deleted = threading.Event(), threading.Event()

    def slow(path: str, data: bytes) -> None:
        renewing.set()
        deleted.wait(timeout=0.5)  # never set in time if release waits
        replace(path, data)

    def told(path: str, *, recursive: bool = False) -> bool:
        try:
            return delete(path, recursive=recursive)
        finally:
            deleted.set()

    monkeypatch.setattr(storage, "replace", slow)
    monkeypatch.setattr(storage, "delete", told)
    lease = Lease.acquire(storage, owner("first"), ttl_s=0.03, clock=clock)
    (thread,) = heartbeats()
    assert renewing.wait(timeout=60)
    lease.release()
    thread.join(timeout=60)
    assert [entry.path for entry in storage.walk() if "beat" in entry.path] == []
