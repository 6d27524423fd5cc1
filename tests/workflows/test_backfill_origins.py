"""First visits of many origins, in batches: stopped, killed, retried, and with a nightly in between."""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.model.layout import RUNS, Load, table_data
from pipeline.model.tables import ALL
from tests.e2e.archive import Archive
from tests.support.repos import many_small
from tests.support.sample import of_the_day
from tests.support.servers import Peer
from tests.support.sockets import LOOPBACK, Line, listening
from tests.workflows.conftest import MakeArchive, spread
from tests.workflows.gate import _relay, gated
from tests.workflows.hosts import Host, Running

pytestmark = pytest.mark.spark

WHEN = ("run_id", "started_at", "duration_s", "last_visit", "added_at", "pack_bytes", "changes", "silent", "watched")
LIMIT_S = 400


def write_list(archive: Archive, urls: list[str]) -> Path:
    path = archive.folder / "list.txt"
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


def batches(archive: Archive) -> list[str]:
    names = (entry.path.rpartition("/")[2] for entry in archive.storage.list(RUNS))
    return [name for name in names if "-backfill-" in name]


def wait_until(true: Callable[[], bool], running: Running) -> None:
    """Files and logs of another process send no notification, so poll them."""
    for _ in range(LIMIT_S * 50):
        if true():
            return
        assert running.process.poll() is None, running.log.read_text()
        threading.Event().wait(0.02)
    raise AssertionError(f"never came true\n{running.log.read_text()}")


@pytest.mark.slow
def test_what_failed_is_listed_and_retried(make_archive: MakeArchive, served: Path, daemon: Peer) -> None:
    repos = many_small(served, 6)
    healthy = threading.Event()

    def handle(line: Line) -> None:
        if not healthy.is_set():
            line.reset()
            return
        with socket.create_connection((LOOPBACK, daemon.port)) as inside:
            threading.Thread(target=_relay, args=(inside, line.socket), daemon=True).start()
            _relay(line.socket, inside)

    archive = make_archive("archive", archive={"buckets": 2})
    with listening(handle) as flaky:
        urls = [daemon.url(repo.name) for repo in repos[:4]] + [flaky.url(repos[4].name), daemon.url("no.git")]
        source = write_list(archive, [*urls, "example.org/x.git"])
        said = archive.run("backfill", "origins", "--from", source, code=2)
        assert "line 7: the URL (not shown: it may hold a password)" in said.stderr
        assert archive.status()["origins"] == {}

        source = write_list(archive, urls)
        said = archive.run("backfill", "origins", "--from", source, "--batch", "4", code=1)
        assert "1 failed, 4 full, 1 not_found in 2 batches" in said.stdout
        assert "connection_lost" in said.stdout
        assert f"pipeline backfill origins --from {source} --retry failed" in said.stdout
        assert "readable once the next night is complete" in said.stdout

        again = archive.ask("backfill", "origins", "--from", source, code=1)
        assert (again["batches"], again["failures"]) == ([], 1)
        assert again["passed"] == {"failed": 1, "full": 4, "not_found": 1}
        still = archive.ask("backfill", "origins", "--from", source, "--retry", "failed", code=1)
        assert (still["visited"], still["failures"]) == ({"failed": 1}, 1)

        healthy.set()
        healed = archive.ask("backfill", "origins", "--from", source, "--retry", "failed")
        assert (healed["visited"], healed["failures"], healed["failed"]) == ({"full": 1}, 0, [])
    assert archive.status()["last_visits"] == {"full": 5, "not_found": 1}
    assert len(batches(archive)) == 4
    assert archive.storage.stat("lease.json") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", of_the_day(["SIGTERM", "SIGINT"]))
