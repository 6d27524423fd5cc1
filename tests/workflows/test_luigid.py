"""A night under a real luigid, and the shipped settings for it."""

from __future__ import annotations

import configparser
from pathlib import Path

import luigi.retcodes
import luigi.scheduler
import luigi.worker
import pytest

from pipeline.workflows import engine
from tests.support.nobody import nobody
from tests.support.repos import many_small
from tests.support.servers import Peer
from tests.support.sockets import LOOPBACK
from tests.workflows.conftest import MakeArchive, spread
from tests.workflows.gate import gated
from tests.workflows.hosts import Host
from tests.workflows.luigid import CONFIG, luigid

pytestmark = pytest.mark.spark


def test_every_setting_is_one_that_luigi_has() -> None:
    config = configparser.ConfigParser()
    config.read_string(CONFIG.read_text())
    known = {"scheduler": luigi.scheduler.scheduler, "worker": luigi.worker.worker, "retcode": luigi.retcodes.retcode}
    assert set(config.sections()) == set(known)
    for section, settings in known.items():
        names = {name for name, _ in settings.get_params()}
        assert set(config[section]) <= names
        values = settings(**{name: dict(settings.get_params())[name].parse(v) for name, v in config[section].items()})
        assert values is not None
    assert set(config["retcode"]) == {name for name, _ in luigi.retcodes.retcode.get_params()}
    assert "0" not in config["retcode"].values()


def test_a_luigid_that_does_not_answer(make_archive: MakeArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RPC_PAUSE_S", 0)
    archive = make_archive("archive", archive={"buckets": 1})
    with nobody() as peer:
        address = f"{LOOPBACK}:{peer.port}"
        said = archive.with_settings(luigi={"scheduler": address}).run("nightly", code=5)
    assert f"no luigid answers at {address}; start it, or leave luigi.scheduler out" in said.stderr
    assert archive.storage.stat("lease.json") is None


@pytest.mark.slow
def test_a_luigid_that_is_restarted_is_waited_for(
    make_archive: MakeArchive, served: Path, daemon: Peer, tmp_path: Path
) -> None:
    """The new luigid has forgotten everything."""
    repos = many_small(served, 16)
    with gated(daemon) as (server, gate), luigid(tmp_path / "luigid") as scheduler:
        archive = make_archive("archive", archive={"buckets": 2}, fetch={"concurrency": 1})
        archive.add(*spread(server, repos, 2))
        host = Host.of(archive, "crawler", luigi={"scheduler": scheduler.address})
        with host.starts("nightly", "--night", "2026-11-01") as running:
            gate.wait_for(1)
            scheduler.kill()
            assert scheduler.start()
            gate.open()
            running.ends(0)
        assert len(gate.came) == 2
        assert scheduler.tasks("DONE")


@pytest.mark.slow
def test_a_luigid_that_dies_ends_the_night_and_the_next_run_completes_it(
    make_archive: MakeArchive, served: Path, daemon: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RPC_PAUSE_S", 0)
    repos = many_small(served, 16)
    with luigid(tmp_path / "luigid") as scheduler:

        def dies(name: str, nth: int) -> bool:
            if nth == 1:
                scheduler.kill()
            return False

        with gated(daemon, dies) as (server, _):
            archive = make_archive("archive", archive={"buckets": 2}, fetch={"concurrency": 1})
            archive.add(*spread(server, repos, 2))
            through = archive.with_settings(luigi={"scheduler": scheduler.address})
            said = through.run("nightly", "--night", "2026-11-01", code=5)
            assert f"no luigid answers at {scheduler.address}" in said.stderr.splitlines()[-1]
            assert archive.storage.stat("lease.json") is None
            assert scheduler.start()
            assert through.nightly(1)["origins"] == {"full": 2}


@pytest.mark.slow
def test_graph_messages_and_progress_are_visible(
    make_archive: MakeArchive, served: Path, daemon: Peer, tmp_path: Path
) -> None:
    repos = many_small(served, 32)
    with gated(daemon, lambda name, nth: nth > 1) as (server, gate), luigid(tmp_path / "luigid") as scheduler:
        urls = spread(server, repos, 2, each=3)
        archive = make_archive("archive", archive={"buckets": 2}, fetch={"concurrency": 1})
        archive.add(*urls)
        host = Host.of(archive, "crawler", luigi={"scheduler": scheduler.address})
        with host.starts("nightly", "--night", "2026-11-01") as running:
            gate.wait_for(2)  # the first visit is over, the second one waits
            (fetching,) = (task for task, family in scheduler.tasks("RUNNING").items() if family == "Fetch")
            message = scheduler.ask("get_task_status_message", task_id=fetching)["statusMessage"]
            assert message.startswith("1 of 3 origins visited: 1 full; last git://")
            assert scheduler.ask("get_task_progress_percentage", task_id=fetching) == {
                "taskId": fetching,
                "progressPercentage": 33,
            }
            (night,) = (task for task, family in scheduler.tasks("PENDING").items() if family == "Nightly")
            graph = scheduler.ask("dep_graph", task_id=night)
            families = sorted(task["name"] for task in graph.values())
            assert families == ["Derive", "Fetch", "Fetch", "FetchAll", "Nightly", "Plan", "Publish", "Seal"]
            assert "run_object" not in graph[night]["params"]
            gate.open()
            running.ends(0)
        done = scheduler.tasks("DONE")
        assert sorted(done.values()) == families
        assert not scheduler.tasks("FAILED")
