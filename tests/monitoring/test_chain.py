"""Real nights, watched by a real Prometheus, Alertmanager and Pushgateway with what is in deploy/monitoring.

Alerts arrive and are taken back, and every query of the dashboards has an answer.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.tables.iceberg import full_name
from tests.e2e.archive import Archive, Place, night
from tests.monitoring.chain import FOLDER, MISSING, Chain, Told, chain
from tests.support.git import git
from tests.support.hdfs import MiniHdfs
from tests.support.hours import event, serving_hours
from tests.support.repos import add_commits, build_graph
from tests.support.servers import Peer, git_daemon, http_backend
from tests.support.sockets import LOOPBACK

ROOT = Path(__file__).parents[2]
REFUSED = [f"refused-{number}.git" for number in range(20)]
"""As many as ``HostRefuses`` asks for."""

JOB = "language_census"
VARIABLES = {"$job": "git-lakehouse", "$__rate_interval": "10s"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.hdfs,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed: scripts/prometheus gets it"),
]


@dataclass(frozen=True)
class Story:
    """What became of the alerts, and which states a silenced one had; ``began`` and ``ended`` since 1970."""

    chain: Chain
    fired: dict[str, Told]
    resolved: dict[str, Told]
    silenced: tuple[str, str, str]
    began: float
    ended: float
    web: Peer


@pytest.fixture(scope="module")
def story(one_spark: None, hdfs: MiniHdfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A host refuses us, the night is late, the next one fails; then complete, and one that events told of a push for.

    Maintain fails, a copy gets old.
    """
    served, folder = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("chain")
    build_graph(served / "good.git", [[1], [2, 1]])
    build_graph(served / REFUSED[0], [[1]])
    for name in REFUSED[1:]:
        (served / name).symlink_to(served / REFUSED[0])
    daemons = [hdfs.port("namenode", "http"), hdfs.port("datanode", "http")]
    with (
        git_daemon(served) as daemon,
        http_backend(served) as web,
        serving_hours() as hours,
        chain(folder, daemons) as watched,
    ):
        archive = Archive.at(
            Place("local", str(folder)), folder / "settings", "archive",
            archive={"buckets": 1},
            hdfs={"webhdfs_urls": [hdfs.webhdfs_url]},
            metrics={
                "listen": f"{LOOPBACK}:{watched.endpoint}", "pushgateway": f"http://{LOOPBACK}:{watched.pushgateway}"
            },
            forges__events={
                "kind": "events", "url": hours.url, "clones": web.url(REFUSED[0]).rpartition("/")[0], "hours": 2
            },
        )  # fmt: skip
        archive.init()
        archive.add(daemon.url("good.git"), *map(web.url, REFUSED))
        began, receiver = time.time(), watched.receiver
        fired = {name: receiver.wait(name, "firing") for name in ("MetricsMissing", "MetricsStale")}

        git(served / REFUSED[0], "config", "http.uploadpack", "false")  # git's own program says 403
        archive.nightly(1)
        for name in ("HostRefuses", "OriginsStale", "NightLate"):
            fired[name] = receiver.wait(name, "firing")
        silenced = silence(watched, "HostRefuses")
        broken = archive.with_settings(fetch={"scratch": "/dev/null/scratch"})
        broken.run("nightly", "--night", str(night(2)), code=5)
        fired["NightFailed"] = receiver.wait("NightFailed", "firing")

        git(served / REFUSED[0], "config", "http.uploadpack", "true")
        archive.nightly(2)
        resolved = {name: receiver.wait(name, "resolved") for name in fired}

        told_at = datetime.now(UTC) - timedelta(hours=1)
        hours.put(told_at, event(1, REFUSED[0].removesuffix(".git"), told_at))
        before = (told_at - timedelta(hours=1)).isoformat()
        archive.spark.sql(f"UPDATE {full_name('origins')} SET last_visit = timestamp '{before}'")
        archive.run("forges", "crawl")
        add_commits(served / REFUSED[0], 1)
        archive.nightly(3)

        (folder / "known.txt").write_text(daemon.url("good.git"))
        archive.run("backfill", "origins", "--from", folder / "known.txt")
        archive.run("backfill", "job", JOB, "--from", str(night(1)), "--to", str(night(1)))
        archive.run("compact")
        broken.run("maintain", code=5)
        archive.run("copy", f"{hdfs.hdfs_uri}/copy")
        for name in ("MaintainFailed", "CopyOld"):
            fired[name] = receiver.wait(name, "firing")
        yield Story(watched, fired, resolved, silenced, began, time.time(), web)


