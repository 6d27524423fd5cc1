"""Several processes on one archive: buckets at once, hosts that share a night, die or sleep, and one writer."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pipeline.fetch.bucket import read_manifests
from pipeline.model.layout import Load
from pipeline.model.tables import ALL
from pipeline.storage.lease_record import read_record
from tests.e2e.archive import Archive, night
from tests.support.repos import add_commits, build_graph, many_small
from tests.support.servers import Peer
from tests.workflows.conftest import MakeArchive, spread
from tests.workflows.gate import gated
from tests.workflows.hosts import Host
from tests.workflows.luigid import luigid

pytestmark = [pytest.mark.slow, pytest.mark.spark]

WHEN = ("run_id", "started_at", "duration_s", "last_visit", "added_at", "pack_bytes", "changes", "silent", "watched")
"""Columns that differ between any two runs; git may also pack the same objects one byte larger or smaller."""

GRACE_S = 10.0


def same(archive: Archive, calm: Archive, day: int) -> None:
    """Compare every table row for row; a doubled object would be two rows."""
    for table in ALL:
        assert archive.rows(table.name, day, without=WHEN) == calm.rows(table.name, day, without=WHEN), table.name


def hosts_of(archive: Archive, day: int) -> dict[int, str]:
    storage = archive.storage
    load = Load.of_night(night(day))
    buckets = [int(entry.path.rpartition("/")[2].removesuffix(".json")) for entry in storage.list(load.manifests)]
    return {manifest.bucket: manifest.host for manifest in read_manifests(storage, load, buckets)[0]}


def test_workers_fetch_buckets_at_once(make_archive: MakeArchive, served: Path, daemon: Peer) -> None:
    repos = many_small(served, 16)
    # The gate stays closed until two have come, so fetching one bucket after another would never end.
    with gated(daemon, lambda name, nth: nth < 3 and len(gate.came) < 2) as (server, gate):
        archive = make_archive("archive", archive={"buckets": 2}, fetch={"concurrency": 1})
        archive.add(*spread(server, repos, 2))
        host = Host.of(archive, "crawler")
        with host.starts("nightly", "--night", "2026-11-01", "--workers", "2") as running:
            running.ends(0)
        assert len(gate.came) == 2
        assert not host.scratch


def test_a_task_that_is_killed_costs_no_other(make_archive: MakeArchive, served: Path, daemon: Peer) -> None:
    repos = many_small(served, 16)
    with gated(daemon, lambda name, nth: nth == 1) as (server, gate):
        archive = make_archive("archive", archive={"buckets": 2}, fetch={"concurrency": 1})
        urls = spread(server, repos, 2)
        archive.add(*urls)
        host = Host.of(archive, "crawler")
        with host.starts("nightly", "--night", "2026-11-01") as running:
            gate.wait_for(1)
            (child,) = running.children()
            os.kill(child, signal.SIGKILL)
            said = running.ends(5)
        assert "died unexpectedly with exit code -9" in said
        assert "Run it again" in said
        assert len(hosts_of(archive, 1)) == 1
        gate.open()
        assert archive.nightly(1)["origins"] == {"full": 2}
        assert len(gate.came) == 3


@pytest.mark.hdfs
def test_hosts_share_a_night_and_die(make_archive: MakeArchive, served: Path, daemon: Peer, tmp_path: Path) -> None:
    for number in range(40):
        build_graph(served / f"r{number}.git", [[1], [2, 1]])
        add_commits(served / f"r{number}.git", 1, label=f"r{number}")
    repos = sorted(served.glob("*.git"))
    settings = {"archive": {"buckets": 4, "lease_s": 20}, "fetch": {"concurrency": 1}}
    with (
        gated(daemon) as (server, gate),
        luigid(tmp_path / "luigid", worker_disconnect_delay=15, retry_delay=1) as scheduler,
    ):
        urls = spread(server, repos, 4)
        calm, archive = make_archive("calm", **settings), make_archive("archive", **settings)
        for each in (calm, archive):
            each.add(*urls)
        a, b = (Host.of(archive, name, luigi={"scheduler": scheduler.address}) for name in ("host-a", "host-b"))

        with a.starts("nightly", "--night", str(night(1))) as leader:
            gate.wait_for(1)
            with b.starts("nightly", "--night", str(night(1))) as helper:
                _, second = gate.wait_for(2)
                gate.let_in(second)
                gate.wait_for(3)
                helper.kill()
            gate.open()
            leader.ends(0)
        fetched_by = hosts_of(archive, 1)
        assert len(fetched_by) == 4
        assert set(fetched_by.values()) == {"host-a", "host-b"}
        calm.nightly(1)

        for url in urls:
            add_commits(served / url.rpartition("/")[2], 2, label="second")
        gate.close()
        with b.starts("nightly", "--night", str(night(2))) as leader:
            gate.wait_for(1)
            with a.starts("nightly", "--night", str(night(2))) as helper:
                gate.wait_for(2)
                leader.kill()
                gate.open()
                said = helper.ends(0)
        assert "took over lease.json" in said
        assert "host-a" in archive.storage.read(Load.of_night(night(2)).night_summary).decode()
        calm.nightly(2)
        same(archive, calm, 2)
        assert not a.scratch


def test_a_holder_that_sleeps_past_its_lease(make_archive: MakeArchive, served: Path, daemon: Peer) -> None:
    repos = many_small(served, 16)
    with gated(daemon) as (server, gate):
        urls = spread(server, repos, 2)
        calm = make_archive("calm", archive={"buckets": 2}, fetch={"concurrency": 1})
        archive = make_archive("archive", archive={"buckets": 2, "lease_s": 10}, fetch={"concurrency": 1})
        for each in (calm, archive):
            each.add(*urls)
        sleeper, other = Host.of(archive, "sleeper"), Host.of(archive, "other")
        with sleeper.starts("nightly", "--night", str(night(1))) as asleep:
            gate.wait_for(1)
            with other.starts("nightly", "--night", str(night(1))) as second:
                said = second.ends(4)
            assert "the archive is held by night 2026-11-01, run" in said
            assert "(host sleeper, pid" in said

            asleep.signal(signal.SIGSTOP)
            storage = archive.storage
            holder = read_record(storage, "lease.json")
            assert holder is not None
            beat = read_record(storage, f"lease.d/{holder.token}.beat.json") or holder
            time.sleep(max(beat.expires_at + GRACE_S - time.time(), 0) + 0.1)  # until then the lease is not free
            gate.open()
            with other.starts("nightly", "--night", str(night(1))) as awake:
                assert "took over lease.json" in awake.ends(0)

            asleep.signal(signal.SIGCONT)
            said = asleep.ends(4)
        assert "This run may not write any more" in said
        assert set(hosts_of(archive, 1).values()) == {"other"}
        calm.nightly(1)
        same(archive, calm, 1)
        assert list(storage.walk(f"{Load.of_night(night(1)).root}/landing")) == []
