"""The installed program as cron and scripts see it: exit codes, streams, signals, a held archive."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import pipeline.workflows.night
from pipeline.model.layout import Load
from pipeline.model.manifest import Manifest
from pipeline.model.visit import VisitStatus
from pipeline.workflows.metrics.delivery import ARCHIVE_FILE, file_of
from tests.e2e.archive import PROGRAM, PROGRAM_LIMIT_S, Archive, Place, night
from tests.e2e.conftest import MakeArchive
from tests.support.git import resolve
from tests.support.nobody import nobody
from tests.support.repos import build_graph, compare
from tests.support.servers import Peer, silent
from tests.support.sockets import free_port
from tests.workflows.metrics.gateway import gateway
from tests.workflows.metrics.reading import read

HOLDER = """
import sys
from pathlib import Path
from pipeline.context.config import load_config
from pipeline.storage.factory import open_storage
from pipeline.storage.lease import Lease, Owner
config = load_config(Path(sys.argv[1]))
with Lease.acquire(open_storage(config.archive.location, config.hdfs), Owner.here("other-run", "a test"), ttl_s=600):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(archive: Archive) -> Iterator[int]:
    """Another live process holds the archive during the block; yields its id."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(archive.config_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process.pid
            process.communicate("", timeout=60)
            assert process.returncode == 0
        finally:
            process.kill()


@pytest.mark.slow
def test_a_night_by_cron(place: Place, tmp_path: Path, served: Path, daemon: Peer) -> None:
    """Created, filled and run only by the program, with several workers, a job and a failing origin."""
    build_graph(served / "good.git", [[1], [2, 1]])
    build_graph(served / "other.git", [[1]])
    archive = Archive.at(place, tmp_path, "cron", nightly={"jobs": ["language_census"]}, archive={"buckets": 16})
    init = archive.program("init", "--output", "json")
    assert init.json == {"created": True, "location": archive.storage.root_uri, "buckets": 16}
    with nobody() as refuses:
        archive.add(daemon.url("good.git"), daemon.url("other.git"), refuses.url())
        done = archive.program("nightly", "--night", str(night(1)), "--workers", "3", "--output", "json", code=1)
    assert done.json["origins"] == {"failed": 1, "full": 2}
    assert "INFO pipeline.night.publish: load 2026-11-01" in done.stderr
    assert "Traceback" not in done.stderr
    assert "WARN" not in done.stderr.replace("WARNING: Using incubator modules", "")
    again = archive.program("nightly", "--night", str(night(1)))
    assert again.stdout.startswith("The night 2026-11-01 is already complete; nothing was done.")
    assert archive.sql("SELECT * FROM archive.results.language_census") != []
    restored = archive.restore(daemon.url("good.git"), tmp_path / "restored.git")
    assert compare(served / "good.git", restored) == []


def values_of(text: str) -> dict[str, float]:
    """Series of metrics by name, with their labels' values after a colon."""
    return {":".join((name, *(value for _, value in labels))): value for name, labels, value in read(text)}


def metrics_are_those_of(summary: Any, archive: Archive, written: str, pushed: list[str]) -> None:
    """What was written and pushed once, and is printed later, are the numbers of the night and of the archive."""
    assert pushed == [written]
    at_its_end, later = values_of(written), values_of(archive.run("metrics").stdout)
    assert at_its_end["git_lakehouse_nightly_exit_code"] == 1
    for found in (at_its_end, later):
        night_s = datetime.combine(night(1), datetime.min.time(), UTC).timestamp()
        assert found["git_lakehouse_night_date_timestamp_seconds"] == night_s
        visits = {status: found[f"git_lakehouse_night_visits:{status}"] for status in VisitStatus}
        assert {status: count for status, count in visits.items() if count} == summary["origins"]
        assert found["git_lakehouse_night_visit_errors:timeout"] == 1
        for name, key in (("objects", "objects"), ("received_bytes", "wire_bytes"), ("stored_bytes", "stored_bytes")):
            assert found[f"git_lakehouse_night_{name}"] == summary[key]
        for stage, seconds in summary["seconds"].items():
            assert found[f"git_lakehouse_night_stage_seconds:{stage}"] == seconds
        hosts = {name: count for name, count in found.items() if name.startswith("git_lakehouse_night_host_visits:")}
        assert (sum(hosts.values()), len({name.rpartition(":")[0] for name in hosts})) == (2, 2)
        assert found["git_lakehouse_table_rows:visits"] == 2
        assert found["git_lakehouse_table_files:commits"] == 1
        assert found["git_lakehouse_compaction_gain_bytes:trees"] > 0
        assert found["git_lakehouse_origins_failing"] == 1
        assert 0 < found["git_lakehouse_storage_free_bytes"] < found["git_lakehouse_storage_size_bytes"]
        assert (found["git_lakehouse_nights"], found["git_lakehouse_loads_unfinished"]) == (1, 0)
    assert later["git_lakehouse_lease_held"] == 0


