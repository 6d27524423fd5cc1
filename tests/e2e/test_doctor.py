"""The doctor on real archives: it reports healthy parts as such, and finds what the tests break."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.model.errors import ExitCode
from pipeline.model.tables import ALL
from pipeline.storage.errors import StorageUnavailable
from pipeline.storage.hdfs_status import hdfs_status
from pipeline.storage.settings import HdfsSettings
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import unleased
from tests.e2e.archive import Archive
from tests.e2e.conftest import MakeArchive
from tests.support.hdfs import MiniHdfs
from tests.support.nobody import nobody
from tests.support.servers import http_status

URL = "https://example.org/a.git"


def look(archive: Archive, *options: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Findings that are not ok, by check; the exit code must be the given one."""
    told = archive.ask("doctor", *options, code=code)
    assert told["exit_code"] == code
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in told["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    assert {"python", "java", "storage", "archive", "loads", "lease", "space"} <= found.keys()
    return {check: bad for check, all_ in found.items() if (bad := [f for f in all_ if f["level"] != "ok"])}


@pytest.mark.slow
def test_an_archive_that_is_broken_bit_by_bit(make_archive: MakeArchive) -> None:
    archive = make_archive("doctor")
    machine = {"memory", "scratch", "space", "hdfs"}  # warnings that may be right on this machine
    assert look(archive).keys() <= machine
    assert "failures: 0" in archive.run("doctor", "--quick").stdout
    assert [entry.path for entry in archive.storage.list() if "probe" in entry.path] == []

    archive.add(URL)
    rows = archive.spark.table(full_name("origins"))
    rows.writeTo(full_name("origins")).append()
    (doubled,) = look(archive, code=ExitCode.CHECK_FAILED)["duplicate keys"]
    assert URL in doubled["found"]
    assert archive.ask("doctor", "--mend")["mended"] == {"doubles": {"origins": 1}, "nights": []}
    assert len(archive.sql("SELECT * FROM origins")) == 1
    assert look(archive).keys() <= machine

    held = "https://user:12/S3cr3t@host/x"
    archive.spark.sql(f"UPDATE {full_name('origins')} SET url = '{held}'")
    (login,) = look(archive, code=ExitCode.CHECK_FAILED)["origins"]
    assert "1 or more URLs may contain a login" in login["found"]
    assert "S3cr3t" not in archive.run("doctor", code=ExitCode.CHECK_FAILED).stdout
    archive.spark.sql(f"DELETE FROM {full_name('origins')}")

    archive.spark.sql(f"ALTER TABLE {full_name('trees')} UNSET TBLPROPERTIES ('write.parquet.page-size-bytes')")
    (odd,) = look(archive)["tables"]
    assert (odd["level"], odd["found"]) == (
        "warning",
        "trees has other properties: write.parquet.page-size-bytes is not set",
    )

    unleased(archive.spark).table("origins").create_tag("night-2062-01-01")
    found = look(archive, code=ExitCode.CHECK_FAILED)
    assert len([f for f in found["tables"] if "lacks the tags of night-2062-01-01" in f["found"]]) == len(ALL) - 1
    assert "2062-01-01 is sealed and after today" in found["nights"][0]["found"]

    assert archive.ask("doctor", "--mend")["mended"] == {"doubles": {}, "nights": ["2062-01-01"]}
    assert archive.status()["nights"] == []

    archive.spark.sql(f"ALTER TABLE {full_name('refs')} DROP COLUMN symref")
    archive.spark.sql(f"DROP TABLE {full_name('tags')}")
    said = [f["found"] for f in look(archive, code=ExitCode.CHECK_FAILED)["tables"]]
    assert "tags is missing" in said
    assert "refs has no column symref" in said

    archive.storage.create("runs/2062-01-01/night.json", b"{}")
    archive.storage.create("runs/2026-11-01.old/night.json", b"{}")
    quick = look(archive, "--quick")
    assert [f["level"] for f in quick["loads"]] == ["warning", "warning"]
    assert "tables" not in quick
    archive.storage.replace("archive.json", b"{}")
    assert look(archive, code=ExitCode.CHECK_FAILED)["archive"][0]["exit_code"] == ExitCode.CHECK_FAILED
    archive.storage.delete("archive.json")
    assert look(archive, code=ExitCode.USAGE)["archive"][0]["exit_code"] == ExitCode.USAGE


def test_what_is_mended_needs_spark(make_archive: MakeArchive) -> None:
    assert "omit --quick" in make_archive("doctor-quick").run("doctor", "--quick", "--mend", code=2).stderr


def test_each_way_to_fail_has_its_exit_code(make_archive: MakeArchive) -> None:
    archive = make_archive("doctor-codes")
    odd = archive.with_settings(nightly={"jobs": ["no_such_job"]})
    assert look(odd, "--quick", code=ExitCode.USAGE)["configuration"][0]["level"] == "failure"
    with nobody() as luigid:
        alone = archive.with_settings(luigi={"scheduler": f"127.0.0.1:{luigid.port}"})
        assert "luigi" in look(alone, "--quick", code=ExitCode.RUN_FAILED)


@pytest.mark.hdfs
def test_the_name_node_tells_how_hdfs_is(hdfs: MiniHdfs) -> None:
    with nobody() as dead, http_status(404) as no_name_node:
        status = hdfs_status(HdfsSettings(webhdfs_urls=(f"http://127.0.0.1:{dead.port}", hdfs.webhdfs_url)))
        assert hdfs_status(HdfsSettings(webhdfs_urls=(f"http://127.0.0.1:{no_name_node.port}",))) is None
        with pytest.raises(StorageUnavailable, match="no NameNode answers"):
            hdfs_status(HdfsSettings(webhdfs_urls=(f"http://127.0.0.1:{dead.port}",)))
    assert status is not None
    assert (status.namenode, status.live_datanodes, status.dead_datanodes) == (hdfs.webhdfs_url, 1, 0)
    assert (status.safe_mode, status.missing_blocks) == ("", 0)
    assert 0 < status.free_bytes <= status.total_bytes
