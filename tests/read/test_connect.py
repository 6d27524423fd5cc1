"""A server for Spark Connect, and its clients, which are other processes: one that has a client can start no Spark."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from pyspark.sql import SparkSession

from pipeline.cli.main import cli
from pipeline.read import connect
from pipeline.read.archive import Archive
from pipeline.read.connect import ServedViews
from pipeline.read.names import NAMES
from pipeline.storage.errors import StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.local import LocalStorage
from pipeline.tables.connect import TOKEN, ConnectMissing, NotServed, check_served, connected, to_serve
from pipeline.tables.iceberg import IcebergTable, NeedsJvm
from pipeline.tables.masters.errors import DriverDied
from pipeline.tables.session import WAREHOUSE_SETTING, warehouse_of
from pipeline.tables.settings import SparkSettings
from tests.e2e.archive import PROGRAM_LIMIT_S, Place
from tests.e2e.archive import Archive as Commands
from tests.e2e.test_stops import SAYS, of_session, stop
from tests.night.test_nights import URL, two_nights
from tests.read.test_python_page import BLOCK, CONNECT, PAGE
from tests.read.test_stored_archive import describe
from tests.support.sessions import command_of
from tests.tables.conftest import night

CLIENT = """
import json
import sys

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

import pipeline
from pipeline.tables.iceberg import NeedsJvm

root, address, query, page = sys.argv[1:]


def rows(table):
    return sorted(repr(sorted(row.items())) for row in table.to_pylist())


def same(batches):
    yield from batches


def refused(what, error):
    try:
        what()
    except error as found:
        return str(found)


archive = pipeline.open(root, spark=address)
said = {
    "tables": {name: rows(archive.table(name).toArrow()) for name in ("commits", "files", "origin_commits")},
    "sql": rows(archive.sql(query).toArrow()),
    "mapped": rows(archive.map_contents(same, "content binary").toArrow()),
    "past": archive.table("commits", archive.nights()[0]).count(),
    "files": rows(archive.files(%(url)r)),
    "needs_jvm": refused(archive.snapshots, NeedsJvm),
}
plain = SparkSession.builder.remote(address).create()
said["views"] = {name: rows(plain.table(f"night.{name}").toArrow()) for name in ("files", "licences", "refs")}
said["known"] = sorted(found.name for found in plain.catalog.listTables("night"))
said["functions"] = rows(plain.sql(query.replace("FROM ", "FROM night.")).toArrow())
said["short"] = refused(lambda: plain.table("commits").count(), PySparkException)
plain.stop()
stranger = SparkSession.builder.remote(address.partition("/;")[0]).create()
said["stranger"] = refused(lambda: stranger.range(1).count(), PySparkException)
stranger.client.close()
names = {}
for block in json.loads(page):
    code = block.replace("sc://localhost:15002/;token=TOKEN", address).replace('open("archive"', f"open({root!r}")
    exec(code.replace(".show()", ".collect()"), names)