def test_it_stops_when_told_and_goes_on(make_archive: MakeArchive, served: Path, daemon: Peer, name: str) -> None:
    number = signal.Signals[name]
    repos = many_small(served, 8)
    with gated(daemon, lambda name, nth: nth >= 6) as (server, gate):
        archive = make_archive("archive", archive={"buckets": 2})
        host = Host.of(archive, "crawler")
        source = write_list(archive, [server.url(repo.name) for repo in repos])
        with host.starts("backfill", "origins", "--from", source, "--batch", "4") as running:
            gate.wait_for(6)
            if number is signal.SIGINT:
                running.signal(number)  # as a terminal does
            else:
                running.process.send_signal(number)
            said = running.ends(128 + number)
        assert "run the same command again to continue where it stopped" in said
        assert not host.scratch
        assert archive.storage.stat("lease.json") is None
        assert archive.status()["last_visits"] == {"full": 4, "never": 4}
        gate.open()
        done = archive.ask("backfill", "origins", "--from", source)
        assert done["passed"] == {"full": 8}  # the batch that was begun was completed first
        assert len(batches(archive)) == 2
        assert archive.status()["last_visits"] == {"full": 8}
        assert archive.status()["nights"] == []
        batch = Load.named(batches(archive)[0])
        assert batch is not None
        night = archive.ask("nightly", "--night", str(batch.night + timedelta(days=1)))
        assert night["origins"] == {"unchanged": 8}
    assert len(archive.rows("visits")) == 16


@pytest.mark.slow
def test_a_nightly_gets_its_turn(make_archive: MakeArchive, served: Path, daemon: Peer) -> None:
    repos = many_small(served, 16)
    with gated(daemon, lambda name, nth: nth == 1) as (server, gate):
        archive = make_archive("archive", archive={"buckets": 1})
        urls = spread(server, repos, 1, each=3)
        archive.add(urls[2])
        host, other = Host.of(archive, "patient"), Host.of(archive, "other")
        source = write_list(archive, urls[:2])
        with host.starts("backfill", "origins", "--from", source, "--batch", "1") as backfill:
            gate.wait_for(1)
            begun = Load.named(batches(archive)[0])
            assert begun is not None
            with other.starts("nightly", "--night", str(begun.night)) as nightly:
                wait_until(lambda: "waiting for its release" in nightly.log.read_text(), nightly)
                gate.open()
                said = nightly.ends(0)
            backfill.ends(0)
    assert "the archive is held by backfill of origins, run" in said
    first, second = (Load.named(name) for name in batches(archive))
    assert first is not None
    assert second is not None
    storage, when = archive.storage, Load.of_night(first.night)
    written = [storage.stat(path) for path in (first.derived, when.night_summary, second.batch_list, second.derived)]
    assert all(written)
    times = [entry.modified_at for entry in written if entry is not None]
    assert times == sorted(times)
    last = archive.spark.table("archive.code.visits").groupBy("origin").count().collect()
    assert {row["origin"]: row["count"] for row in last} == dict.fromkeys(urls, 1)


@pytest.mark.slow
@pytest.mark.parametrize("count", [400, pytest.param(2000, marks=pytest.mark.long)])
def test_many_origins_killed_twice(make_archive: MakeArchive, served: Path, daemon: Peer, count: int) -> None:
    repos = many_small(served, count)
    urls = [daemon.url(repo.name) for repo in repos]
    calm, archive = (
        make_archive(name, archive={"buckets": 4}, fetch={"concurrency": 8}) for name in ("calm", "archive")
    )
    command = ("backfill", "origins", "--from", write_list(archive, urls), "--batch", str(count // 4))
    host = Host.of(archive, "here")

    with host.starts(*command) as running:  # killed while it fetches the first batch
        wait_until(lambda: len(daemon.requests) >= count // 7, running)
        running.kill()
    assert archive.spark.table("archive.code.visits").count() == 0
    with host.starts(*command) as running:  # killed while it publishes the second one
        today = Load.named(batches(archive)[0])
        assert today is not None
        landed = f"{archive.location}/{table_data('trees', Load.of_batch(today.night, 2).name)}"
        wait_until(lambda: Path(landed).exists(), running)
        running.kill()
    with host.starts(*command) as running:
        running.ends(0)

    assert not host.scratch
    assert len(batches(archive)) == 4
    assert calm.ask("backfill", "origins", "--from", write_list(calm, urls))["visited"] == {"full": count}
    for table in ALL:
        assert archive.rows(table.name, without=WHEN) == calm.rows(table.name, without=WHEN), table.name
    visits = archive.spark.table("archive.code.visits").select("origin", "status").collect()
    assert Counter(row["status"] for row in visits) == {"full": count}
    assert {row["origin"] for row in visits} == set(urls)
    assert archive.spark.table("archive.code.blobs").count() == 2 * count
