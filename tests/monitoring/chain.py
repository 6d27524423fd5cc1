"""What is in deploy/monitoring, made quicker: Prometheus, Alertmanager, a Pushgateway, and a receiver of alerts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.support.real_servers import served_by
from tests.support.sockets import LOOPBACK, free_port

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
SOONER = {"26 * 3600": "15", "50 * 3600": "1"}
"""Seconds after which a night is late here, and a copy is old."""

EVERY = "1s"
HDFS_EVERY = "4s"
"""Prometheus waits no longer for an answer than until it asks again, and a busy machine's NameNode takes its time."""

ARRIVES_WITHIN_S = 60.0


def program(name: str) -> str | None:
    """A program that ``scripts/prometheus`` gets; None if it is not there."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.prefix) / "bin"))


MISSING = [
    name
    for name in ("prometheus", "prometheus-alertmanager", "prometheus-pushgateway", "promtool", "amtool")
    if program(name) is None
]


def quicker_rules(text: str) -> str:
    """Our alerts, of which none waits, with what is in ``SOONER``. Nothing else is changed."""
    for ours, here in SOONER.items():
        assert text.count(ours) == 1
        text = text.replace(ours, here)
    rules = yaml.safe_load(text)
    for alert in (alert for group in rules["groups"] for alert in group["rules"]):
        alert.pop("for", None)
    changed: str = yaml.safe_dump(rules)
    return changed


def quicker_routes(text: str, receiver: str) -> str:
    """Our routes, which wait a second, to one receiver: the names of theirs are its paths."""
    settings = yaml.safe_load(text)
    for route in (settings["route"], *settings["route"]["routes"]):
        route |= {"group_wait": EVERY, "group_interval": EVERY}
    for each in settings["receivers"]:
        each["webhook_configs"] = [{"url": f"{receiver}/{each['name']}"}]
    changed: str = yaml.safe_dump(settings)
    return changed


def quicker_scrapes(text: str, alertmanager: int, targets: Mapping[str, Sequence[int]]) -> str:
    """Our example, which asks each second, without the jobs that have no target here.

    Args:
        alertmanager: its port.
        targets: ports by job.
    """
    settings = yaml.safe_load(text)
    settings["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    settings["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [f"{LOOPBACK}:{alertmanager}"]}]}]
    settings["scrape_configs"] = [
        job | {"static_configs": [{"targets": [f"{LOOPBACK}:{port}" for port in targets[job["job_name"]]]}]}
        for job in settings["scrape_configs"]
        if job["job_name"] in targets
    ]
    for job in settings["scrape_configs"]:
        if job["job_name"] == "hdfs":
            job["scrape_interval"] = HDFS_EVERY
    changed: str = yaml.safe_dump(settings)
    return changed


@dataclass(frozen=True)
class Told:
    """An alert that has arrived. ``status`` is firing or resolved."""

    receiver: str
    status: str
    labels: Mapping[str, str]


@dataclass
class Receiver:
    """Whoever is paged, and whoever reads tickets."""

    told: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()

    def take(self, receiver: str, alerts: list[dict[str, Any]]) -> None:
        """Remember what has arrived."""
        with self._changed:
            self.told += [Told(receiver, alert["status"], alert["labels"]) for alert in alerts]
            self._changed.notify_all()

    def wait(self, name: str, status: str) -> Told:
        """The first such alert, when it has arrived."""

        def found() -> list[Told]:
            return [told for told in self.told if (told.labels["alertname"], told.status) == (name, status)]

        with self._changed:
            assert self._changed.wait_for(found, ARRIVES_WITHIN_S), f"{name} is not {status}: {self.told}"
            return found()[0]


@dataclass(frozen=True)
class Chain:
    """The chain. ``endpoint`` is where a run's metrics are looked for; all are ports but the receiver."""

    prometheus: int
    alertmanager: int
    pushgateway: int
    endpoint: int
    receiver: Receiver

    def ask(self, what: str, **parameters: str | float) -> Any:
        """The answer of Prometheus' interface to a query."""
        url = f"http://{LOOPBACK}:{self.prometheus}/api/v1/{what}?{urlencode(parameters)}"
        with urlopen(url, timeout=ARRIVES_WITHIN_S) as answer:
            return json.load(answer)["data"]

    def state(self, alert: str) -> str:
        """What Alertmanager does with an alert that fires: ``active`` or ``suppressed``."""
        url = f"http://{LOOPBACK}:{self.alertmanager}/api/v2/alerts?{urlencode({'filter': f'alertname={alert}'})}"
        with urlopen(url, timeout=ARRIVES_WITHIN_S) as answer:
            (found,) = json.load(answer)
        return str(found["status"]["state"])

    def amtool(self, *words: str) -> str:
        """Run amtool on this Alertmanager."""
        address = f"--alertmanager.url=http://{LOOPBACK}:{self.alertmanager}"
        done = subprocess.run(
            [str(program("amtool")), *words, address], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def chain(folder: Path, hdfs: Sequence[int] = ()) -> Iterator[Chain]:
    """All of it until the block ends.

    Args:
        folder: for configurations and data.
        hdfs: ports of HDFS's daemons.
    """
    receiver, endpoint = Receiver(), free_port()
    with ExitStack() as stack:
        server = stack.enter_context(_listening(receiver))
        log = stack.enter_context(tempfile.NamedTemporaryFile(prefix="chain-"))
        (folder / "alerts.yml").write_text(quicker_rules((FOLDER / "alerts.yml").read_text()))
        routes = quicker_routes((FOLDER / "alertmanager.yml").read_text(), f"http://{LOOPBACK}:{server.server_port}")
        (folder / "alertmanager.yml").write_text(routes)

        def start(name: str, *words: str) -> int:
            """Start a program that takes Prometheus' usual options; its port."""
            command = (str(program(name)), *words)
            return stack.enter_context(
                served_by(lambda port: [*command, f"--web.listen-address={LOOPBACK}:{port}"], log.file)
            )

        pushgateway = start("prometheus-pushgateway", "--persistence.file=")
        alertmanager = start(
            "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager", "--cluster.listen-address=",
        )  # fmt: skip
        targets = {"git-lakehouse-run": [endpoint], "pushgateway": [pushgateway], "hdfs": hdfs}
        scrapes = quicker_scrapes((FOLDER / "prometheus.yml").read_text(), alertmanager, targets)
        (folder / "prometheus.yml").write_text(scrapes)
        prometheus = start(
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/prometheus",
            f"--rules.alert.resend-delay={EVERY}",  # a minute, also if nobody was there to be told
        )  # fmt: skip
        yield Chain(prometheus, alertmanager, pushgateway, endpoint, receiver)


@contextmanager
def _listening(receiver: Receiver) -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.take(self.path.strip("/"), message["alerts"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
