"""Each check of the doctor, passing and failing."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest

from pipeline.context.archive import ArchiveInfo
from pipeline.context.config import Config
from pipeline.maintain.doctor import machine
from pipeline.maintain.doctor.compiled import lacking_parts
from pipeline.maintain.doctor.examine import Patient, examine
from pipeline.maintain.doctor.finding import Finding, Level, exit_code_of, machine_failure, settings_failure, warning
from pipeline.maintain.doctor.finding import damage as damaged
from pipeline.maintain.doctor.jars import check_jars
from pipeline.maintain.doctor.loads import check_archive, check_loads, check_promise, judge_lease
from pipeline.maintain.doctor.machine import (
    GIB,
    Memory,
    check_clock,
    check_memory,
    check_scratch,
    heap_bytes,
    memory_here,
)
from pipeline.maintain.doctor.packages import check_compiled, check_packages, check_python
from pipeline.maintain.doctor.programs import check_git, check_java
from pipeline.maintain.doctor.scheduler import check_scheduler
from pipeline.maintain.doctor.settings import check_settings
from pipeline.maintain.doctor.storage import check_local_space, check_probe, judge_clocks, judge_hdfs, judge_space
from pipeline.maintain.doctor.table_problems import TableProblem
from pipeline.maintain.doctor.tables import judge_doubles, judge_tables, judge_urls
from pipeline.model.errors import ExitCode
from pipeline.model.layout import ARCHIVE, Load
from pipeline.model.night_summary import NightSummary, Unpromised
from pipeline.read.promises import lost_promises
from pipeline.storage.errors import StorageError, StoredFileDamaged
from pipeline.storage.factory import open_storage
from pipeline.storage.hdfs_status import HdfsStatus
from pipeline.storage.lease_record import LeaseRecord, Owner
from pipeline.storage.local import LocalStorage
from pipeline.tables.doubles import Doubles
from tests.support.bad_servers import http_status
from tests.support.nobody import nobody

TODAY = date(2026, 11, 25)


def levels(found: Iterable[Finding]) -> list[tuple[str, int]]:
    findings = list(found)
    assert all(bool(f.advice) == (f.level is not Level.OK) for f in findings), findings
    assert all((f.exit_code == ExitCode.DONE) == (f.level is not Level.FAILURE) for f in findings), findings
    return [(f.level.value, int(f.exit_code)) for f in findings]


OK, WARNING = ("ok", 0), ("warning", 0)
SETTINGS, DAMAGE, MACHINE = ("failure", 2), ("failure", 3), ("failure", 5)


def test_the_worst_failure_tells_the_exit_code() -> None:
    note, settings = warning("x", "x", "x"), settings_failure("x", "x", "x")
    host, data = machine_failure("x", "x", "x"), damaged("x", "x", "x")
    assert [int(exit_code_of(found)) for found in ([note], [note, settings], [settings, host], [host, data])] == [
        0,
        2,
        5,
        3,
    ]


def test_python() -> None:
    assert levels([check_python(sys.version_info[:3])]) == [OK]
    assert levels([check_python((3, 10, 4))]) == [MACHINE]


def test_packages_of_this_environment() -> None:
    found = list(check_packages(requires("git-lakehouse") or (), version))
    assert levels(found) == [OK]
    assert "pyspark 4.1" in found[0].found
    assert "pytest" not in found[0].found, "of an extra"


def test_packages_that_are_missing_or_outside_their_range() -> None:
    def version_of(name: str) -> str:
        if name == "gone":
            raise PackageNotFoundError(name)
        return {"old": "4.1.3", "new": "4.2.0rc1", "fine": "4.1.10"}[name]

    asked = ["old<4.2,>=4.1.4", "new (>=4.1.4,<4.2)", "gone>=1", "fine>=4.1.4,<4.2", 'x>=1; extra == "dev"']
    found = list(check_packages(asked, version_of))
    assert levels(found) == [MACHINE, MACHINE, MACHINE, OK]
    assert [f.found.split()[0] for f in found[:3]] == ["old", "new", "gone"]


def test_compiled_parts() -> None:
    assert levels([check_compiled(lacking_parts())]) == [OK]
    assert levels([check_compiled(["dulwich._pack"])]) == [WARNING]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a fake java with a given output, in a folder that can be JAVA_HOME."""

    def make(script: str) -> Path:
        path = tmp_path / "bin" / "java"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("script", "level"),
    [
        ("echo 'openjdk version \"17.0.9\" 2023-10-17' >&2", OK),
        ("echo 'openjdk version \"21\" 2023-09-19' >&2", OK),
        ("echo 'java version \"1.8.0_392\"' >&2", MACHINE),
        ("echo 'openjdk version \"11.0.2\"' >&2", MACHINE),
        ("echo 'openjdk version \"25.0.1\"' >&2", WARNING),
        ("echo 'Error: could not create the Java Virtual Machine' >&2; exit 1", MACHINE),
        ("echo who knows", MACHINE),
    ],
)
def test_java(program: Callable[[str], Path], script: str, level: tuple[str, int]) -> None:
    assert levels([check_java(str(program(script)))]) == [level]


