"""Objects that go with an origin: those of its network that no other origin ever showed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.read.archive import Archive
from pipeline.read.history import History
from pipeline.storage.interface import Storage
from pipeline.tables.damage import check_footers
from pipeline.tables.iceberg import IcebergTable, full_name

_NAMED = ("commits", "trees", "tags", "blobs")


def victims(
    spark: SparkSession, storage: Storage, bucket: int, network: int, going: Collection[str], scratch: Path
) -> frozenset[bytes] | None:
    """Objects that go with some origins of a network; None if the whole network goes, as no other origin has it.

    Everything that a ref of another origin has reached on any night stays, whether the night is kept or not: ``refs``
    holds all changes. Everything else goes, including objects that a server sent but no ref ever named.

    Args:
        going: URLs of origins that are taken down, now or earlier.
        scratch: a local folder for the network's commits, tags and trees.
    """
    tables = ("origins", "refs", *_NAMED, "contents")
    for table in tables:
        IcebergTable(spark, table)  # the session may remember an older state
    check_footers(spark, storage, tables, [bucket])
    mine = (F.col("bucket") == bucket) & (F.col("network") == network)
    origins = spark.table(full_name("origins")).where(mine)
    if origins.where(~F.col("url").isin(sorted(going))).limit(1).isEmpty():
        return None
    refs = spark.table(full_name("refs")).where(mine & ~F.col("origin").isin(sorted(going)))
    tips = {bytes(row["target"]) for row in refs.where("target IS NOT NULL").select("target").distinct().collect()}
    scratch.mkdir(parents=True, exist_ok=True)
    with History(scratch) as history:
        for found in Archive(spark).skeleton(network, bucket):
            history.add(*found)
        kept = history.reachable(tips)
    here = [spark.table(full_name(table)).where(mine).select("oid").toArrow() for table in _NAMED]
    return frozenset(oid for ids in here for oid in ids.column("oid").to_pylist() if oid not in kept)


def find_object(spark: SparkSession, storage: Storage, oid: bytes) -> list[tuple[int, int, str]]:
    """Bucket, network and table of every row of an object. Reads the ids of all buckets."""
    check_footers(spark, storage, _NAMED, None)
    places: set[tuple[int, int, str]] = set()
    for table in _NAMED:
        IcebergTable(spark, table)
        rows = spark.table(full_name(table)).where(F.col("oid") == F.lit(bytearray(oid)))
        places |= {(row["bucket"], row["network"], table) for row in rows.select("bucket", "network").collect()}
    return sorted(places)