def silence(watched: Chain, alert: str) -> tuple[str, str, str]:
    """The state of an alert before, during and after a silence by the command of the runbook."""
    (command,) = re.findall(r"(?m)^amtool (silence add .*)$", (ROOT / "docs" / "operations.md").read_text())
    words = shlex.split(re.sub(r"--alertmanager.url \S+ ", "", command).replace("StorageFull", alert))
    before = watched.state(alert)
    (name,) = watched.amtool(*words).split()
    during = watched.state(alert)
    watched.amtool("silence", "expire", name)
    return before, during, watched.state(alert)


def test_alerts_arrive_where_their_severity_belongs_and_are_taken_back(story: Story) -> None:
    where = {name: (told.receiver, told.labels["severity"]) for name, told in story.fired.items()}
    assert where == {
        "NightLate": ("page", "page"), "NightFailed": ("page", "page"),
        "HostRefuses": ("ticket", "ticket"), "CopyOld": ("ticket", "ticket"),
        "MetricsMissing": ("ticket", "ticket"), "MetricsStale": ("ticket", "ticket"),
        "OriginsStale": ("ticket", "ticket"), "MaintainFailed": ("ticket", "ticket"),
    }  # fmt: skip
    assert {name: told.receiver for name, told in story.resolved.items()} == {
        "NightLate": "page", "NightFailed": "page", "HostRefuses": "ticket",
        "MetricsMissing": "ticket", "MetricsStale": "ticket", "OriginsStale": "ticket",
    }  # fmt: skip
    assert story.fired["HostRefuses"].labels["host"] == f"{LOOPBACK}:{story.web.port}"


def test_no_other_alert_has_fired(story: Story) -> None:
    disks = {"ScratchFull", "StorageFull"}  # of this machine
    assert {told.labels["alertname"] for told in story.chain.receiver.told} - disks == set(story.fired)


def test_a_silence_as_the_runbook_has_it(story: Story) -> None:
    assert story.silenced == ("active", "suppressed", "active")


def test_every_query_of_the_dashboards_has_an_answer(story: Story) -> None:
    span = {"start": story.began, "end": story.ended, "step": 1}
    without = [
        (title, expr)
        for title, expr in queries()
        if not story.chain.ask("query_range", query=with_variables(expr), **span)["result"]
    ]
    assert without == []


def test_nothing_is_left_of_the_errors_of_the_night_before(story: Story) -> None:
    found = story.chain.ask("query", query="git_lakehouse_night_visit_errors")["result"]
    assert {series["metric"]["code"]: series["value"][1] for series in found} == {"(other)": "0"}


def test_hdfs_has_the_same_series_whatever_is_written_to_it(story: Story) -> None:
    window = f"{int(story.ended - story.began) + 60}s"
    written = story.chain.ask("query", query=f"increase(datanode_bytes_written[{window}])")["result"]
    assert sum(float(series["value"][1]) for series in written) > 0
    ever = story.chain.ask(
        "query", query=f"count by (job, hastate) (last_over_time(fs_namesystem_files_total[{window}]))"
    )
    assert [(one["metric"], one["value"][1]) for one in ever["result"]] == [({"job": "hdfs", "hastate": "active"}, "1")]
    assert story.chain.ask("query", query=f'min_over_time(up{{job="hdfs"}}[{window}]) < 1')["result"] == []
    assert story.chain.ask("query", query='{__name__=~"nn_top_user_.*"}')["result"] == []


def test_the_archives_to_choose_from_are_found(story: Story) -> None:
    for path in (FOLDER / "dashboards").glob("*.json"):
        (query,) = [
            each["query"] for each in json.loads(path.read_text())["templating"]["list"] if each["name"] == "job"
        ]
        metric = re.fullmatch(r"label_values\((\w+), job\)", query).group(1)
        assert story.chain.ask("label/job/values", **{"match[]": metric, "start": story.began}) == [VARIABLES["$job"]]


def queries() -> Iterator[tuple[str, str]]:
    """The title of each panel with each of its queries, of all dashboards."""
    for path in sorted((FOLDER / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.stem}: {panel['title']}", target["expr"]


def with_variables(expr: str) -> str:
    """What Grafana asks for."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr
