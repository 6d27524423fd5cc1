"""An archive of two nights with what a reader must get right: deleted rows, opt-outs, takedowns, failures, a fork."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import SparkSession

from pipeline.model.objects import BLOB, object_id
from pipeline.model.origin import Origin
from pipeline.model.pattern import Pattern
from pipeline.model.tombstone import ANYWHERE, OBJECT, ORIGIN, Tombstone
from pipeline.model.visit import VisitStatus
from pipeline.night.publish import publish
from pipeline.night.standing import opt_out
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import full_name
from pipeline.tables.tombstones import add_tombstones
from pipeline.tables.writer import unleased
from tests.night.test_nights import FORK, OTHER, URL, two_nights
from tests.support.tables import made_once
from tests.tables.conftest import ADDED, add, night
from tests.tables.landing import MadeLoad

GONE = "https://example.org/gone"
FAILED_NIGHT = 4
"""A load that is published and not sealed: part of the current state, not of any night."""


@dataclass(frozen=True)
class Grown:
    """The origin with files, its commits, and a blob that was taken down in one network, and one in all."""

    origin: Origin
    one: bytes
    two: bytes
    gone_here: bytes
    gone_anywhere: bytes


def delete_rows(spark: SparkSession, table: str, condition: str) -> None:
    """Delete rows by deletion vectors."""
    spark.sql(f"ALTER TABLE {full_name(table)} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')")
    spark.sql(f"DELETE FROM {full_name(table)} WHERE {condition}")
    assert spark.sql(f"SELECT content FROM {full_name(table)}.delete_files").collect(), "Spark wrote no deletion vector"


@made_once
def grow(spark: SparkSession, storage: Storage) -> Grown:
    origin, one, two = two_nights(spark, storage)
    fork, _, gone = add(spark, (FORK, URL), OTHER, GONE)
    landing = MadeLoad(storage, night(FAILED_NIGHT), "run4")
    landing.visit(fork, VisitStatus.FAILED, "timeout")
    landing.push(gone, landing.commit(gone.network, landing.tree(gone.network, {b"g.c": b"int g;\n"})))
    publish(unleased(spark), storage, landing.load, landing.write(), "run4")
    opt_out(spark, [Pattern(OTHER)])
    delete_rows(spark, "contents", "name = 'b.c'")
    delete_rows(spark, "refs", "name = 'refs/tags/v1'")
    here, anywhere = object_id(BLOB, b"1\n"), object_id(BLOB, b"3\n")
    of_object = Tombstone("a", OBJECT, ADDED, 0, origin.network, here)
    add_tombstones(spark, [of_object, Tombstone("a", ORIGIN, ADDED, url=GONE)])
    add_tombstones(spark, [Tombstone("b", ANYWHERE, ADDED, oid=anywhere)])
    return Grown(origin, one, two, here, anywhere)