print(json.dumps(said))
"""
QUERY = "SELECT name, line_count(content) AS lines, git_text(content) AS text FROM contents"


def rows(table) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in table.to_pylist())


@pytest.mark.slow
def test_clients_read_what_a_session_reads(
    spark: SparkSession, storage: Storage, spark_root: Path, tmp_path: Path
) -> None:
    two_nights(spark, storage)
    describe(storage)
    commands = Commands.at(Place("local", str(spark_root.parent)), tmp_path, spark_root.name)
    with commands.start("connect") as server:
        address = server.stdout.readline().strip()
        assert address.startswith("sc://localhost:")
        (section,) = CONNECT.findall(PAGE.read_text())
        blocks = json.dumps(BLOCK.findall(section))
        words = [sys.executable, "-c", CLIENT % {"url": URL}, str(spark_root), address, QUERY, blocks]
        client = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PROGRAM_LIMIT_S)
        assert client.returncode == 0, client.stderr
        said = json.loads(client.stdout)
        token = address.rpartition("=")[2].encode()
        assert not any(token in command_of(pid) for pid, _ in of_session(server.pid))
        told = stop(server, signal.SIGINT, terminal=True)
    archive = Archive(spark, None, storage)
    for name, found in (said["tables"] | said["views"]).items():
        assert found == rows(archive.table(name).toArrow()), name
    assert said["tables"]["files"] == said["views"]["files"] != []
    assert said["known"] == sorted(NAMES)
    assert said["sql"] == said["functions"] == rows(archive.sql(QUERY).toArrow()) != []
    assert said["mapped"] == rows(archive.table("contents").select("content").toArrow()) != []
    assert said["files"] == rows(archive.files(URL)) != []
    assert said["past"] == archive.table("commits", night(2)).count() == 1
    assert "pipeline submit" in said["needs_jvm"]
    assert "TABLE_OR_VIEW_NOT_FOUND" in said["short"]
    assert "token" in said["stranger"]
    assert told.splitlines()[-1:] == [SAYS.strip()], told


def remote(**settings: str) -> Any:
    """Stands for a session of Spark Connect, which is none of ``pyspark.sql.SparkSession``; its settings."""
    return SimpleNamespace(conf=settings)


def test_looks_for_takedowns_go_on_after_one_that_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    views = ServedViews(Archive(SimpleNamespace()), None)  # type: ignore[arg-type]
    looks = iter([KeyError("night-2026-11-01"), None, StoredFileDamaged("a.parquet", "torn"), DriverDied(1, "")])

    def look() -> None:
        if (error := next(looks)) is not None:
            raise error

    monkeypatch.setattr(connect, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(views, "look", look)
    views.keep_looking("file:///mine")
    assert next(looks, None) is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "taken down" in caplog.text


def test_a_server_must_have_the_archive() -> None:
    other = remote(**{WAREHOUSE_SETTING: "file:///other/tables"})
    for session, says in ((other, "has the tables at file:///other/tables"), (remote(), "has no archive")):
        with pytest.raises(NotServed, match=f"{says}; start one with `pipeline connect --archive file:///mine`"):
            check_served(session, "file:///mine")
    mine = remote(**{WAREHOUSE_SETTING: warehouse_of("file:///mine")})
    assert check_served(mine, "file:///mine/") is mine


def test_what_needs_the_jvm_says_what_to_do() -> None:
    with pytest.raises(NeedsJvm, match=r"open the archive without spark=, or make it a job for `pipeline submit`"):
        IcebergTable(remote(), "commits")


def test_without_grpc_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql.connect.session", None)
    with pytest.raises(ConnectMissing, match=r"extra \[connect\]"):
        connected("sc://localhost:1", "file:///mine")
    assert "SPARK_CONNECT_MODE_ENABLED" not in os.environ


def test_a_port_that_is_taken_is_told_before_spark_starts(tmp_path: Path) -> None:
    describe(LocalStorage(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ["connect", "--archive", str(tmp_path), "--port", str(taken.getsockname()[1])]
        done = CliRunner().invoke(cli, words)
    assert (done.exit_code, "cannot be used: Address already in use" in done.stderr) == (2, True)


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(LocalStorage(tmp_path))
    monkeypatch.setenv(TOKEN, "secret")
    done = CliRunner().invoke(cli, ["connect", "--archive", str(tmp_path)])
    assert (done.exit_code, "can be guessed" in done.stderr, "secret" in done.stderr) == (2, True, False)


def test_a_served_spark_is_on_loopback_alone() -> None:
    wanted = {"spark.connect.grpc.binding.address": "0.0.0.0", "spark.task.cpus": "1"}
    conf = to_serve(SparkSettings(conf=wanted), 7).conf
    assert conf["spark.connect.grpc.binding.address"] == "127.0.0.1"
    assert (conf["spark.connect.grpc.binding.port"], conf["spark.task.cpus"]) == ("7", "1")
