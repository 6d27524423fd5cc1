"""A run's metrics while it goes on, as Prometheus reads them."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.context.config import Config, MetricsSection
from pipeline.context.workplace import Workplace
from pipeline.model.host_counts import HOSTS_SHOWN, OTHER
from pipeline.model.visit import Visit, VisitStatus
from pipeline.storage.local import LocalStorage
from pipeline.workflows.events import EventLog
from pipeline.workflows.loads import followed
from pipeline.workflows.metrics import endpoint, known
from pipeline.workflows.metrics.exposed import text_of
from pipeline.workflows.metrics.live import LiveRun
from pipeline.workflows.metrics.run import served
from pipeline.workflows.metrics.shared import MOST_CODES, by_code
from tests.workflows.metrics.reading import read

NIGHT = date(2026, 11, 1)


def visit(origin: str = "https://a.org/x", status: VisitStatus = VisitStatus.FULL, error: str | None = None) -> Visit:
    return Visit(1, 2, origin, NIGHT, "r", status, error, None, datetime.now(UTC), 1.0, 100, 3)


def address_in(log: str) -> str:
    """Where the log says that metrics are served."""
    (found,) = re.findall(r"http://127.0.0.1:\d+/metrics", log)
    return str(found)


def test_a_run_without_events_has_zeros(tmp_path: Path) -> None:
    found = read(text_of(LiveRun("nightly", tmp_path).values()))
    assert {value for name, _, value in found if name == "git_lakehouse_run_visits_total"} == {0}
    assert {dict(labels)["status"] for name, labels, _ in found if name == "git_lakehouse_run_visits_total"} == {
        str(status) for status in VisitStatus
    }
    assert [labels for name, labels, _ in found if "started" in name] == [(("run", "nightly"),)]
    stages = known.RUN_STAGES.full_name
    assert {name for name, _, _ in found} == {metric.full_name for metric in known.OF_A_RUN} - {stages}
    assert {value for name, _, value in found if name in (known.RUN_ERRORS.full_name, known.RUN_HOSTS.full_name)} == {0}


def test_events_of_all_loads_are_counted_once_whoever_asks_and_when(tmp_path: Path) -> None:
    live = LiveRun("nightly", tmp_path)
    first, second = (EventLog(tmp_path / f"{name}.jsonl") for name in ("first", "second"))
    with live.watch(first):
        first.planned(2, 1)
        first.visit(visit())
        live.values()
        first.visit(visit("git://b.org:99/x", VisitStatus.FAILED, "timeout"))
        with first.stage("fetch"):
            pass
    first.visit(visit())  # nobody writes there any more
    with live.watch(second):
        second.planned(5, 2)
        second.planned(5, 2)  # Luigi runs a task that waits for others again
        second.visit(visit(status=VisitStatus.UNCHANGED))
        second.error("Publish", ValueError("x"))
        threads = [threading.Thread(target=live.values) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        values = live.values()
    assert values[known.RUN_DUE] == {(): 7}
    assert {labels: count for labels, count in values[known.RUN_VISITS].items() if count} == {
        ("full",): 1, ("failed",): 1, ("unchanged",): 1,
    }  # fmt: skip
    assert values[known.RUN_ERRORS] == {("timeout",): 1}
    assert values[known.RUN_HOSTS] == {("a.org", "full"): 1, ("a.org", "unchanged"): 1, ("b.org:99", "failed"): 1}
    assert (values[known.RUN_OBJECTS], values[known.RUN_RECEIVED]) == ({(): 9}, {(): 300})
    assert (set(values[known.RUN_STAGES]), values[known.RUN_FAILURES]) == ({("fetch",)}, {(): 1})
    assert 0 < values[known.SCRATCH_FREE][()] <= values[known.SCRATCH_SIZE][()]


def test_ten_thousand_hosts_are_fifty_and_the_rest(tmp_path: Path) -> None:
    live, events = LiveRun("nightly", tmp_path), EventLog(tmp_path / "e.jsonl")
    with live.watch(events):
        for number in range(10_000):
            events.visit(visit(f"https://h{number}.org/x"))
        events.visit(visit("https://h7.org/y"))
    hosts = [
        (dict(labels)["host"], value)
        for name, labels, value in read(text_of(live.values()))
        if name == "git_lakehouse_run_host_visits"
    ]
    assert len(hosts) == HOSTS_SHOWN + 1
    assert sum(value for _, value in hosts) == 10_001
    assert dict(hosts)["h7.org"] == 2
    assert dict(hosts)[OTHER] == 10_000 - HOSTS_SHOWN


def test_codes_are_bounded_too() -> None:
    found = by_code({f"code_{number}": number for number in range(1, 200)})
    assert len(found) == MOST_CODES + 1
    assert sum(found.values()) == sum(range(200))


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    config = Config(metrics=MetricsSection(listen="127.0.0.1:0"))
    return Workplace(config, LocalStorage(tmp_path))


def test_the_endpoint_is_there_during_the_run_and_no_longer(
    place: Workplace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events = EventLog(tmp_path / "e.jsonl")
    with caplog.at_level(logging.INFO, logger=endpoint.__name__):
        with served(place, "nightly") as follow, follow(events):
            url = address_in(caplog.text)
            before = read(urlopen(url).read().decode())
            events.visit(visit())
            answer = urlopen(url)
            after = read(answer.read().decode())
        assert answer.headers["Content-Type"].startswith("text/plain")
        full = ("git_lakehouse_run_visits_total", (("status", "full"),))
        assert [{(name, labels): value for name, labels, value in found}[full] for found in (before, after)] == [0, 1]
        with pytest.raises(URLError):
            urlopen(url)


def test_it_ends_with_a_run_that_fails(place: Workplace, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = threading.enumerate()  # PySpark has a server of its own
    with pytest.raises(ZeroDivisionError), served(place, "nightly"):
        raise ZeroDivisionError
    with pytest.raises(URLError):
        urlopen(address_in(caplog.text))
    assert [thread for thread in threading.enumerate() if "serve_forever" in thread.name and thread not in before] == []


def test_an_address_in_use_is_a_warning(place: Workplace, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with served(place, "nightly"):
        port = urlsplit(address_in(caplog.text)).port
        same = Workplace(Config(metrics=MetricsSection(listen=f"127.0.0.1:{port}")), place.storage)
        with served(same, "nightly") as follow, follow(EventLog(tmp_path / "e.jsonl")):
            pass
    assert f"metrics are not served at 127.0.0.1:{port}: Address already in use" in caplog.text


@pytest.mark.parametrize("listen", ["127.0.0.1:70000", "a..b:0", f"{'a' * 64}.example:0", "no.such.invalid:0"])
def test_an_address_that_is_none_is_a_warning_too(listen: str, caplog: pytest.LogCaptureFixture) -> None:
    with endpoint.serving(listen, dict):
        pass
    assert f"metrics are not served at {listen}: " in caplog.text
    with pytest.raises(ZeroDivisionError), endpoint.serving(listen, dict):
        raise ZeroDivisionError


@pytest.mark.parametrize("line", [b'{"kind": "vis', b'{"kind": "visit"}'])
def test_a_torn_line_of_events_is_a_warning(line: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    live, events = LiveRun("nightly", tmp_path), EventLog(tmp_path / "e.jsonl")
    with live.watch(events):
        events.visit(visit())
        with events.path.open("ab") as file:
            file.write(line + b"\n")
    assert f"the last events of {events.path} are not in the metrics" in caplog.text
    assert live.values()[known.RUN_OBJECTS] == {(): 3}


@pytest.mark.parametrize(("listen", "command"), [("", "nightly"), ("127.0.0.1:0", "maintain")])
def test_without_an_address_or_loads_nothing_listens(
    listen: str, command: known.Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = Config(metrics=MetricsSection(listen=listen))
    with served(Workplace(config, LocalStorage(tmp_path)), command) as follow, follow(EventLog(tmp_path / "e.jsonl")):
        pass
    assert "metrics are served" not in caplog.text


def test_a_load_is_shown_and_followed(tmp_path: Path) -> None:
    live, events, shown = LiveRun("nightly", tmp_path), EventLog(tmp_path / "e.jsonl"), []

    @contextmanager
    def show(events: EventLog) -> Iterator[None]:
        shown.append(events)
        yield

    with followed(events, (show, live.watch)):
        events.visit(visit())
    assert shown == [events]
    assert live.values()[known.RUN_OBJECTS] == {(): 3}


def test_hostile_text_stays_within_its_label(tmp_path: Path) -> None:
    text = text_of({known.RUN_ERRORS: {('a"} 1\ngit_lakehouse_lease_held 7\n# \\',): 2}})
    (family,) = text_string_to_metric_families(text)
    assert [sample.value for sample in family.samples] == [2]
