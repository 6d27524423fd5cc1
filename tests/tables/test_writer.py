"""No commit without a writer: a table opened to read refuses, and a lost lease stops every kind of commit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession

from pipeline.maintain.fsck.branches import BranchedTable
from pipeline.model.layout import LEASE
from pipeline.storage.errors import LeaseLost
from pipeline.storage.interface import Storage
from pipeline.tables.conflicts import nothing, overwrite, see
from pipeline.tables.iceberg import IcebergTable, NotWritable
from pipeline.tables.maintained import MaintainedTable
from pipeline.tables.writer import Writer
from tests.tables.conftest import add

pytestmark = pytest.mark.spark

COMMITS: dict[str, Callable[[BranchedTable, Storage], object]] = {
    "append": lambda table, _: table.append_files([], {}),
    "tag": lambda table, _: table.create_tag("night-2026-11-01"),
    "empty": lambda table, _: table.commit_nothing(),
    "properties": lambda table, _: table.set_properties({"a": "b"}),
    "rename tags": lambda table, _: table.rename_tags([]),
    "remove tags": lambda table, _: table.remove_tags([]),
    "expire": lambda table, _: table.expire([]),
    "delete files": lambda table, _: table.delete_files(["file:/nowhere"]),
    "compact": lambda table, _: table.replace_files(table.scan_bucket(table.current().id, 0), [], {}),
    "take down": lambda table, _: table.rewrite_snapshots([], str, {}),
    "repair": lambda table, storage: table.begin(storage, table.current().id, 0, ()),
}


def lost() -> None:
    raise LeaseLost(LEASE, "somebody else has it")


@pytest.fixture
def origins(spark: SparkSession) -> SparkSession:
    add(spark, "https://example.com/a.git")
    return spark


@pytest.mark.parametrize("name", COMMITS)
def test_a_table_opened_to_read_commits_nothing(origins: SparkSession, storage: Storage, name: str) -> None:
    table = BranchedTable(origins, "origins")
    before = table.history(), table.tags()
    with pytest.raises(NotWritable, match="opened to read"):
        COMMITS[name](table, storage)
    again = MaintainedTable(origins, "origins")
    assert (again.history(), again.tags()) == before


@pytest.mark.parametrize("name", COMMITS)
def test_a_lost_lease_stops_every_commit(origins: SparkSession, storage: Storage, name: str) -> None:
    table = Writer(origins, lost).open(BranchedTable, "origins")
    before = table.history(), table.tags()
    with pytest.raises(LeaseLost):
        COMMITS[name](table, storage)
    again = MaintainedTable(origins, "origins")
    assert (again.history(), again.tags()) == before


def test_rows_seen_to_be_read_are_not_replaced(origins: SparkSession) -> None:
    seen = see(origins, "origins")
    with pytest.raises(NotWritable, match="opened to read"):
        overwrite(seen.rows(), seen, nothing())
    seen = Writer(origins, lost).see("origins")
    with pytest.raises(LeaseLost):
        overwrite(seen.rows(), seen, nothing())
    assert IcebergTable(origins, "origins").current().id == seen.snapshot