@pytest.mark.slow
def test_a_terminated_night_gives_up_the_archive_and_goes_on_later(
    make_archive: MakeArchive, served: Path, daemon: Peer, tmp_path: Path
) -> None:
    build_graph(served / "beside.git", [[1], [2, 1]])
    port, files = free_port(), [tmp_path / name for name in (ARCHIVE_FILE, file_of("nightly"))]
    with silent() as mute, gateway() as pushgateway:
        archive = make_archive(
            "terminated",
            fetch__limits={"silence_s": 3000, "total_s": 3000},
            metrics={
                "listen": f"127.0.0.1:{port}", "pushgateway": pushgateway.url("u:S3CRETx1@"), "textfiles": str(tmp_path)
            },
        )  # fmt: skip
        archive.add(mute.url(), daemon.url("beside.git"))
        with archive.start("nightly", "--night", str(night(1)), "--output", "json") as process:
            assert mute.wait_connected(PROGRAM_LIMIT_S)
            assert archive.storage.stat("lease.json") is not None
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                live = values_of(answer.read().decode())
            assert live["git_lakehouse_run_origins_due"] == 2
            process.send_signal(signal.SIGTERM)
            stdout, stderr = process.communicate(timeout=PROGRAM_LIMIT_S)  # until Spark's process has ended, too
        assert process.returncode == 143, stderr
        assert "interrupted; run the same command again to continue where it stopped" in stderr
        assert "Traceback" not in stderr
        assert stdout == ""
        assert archive.storage.stat("lease.json") is None
        assert list(archive.config.fetch.scratch_folder.iterdir()) == []
        assert archive.status()["nights"] == []
        with pytest.raises(URLError):
            urlopen(f"http://127.0.0.1:{port}/metrics")
        assert (pushgateway.pushed, [file for file in files if file.exists()]) == ([], [])
        hasty = archive.with_settings(fetch__limits={"silence_s": 8})
        words = ("nightly", "--night", str(night(1)), "--output", "json", "--log", "json")
        said = hasty.program(*words, code=1)
    summary, events = json.loads(said.stdout), list(map(json.loads, said.stderr.splitlines()))
    assert summary["origins"] == {"failed": 1, "full": 1}
    assert {(event["run"], event["night"]) for event in events if event["event"].startswith("%s: the visit")} == {
        (summary["run_id"], str(night(1)))
    }
    (failed,) = (event for event in events if event.get("code") == "timeout")
    assert (failed["logger"], failed["origin"]) == ("pipeline.fetch.crew", mute.url())
    assert isinstance(failed["bucket"], int)
    assert summary["errors"] == {"timeout": 1}
    assert "S3CRET" not in said.stdout + said.stderr
    assert mute.url() in archive.storage.read(Load.of_night(night(1)).report).decode()
    written = "".join(file.read_text() for file in files)
    metrics_are_those_of(summary, archive, written, [pushed.text for pushed in pushgateway.pushed])
    assert archive.status()["report"] == summary["report"]
    assert archive.visit(mute.url(), 1)["error"] == "timeout"


