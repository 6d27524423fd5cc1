"""What is known about an archive from its files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.context.config import Config
from pipeline.context.workplace import Workplace
from pipeline.model.layout import LEASE, Load
from pipeline.model.night_summary import NightSummary
from pipeline.model.signal import SignalCounts, SignalKind
from pipeline.model.visit import VisitStatus
from pipeline.read.freshness import Freshness
from pipeline.rules.compaction import BucketStats
from pipeline.storage.errors import StorageUnavailable
from pipeline.storage.lease import Lease
from pipeline.storage.lease_record import LeaseRecord, Owner, read_record
from pipeline.storage.local import LocalStorage
from pipeline.workflows.metrics import known
from pipeline.workflows.metrics.archive import (
    archive_values,
    compaction_values,
    freshness_values,
    lease_values,
    night_values,
    signal_values,
)
from pipeline.workflows.metrics.exposed import text_of
from tests.workflows.metrics.reading import read

TODAY = date(2026, 11, 3)
SUMMARY = NightSummary(
    night=date(2026, 11, 2), run_id="r", origins={VisitStatus.FULL: 3, VisitStatus.FAILED: 1}, objects=7, raw_bytes=8,
    wire_bytes=9, stored_bytes=10, files=2, seconds={"plan": 1.5, "fetch": 2.0, "nightly": 9.0}, failed=(),
    damaged=("x",), left_out={3: "y"}, errors={"timeout": 1}, hosts={"a.org": {VisitStatus.FULL: 3}},
    host_seconds={"a.org": 4.5}, signals={SignalKind.EVENT: SignalCounts(right=5)},
)  # fmt: skip


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "archive")


def finish(storage: LocalStorage, load: Load, summary: NightSummary | None) -> None:
    for marker in (load.plan, load.published, load.derived):
        storage.create(marker, b"{}")
    if summary is not None:
        storage.create(load.night_summary, summary.model_dump_json().encode())


def found(place: Workplace) -> tuple[dict[str, float], list[Exception]]:
    values, errors = archive_values(place, TODAY)
    read(text_of(values))
    return {metric.name: each[()] for metric, each in values.items() if () in each}, errors


def test_loads_the_newest_complete_night_and_what_is_left(storage: LocalStorage, tmp_path: Path) -> None:
    first, second, third = (Load.of_night(date(2026, 11, day)) for day in (1, 2, 3))
    finish(storage, first, SUMMARY.model_copy(update={"night": first.night, "objects": 1}))
    finish(storage, second, SUMMARY)
    finish(storage, Load.of_batch(third.night, 1), None)
    storage.create(third.plan, b"{}")
    storage.create(f"{third.landing(1, 'a')}/trees.parquet", b"in use")
    storage.create(f"{second.landing(1, 'a')}/trees.parquet", b"12345")
    os.utime(tmp_path / "archive" / second.night_summary, (1000, 1000))
    values, errors = found(Workplace(Config(), storage))
    assert values["night_date_timestamp_seconds"] == datetime(2026, 11, 2, tzinfo=UTC).timestamp()
    assert (values["night_completed_timestamp_seconds"], values["night_objects"]) == (1000, 7)
    assert (values["landing_left_files"], values["landing_left_bytes"]) == (1, 5)
    assert values["loads_unfinished"] == 1
    signals = archive_values(Workplace(Config(), storage), TODAY)[0][known.SIGNALLED_VISITS]
    assert signals["event", "right"] == 10, "of both nights"
    assert {type(error).__name__ for error in errors} == {"NotAnArchive"}
    assert "metrics_collected_timestamp_seconds" not in values
    assert 0 < values["storage_free_bytes"] <= values["storage_size_bytes"]


def test_when_they_were_collected_is_said_if_nothing_is_left_out(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("_of_tables", "_of_compaction", "freshness", "freshness_values"):
        monkeypatch.setattr(f"pipeline.workflows.metrics.archive.{part}", lambda *_: {})
    before = time.time()
    values, errors = found(Workplace(Config(), storage))
    assert not errors
    assert before <= values["metrics_collected_timestamp_seconds"] <= time.time()


def test_an_archive_without_a_night_has_none_of_it(storage: LocalStorage) -> None:
    values, _ = found(Workplace(Config(), storage))
    assert (values["loads_unfinished"], values["lease_held"]) == (0, 0)
    assert not [name for name in values if name.startswith("night_")]


def test_a_night_of_the_future_is_not_the_newest(storage: LocalStorage) -> None:
    tomorrow, later = (Load.of_night(TODAY + timedelta(days=days)) for days in (1, 2))
    for load in (tomorrow, later):
        finish(storage, load, SUMMARY.model_copy(update={"night": load.night}))
    values, _ = found(Workplace(Config(), storage))
    assert values["night_date_timestamp_seconds"] == datetime(2026, 11, 4, tzinfo=UTC).timestamp()


def test_the_numbers_of_a_night_are_those_of_its_summary() -> None:
    values = night_values(SUMMARY, 5.0)
    assert values[known.NIGHT_VISITS] == {(str(s),): SUMMARY.origins.get(s, 0) for s in VisitStatus}
    assert values[known.NIGHT_ERRORS] == {("timeout",): 1}
    assert values[known.NIGHT_HOSTS] == {("a.org", "full"): 3}
    assert values[known.NIGHT_HOST_SECONDS] == {("a.org",): 4.5}
    assert values[known.NIGHT_STAGES] == {("plan",): 1.5, ("fetch",): 2.0}
    names = (known.NIGHT_OBJECTS, known.NIGHT_RAW, known.NIGHT_RECEIVED, known.NIGHT_STORED, known.NIGHT_FILES)
    assert [values[name][()] for name in names] == [7, 8, 9, 10, 2]
    assert (values[known.NIGHT_DAMAGED], values[known.NIGHT_LEFT_OUT]) == ({(): 1}, {(): 1})


def test_a_night_without_visits_has_a_series_of_each_metric() -> None:
    """A Pushgateway keeps the series of the night before of what has none."""
    values = night_values(
        SUMMARY.model_copy(update={"errors": {}, "hosts": {}, "host_seconds": {}, "origins": {}}), 5.0
    )
    assert all(values.values())
    assert {
        value
        for metric in (known.NIGHT_ERRORS, known.NIGHT_HOSTS, known.NIGHT_HOST_SECONDS)
        for value in values[metric].values()
    } == {0}


def test_the_lease(storage: LocalStorage) -> None:
    record = LeaseRecord.starting(Owner("r", "h", 1), "a" * 32, now=100.0, ttl_s=10)
    assert lease_values(record.renewed(155.0), 160.0) == {known.LEASE_HELD: {(): 1}, known.LEASE_AGE: {(): 60}}
    assert lease_values(record, 90.0)[known.LEASE_AGE] == {(): 0}, "another host's clock"
    assert lease_values(record, 160.0) == {known.LEASE_HELD: {(): 0}, known.LEASE_AGE: {(): 0}}, "its run is dead"


def test_a_lease_is_held_as_long_as_it_is_renewed(storage: LocalStorage) -> None:
    place = Workplace(Config(), storage)
    long_ago = time.time() - 1000
    with Lease.acquire(storage, Owner("r", "h", 1), ttl_s=10, clock=lambda: long_ago, heartbeat=False) as lease:
        record = read_record(storage, LEASE)
        assert record is not None
        assert found(place)[0]["lease_held"] == 0
        storage.replace(f"lease.d/{record.token}.beat.json", record.renewed(time.time() + 1000).to_bytes())
        values, _ = found(place)
        assert values["lease_held"] == 1
        assert values["lease_age_seconds"] >= 1000
        assert not lease.lost


def test_origins_by_age() -> None:
    fresh = Freshness({"up to 1 day": 4, "2 to 7 days": 3, "8 to 30 days": 2, "longer": 1}, 5, 6, 7, 8)
    values = freshness_values(fresh)
    assert values[known.ORIGINS_FRESH] == {("1",): 4, ("7",): 3, ("30",): 2, ("more",): 1}
    assert [values[name][()] for name in (known.ORIGINS_FAILING, known.ORIGINS_NEVER, known.ORIGINS_DUE)] == [5, 6, 7]
    assert values[known.ORIGINS_LONGEST] == {(): 8 * 86_400}


def test_signals_of_every_kind_have_a_series() -> None:
    values = signal_values({SignalKind.EVENT: SignalCounts(right=5, wrong=2, changes=9, told=4)})
    signals, changes = values[known.SIGNALLED_VISITS], values[known.CHANGED_VISITS]
    assert {labels: count for labels, count in signals.items() if count} == {
        ("event", "right"): 5,
        ("event", "wrong"): 2,
    }
    assert {labels: count for labels, count in changes.items() if count} == {("event", "yes"): 4, ("event", "no"): 5}
    assert {kind for kind, _ in signals} == {kind for kind, _ in changes} == set(SignalKind)


def test_debt_is_what_maintain_would_do() -> None:
    landed = BucketStats("trees", 0, 1, 1000, 10, 1, 1000, 0, "")
    compacted = BucketStats("trees", 1, 1, 1000, 10, 0, 0, 0, "")
    values = compaction_values({"trees": [landed, compacted], "contents": []}, small_files=16)
    assert values[known.COMPACTION_GAIN] == {("trees",): 250, ("contents",): 0}
    assert values[known.COMPACTION_OVERDUE] == {("trees",): 1, ("contents",): 0}
    assert values[known.COMPACTION_OVERDUE_BYTES] == {("trees",): 1000, ("contents",): 0}


def test_it_needs_neither_spark_nor_luigi() -> None:
    """Not even to be imported: cron runs it each few minutes."""
    code = "import sys, pipeline.cli.metrics; print({'pyspark', 'luigi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


class Silent(LocalStorage):
    """A storage that does not answer, and counts how often it is asked."""

    asked = 0

    def list(self, path: str = "") -> list:
        type(self).asked += 1
        raise StorageUnavailable(path, "no answer")


def test_a_silent_storage_is_asked_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values, errors = found(Workplace(Config(), Silent(tmp_path)))
    assert Silent.asked == len(errors) == 1
    assert set(values) == {"scratch_free_bytes", "scratch_size_bytes"}
    assert "the metrics of loads are left out" in caplog.text