def test_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert levels([check_java(str(tmp_path))]) == [MACHINE]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert levels([check_java(None)]) == [MACHINE]


def test_git(tmp_path: Path) -> None:
    assert levels([check_git("git")]) == [OK]
    assert levels([check_git(None), check_git(str(tmp_path / "git"))]) == [WARNING, WARNING]


def test_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "not" / "there" / "yet"
    assert check_scratch(new, GIB).found.endswith("GiB")
    assert not (tmp_path / "not").exists()
    assert levels([machine.judge_scratch(tmp_path, n, 100 * GIB) for n in (GIB // 2, 2 * GIB, 8 * GIB)]) == [
        MACHINE,
        WARNING,
        OK,
    ]

    def full(**_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert levels([check_scratch(tmp_path, GIB)]) == [MACHINE]


def test_memory(tmp_path: Path) -> None:
    here = memory_here()
    assert 0 < here.available < here.total
    told = tmp_path / "meminfo"
    told.write_text("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    assert memory_here(told) == Memory(8 * GIB, 4 * GIB)
    half = memory_here(told)
    assert levels(check_memory(half, n, GIB // 4, visit, 2 * GIB) for n, visit in ((1, 0), (1, GIB), (8, 0))) == [
        OK,
        WARNING,
        MACHINE,
    ]
    assert [heap_bytes(text) for text in ("2g", "1536m", "512", "1T")] == [2 * GIB, 1536 << 20, 512 << 20, 1024 * GIB]


def test_clock() -> None:
    assert levels([check_clock()]) == [OK]
    now = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    assert levels([machine.judge_clock(0, 0), machine.judge_clock(now, 3600), machine.judge_clock(now, 0)]) == [
        MACHINE,
        WARNING,
        OK,
    ]


def test_jars(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jar", tmp_path / "bad.jar"
    with zipfile.ZipFile(good, "w") as jar:
        jar.writestr("A.class", b"x")
    bad.write_bytes(good.read_bytes()[:-30])
    paths = f"{good},file://{good},{bad},{tmp_path}/none.jar,hdfs://h/elsewhere.jar"
    assert levels(check_jars(paths, None, tmp_path)) == [OK, OK, MACHINE, MACHINE]
    assert levels(check_jars(None, "g:a:1", tmp_path)) == [WARNING]


def test_scheduler() -> None:
    assert levels([check_scheduler(None)]) == [OK]
    with http_status(200) as server, http_status(404) as other, nobody() as none:
        hosts = [f"127.0.0.1:{peer.port}" for peer in (server, other, none)]
        assert levels(map(check_scheduler, hosts)) == [OK, MACHINE, MACHINE]


def test_storage_that_works(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    assert levels(check_probe(storage)) == [OK, OK]
    assert storage.list() == [], "the probe is gone"


def test_a_place_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert levels(check_probe(LocalStorage(tmp_path / "new"))) == [OK]
    assert not (tmp_path / "new").exists()


def test_storage_that_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    monkeypatch.setattr(storage, "read", lambda path: b"other")
    assert levels(check_probe(storage)) == [DAMAGE]


def test_storage_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        list(check_probe(LocalStorage(tmp_path / "file")))


def test_the_clock_of_the_storage() -> None:
    assert levels(judge_clocks(at, 100.0, 101.0) for at in (95, 105, 80, 500)) == [OK, OK, MACHINE, MACHINE]


def test_space(tmp_path: Path) -> None:
    assert levels(judge_space(free, 1000) for free in (500, 50, 5)) == [OK, WARNING, MACHINE]
    assert check_local_space(f"file://{tmp_path}/new").check == "space"


def test_hdfs() -> None:
    def cluster(safe_mode: str = "", live: int = 3, dead: int = 0, missing: int = 0) -> HdfsStatus:
        return HdfsStatus("http://nn:9870", safe_mode, live, dead, 50, 100, missing)

    assert levels(judge_hdfs(None)) == [WARNING]
    assert levels(judge_hdfs(cluster())) == [OK, OK]
    assert levels(judge_hdfs(cluster("Safe mode is ON"))) == [MACHINE, OK]
    assert levels(judge_hdfs(cluster(live=0))) == [MACHINE, OK]
    assert levels(judge_hdfs(cluster(dead=1))) == [WARNING, OK, OK]
    assert levels(judge_hdfs(cluster(missing=4))) == [DAMAGE, OK, OK]


def test_archive(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    assert levels([check_archive(storage)]) == [SETTINGS]
    storage.create(ARCHIVE, b"{}")
    with pytest.raises(StoredFileDamaged):
        check_archive(storage)
    storage.replace(ARCHIVE, ArchiveInfo.new(4).model_dump_json().encode())
    assert levels([check_archive(storage)]) == [OK]


def finish(storage: LocalStorage, load: Load) -> None:
    storage.create(load.plan, b"{}")
    storage.create(load.finished, b"{}")


def test_loads(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    finish(storage, Load.of_night(date(2026, 11, 24)))
    finish(storage, Load.of_batch(date(2026, 11, 24), 7))
    finish(storage, Load.of_night(date(2026, 11, 26)))  # it is already tomorrow somewhere
    assert levels(check_loads(storage, TODAY)) == [OK]
    storage.create("runs/2026-11-24-copy/night.json", b"{}")
    storage.create("runs/notes/x", b"")
    storage.create(Load.of_night(TODAY).plan, b"{}")
    finish(storage, Load.of_night(date(2062, 1, 1)))
    found = list(check_loads(storage, TODAY))
    assert levels(found) == [WARNING, WARNING, WARNING]
    assert "2026-11-24-copy, notes" in found[0].found
    assert "2062-01-01" in found[1].found
    assert found[2].found.startswith("unfinished: 2026-11-25")


def test_the_promise_of_the_newest_night(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    assert levels([check_promise(storage, TODAY)]) == [OK]
    kept = NightSummary(
        night=TODAY, run_id="r", origins={}, objects=0, raw_bytes=0, wire_bytes=0, stored_bytes=0, files=0, seconds={},
        failed=(),
    )  # fmt: skip
    lost = kept.model_copy(update={"unpromised": (Unpromised(host="h", origins=12_000, nights=120.6),)})
    storage.create(Load.of_night(date(2026, 11, 1)).night_summary, kept.model_dump_json().encode())
    storage.create(Load.of_night(date(2026, 11, 2)).night_summary, lost.model_dump_json().encode())
    storage.create(Load.of_night(date(2026, 11, 3)).plan, b"{}")
    found = check_promise(storage, TODAY)
    assert levels([found]) == [WARNING]
    assert "h (12,000 origins, 121 nights)" in found.found
    promises = lost_promises(storage, TODAY)
    assert [promises.lost(url) for url in ("https://h/a", "https://h.:443/a", "https://i/a")] == [True, True, False]
    some = lost.model_copy(update={"unpromised": (Unpromised(host="", origins=9, nights=120),), "unpromised_hosts": 99})
    storage.create(Load.of_night(date(2026, 11, 4)).night_summary, some.model_dump_json().encode())
    promises = lost_promises(storage, TODAY)
    assert [promises.lost(url) for url in ("file:///a", "https://h/a")] == [True, None], "it may be one of 98 others"
    storage.create(Load.of_night(date(2062, 1, 1)).night_summary, b"{}")
    assert "no host (9 origins, 120 nights) and 98 more" in check_promise(storage, TODAY).found


def test_lease() -> None:
    record = LeaseRecord.starting(Owner.here("r1", "night"), "0" * 32, now=1000.0, ttl_s=300)
    told = [judge_lease(None, 0), judge_lease(record, 1100), judge_lease(record, 2000)]
    assert levels(told) == [OK, OK, OK]
    assert [f.found.split()[0] for f in told] == ["nobody", "held", "night,"]


ODD: dict[str, dict[str, object]] = {
    "a job that is not there": {"nightly": {"jobs": ["nonsense"]}},
    "more workers than buckets": {"fetch": {"workers": 9}},
    "a short lease": {"archive": {"lease_s": 5}},
    "checksums off": {"spark": {"conf": {"spark.hadoop.parquet.page.verify-checksum.enabled": "false"}}},
    "patience": {"fetch": {"limits": {"silence_s": 9, "total_s": 3}}},
    "few buckets": {"spark": {"master": "yarn", "cluster": {"threads": 1000, "memory_bytes": 10**12}}},
}


@pytest.mark.parametrize("name", ODD)
def test_settings_that_are_hardly_meant(name: str) -> None:
    expected = SETTINGS if "job" in name else WARNING
    assert levels(check_settings(Config.model_validate(ODD[name]), 8, ["language_census"])) == [expected]


def test_settings_as_they_come() -> None:
    assert levels(check_settings(Config(), 8, ["language_census"])) == [OK]


def test_tables() -> None:
    lost, odd = TableProblem("refs", "is missing", damaged=True), TableProblem("refs", "has", damaged=False)
    assert levels(judge_tables([], [], TODAY)) == [OK]
    assert levels(judge_tables([lost, odd], [TODAY], TODAY)) == [DAMAGE, WARNING]
    assert levels(judge_tables([], [date(2062, 1, 1)], TODAY)) == [DAMAGE]


def test_doubled_keys() -> None:
    found = list(judge_doubles([Doubles("origins", 2, 3, ("https://h/a",))]))
    assert levels(found) == [DAMAGE]
    assert "2 keys have 3 surplus rows, such as https://h/a" in found[0].found
    assert "--mend" in found[0].advice
    assert levels(judge_doubles([])) == [OK]


def test_urls_that_may_hold_a_login() -> None:
    assert levels([judge_urls([]), judge_urls([1, 2])]) == [OK, DAMAGE]


def test_a_storage_that_does_not_answer_is_asked_once() -> None:
    with nobody("http") as name_node:
        hdfs = {"webhdfs_urls": [f"http://127.0.0.1:{name_node.port}"], "attempts": 1}
        config = Config.model_validate({"hdfs": hdfs, "archive": {"location": "hdfs://127.0.0.1:1/a"}})
        storage = open_storage(config.archive.location, config.hdfs)
        found = {f.check: f for f in examine(Patient(config, storage, None, "lease.json", None, TODAY))}
    assert found["hdfs"].level is Level.FAILURE
    assert "no NameNode answers" in found["hdfs"].found
    assert found["storage"].level is Level.WARNING
    assert not found.keys() & {"archive", "loads", "lease"}


def test_a_check_that_cannot_look_is_a_failure_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("https://user:pa/ssS3cr3t@host/x")

    monkeypatch.setattr("pipeline.maintain.doctor.examine.check_loads", broken)
    patient = Patient(Config(), LocalStorage(tmp_path), None, "lease.json", None, TODAY)
    found = {f.check: f for f in examine(patient)}
    assert (found["loads"].level, found["loads"].exit_code) == (Level.FAILURE, ExitCode.RUN_FAILED)
    assert "RuntimeError" in found["loads"].found
    assert "S3cr3t" not in found["loads"].found
    assert found["lease"].level is Level.OK