@pytest.mark.slow
def test_a_second_nightly_names_who_holds_the_archive(make_archive: MakeArchive) -> None:
    archive = make_archive("held")
    with held_by_another_process(archive) as pid:
        said = archive.program("nightly", "--night", str(night(1)), "--output", "json", code=4)
        assert "the archive is held by a test, run other-run" in said.stderr
        assert f"pid {pid}" in said.stderr
        assert said.stdout == ""
        assert archive.status()["nights"] == []
    assert archive.nightly(1)["already"] is False


@pytest.mark.slow
def test_a_damaged_landing_costs_its_bucket_one_night_and_damage_is_told(
    make_archive: MakeArchive, served: Path, daemon: Peer, tmp_path: Path
) -> None:
    build_graph(served / "damaged.git", [[1], [2, 1]])
    url = daemon.url("damaged.git")
    archive = make_archive("damaged")
    archive.add(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.workflows.night, "publish", lambda *_: 1 / 0)
        archive.run("nightly", "--night", str(night(1)), code=5)
    (listed,) = archive.storage.list(Load.of_night(night(1)).manifests)
    manifest = Manifest.model_validate_json(archive.storage.read(listed.path))
    (landed,) = [file for file in manifest.files if file.table == "commits"]
    whole = archive.storage.read(landed.path)
    archive.storage.replace(landed.path, whole[:-1])
    said = archive.run("nightly", "--night", str(night(1)), code=1)
    assert f"{landed.path}: {len(whole) - 1} bytes instead of {len(whole)}" in said.stderr
    assert archive.visit(url, 1)["error"] == "audit"
    assert archive.rows("commits") == []
    archive.nightly(2)
    lost = resolve(served / "damaged.git", "main:1.txt")
    archive.spark.sql(f"DELETE FROM archive.code.contents WHERE oid = X'{lost}'")
    archive.nightly(3)
    said = archive.run("restore", url, tmp_path / "r.git", code=3)
    assert f"needs 1 objects that the archive lacks, such as {lost}" in said.stderr
    assert not (tmp_path / "r.git").exists()
    assert compare(served / "damaged.git", archive.restore(url, tmp_path / "two.git", day=2)) == []


def run(*words: str, code: int, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(PROGRAM), *words], capture_output=True, text=True, check=False, timeout=PROGRAM_LIMIT_S, cwd=cwd
    )
    assert done.returncode == code, done.stderr
    return done


def test_wrong_usage_is_2(tmp_path: Path) -> None:
    assert "No such option" in run("nightly", "--nigth", code=2, cwd=tmp_path).stderr
    (tmp_path / "c.toml").write_text("[archive]\nplace = 'x'\n")
    said = run("status", "--config", "c.toml", "--output", "json", code=2, cwd=tmp_path)
    assert said.stderr.strip() == "error: c.toml: archive.place: no such key"
    assert said.stdout == ""


def test_no_configuration_is_the_default_one(tmp_path: Path) -> None:
    said = run("status", code=2, cwd=tmp_path)
    assert f"there is no archive at file://{tmp_path}/archive" in said.stderr


def test_a_storage_that_does_not_answer_is_5(tmp_path: Path) -> None:
    with nobody() as peer:
        address = f"127.0.0.1:{peer.port}"
        (tmp_path / "c.toml").write_text(
            f'[archive]\nlocation = "hdfs://{address}/a"\n[hdfs]\nattempts = 1\nwebhdfs_urls = ["http://{address}"]\n'
        )
        said = run("status", "--config", "c.toml", code=5, cwd=tmp_path)
    assert address in said.stderr
    assert "Traceback" not in said.stderr


def test_jobs_needs_neither_archive_nor_spark(tmp_path: Path) -> None:
    found = json.loads(run("jobs", "--output", "json", code=0, cwd=tmp_path).stdout)
    assert "language_census" in {job["name"] for job in found}


def test_help_and_version(tmp_path: Path) -> None:
    assert "4 another run holds the archive" in " ".join(run("--help", code=0, cwd=tmp_path).stdout.split())
    assert run("--version", code=0, cwd=tmp_path).stdout.startswith("pipeline, version ")
