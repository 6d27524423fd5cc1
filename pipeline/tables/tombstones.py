"""The table ``takedowns``: it only grows, and is outside the nights, so it applies to all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.model.tables import BY_ORIGIN, NAMESPACE, OID, TIME
from pipeline.model.tombstone import ANYWHERE, NETWORK, OBJECT, ORIGIN, PENDING, TAKEDOWNS, Hidden, Tombstone, hidden
from pipeline.model.visit import TAKEN_DOWN
from pipeline.tables.conflicts import creating, nothing, overwrite, see, until_committed
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name, see_current, table_exists
from pipeline.tables.writer import unleased

MOST_LISTED = 10_000
"""Maximum number of ids that are written as literals."""

_SCHEMA = pa.schema(
    [
        ("takedown", pa.string()),
        ("kind", pa.string()),
        ("bucket", pa.int32()),
        ("network", pa.int64()),
        ("oid", OID),
        ("url", pa.string()),
        ("reason", pa.string()),
        ("by", pa.string()),
        ("at", TIME),
    ]
)
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {full_name(TAKEDOWNS)} (takedown string, kind string, bucket int, network bigint, "
    "oid binary, url string, reason string, by string, at timestamp) USING iceberg COMMENT 'what was taken down, "
    "by whom and why' TBLPROPERTIES ('format-version' = '3')"
)
_IDS = pa.schema([("network", pa.int64()), ("oid", OID)])


def tombstones(spark: SparkSession, takedowns: Collection[str] | None = None) -> list[Tombstone]:
    """All current tombstones, or those of some takedowns."""
    if not takedowns_exist(spark):
        return []
    rows = spark.table(full_name(TAKEDOWNS))
    if takedowns is not None:
        rows = rows.where(F.col("takedown").isin(sorted(takedowns)))
    return [Tombstone(**row) for row in rows.toArrow().cast(_SCHEMA).to_pylist()]


def add_tombstones(spark: SparkSession, new: Sequence[Tombstone]) -> None:
    """Add the tombstones of one takedown in one commit: all of them apply at once, or none. Needs no lease."""
    until_committed(TAKEDOWNS, lambda: _create(spark))
    (takedown,) = {stone.takedown for stone in new}
    rows = [tuple(getattr(stone, name) for name in _SCHEMA.names) for stone in new]
    set_pending(spark, takedown)  # first, so that no reader misses what follows
    frame = local_frame(spark, rows, _SCHEMA)
    until_committed(TAKEDOWNS, lambda: overwrite(frame, unleased(spark).see(TAKEDOWNS), nothing()))


def _create(spark: SparkSession) -> None:
    if not table_exists(spark, TAKEDOWNS):
        with creating(spark, NAMESPACE):
            spark.sql(_CREATE)


def tombstone_ids(spark: SparkSession) -> DataFrame | None:
    """Ids of objects that must not come back: bucket and network (null for all), and oid; None without takedowns."""
    if not takedowns_exist(spark):
        return None
    stones = spark.table(full_name(TAKEDOWNS)).where(F.col("kind").isin(OBJECT, ANYWHERE))
    return stones.select("bucket", "network", "oid").distinct()


def not_taken_down(rows: DataFrame) -> DataFrame:
    """The rows (with bucket, network and oid) without those of objects that were ever taken down."""
    ids = tombstone_ids(rows.sparkSession)
    if ids is None:
        return rows
    somewhere, anywhere = ids.where("bucket IS NOT NULL"), ids.where("bucket IS NULL").select("oid")
    return rows.join(somewhere, ["bucket", "network", "oid"], "left_anti").join(anywhere, "oid", "left_anti")


def taken_down(spark: SparkSession) -> tuple[frozenset[str], frozenset[int]]:
    """URLs of all origins that were ever taken down, and networks that were taken down completely."""
    if not takedowns_exist(spark):
        return frozenset(), frozenset()
    rows = spark.table(full_name(TAKEDOWNS)).where(F.col("kind").isin(ORIGIN, NETWORK)).collect()
    urls = frozenset(row["url"] for row in rows if row["kind"] == ORIGIN)
    return urls, frozenset(row["network"] for row in rows if row["kind"] == NETWORK)


def closed_networks(spark: SparkSession) -> list[tuple[int, int]]:
    """Bucket and number of each network that was taken down completely."""
    if not takedowns_exist(spark):
        return []
    rows = spark.table(full_name(TAKEDOWNS)).where(F.col("kind") == NETWORK).select("bucket", "network").distinct()
    return [(row["bucket"], row["network"]) for row in rows.collect()]


def pending(spark: SparkSession) -> frozenset[str]:
    """Takedowns whose rows may still be in files; from metadata alone."""
    if not takedowns_exist(spark):
        return frozenset()
    properties = spark.sql(f"SHOW TBLPROPERTIES {full_name(TAKEDOWNS)}").collect()
    keys = (row["key"] for row in properties)
    return frozenset(key.removeprefix(PENDING) for key in keys if key.startswith(PENDING))


def set_pending(spark: SparkSession, takedown: str) -> None:
    """Record that files may hold rows of a takedown, so that readers hide them."""
    statement = f"ALTER TABLE {full_name(TAKEDOWNS)} SET TBLPROPERTIES ('{PENDING}{takedown}' = 'yes')"
    until_committed(TAKEDOWNS, lambda: _alter(spark, statement))


def _alter(spark: SparkSession, statement: str) -> None:
    with unleased(spark).table(TAKEDOWNS).committing():
        spark.sql(statement)


def set_removed(spark: SparkSession, takedowns: Iterable[str]) -> None:
    """Record that no table has a row of these takedowns any more; readers need not hide them."""
    keys = ", ".join(f"'{PENDING}{takedown}'" for takedown in sorted(takedowns))
    if keys:
        unset = f"ALTER TABLE {full_name(TAKEDOWNS)} UNSET TBLPROPERTIES IF EXISTS ({keys})"
        until_committed(TAKEDOWNS, lambda: _alter(spark, unset))


def takedowns_exist(spark: SparkSession) -> bool:
    """Whether anything was ever taken down."""
    if not table_exists(spark, TAKEDOWNS):
        return False
    see_current(spark, TAKEDOWNS)
    return True


def hidden_now(spark: SparkSession) -> Hidden:
    """What a reader must skip now. Costs next to nothing if no file holds any of it."""
    takedowns = pending(spark)
    return hidden(tombstones(spark, takedowns)) if takedowns else Hidden()


def visible(rows: DataFrame, table: str, gone: Hidden) -> DataFrame:
    """The rows of a table without what was taken down. Rows are not shuffled: the ids are literals in the condition, so
    that joins stay bucket by bucket; very many ids are broadcast.

    If a blob was taken down in every network, its row in ``blobs`` stays and says so, because trees name it.
    """
    if not gone.touches(table):
        return rows
    if table in BY_ORIGIN:
        return rows.where(~F.col("url" if table == "origins" else "origin").isin(sorted(gone.urls)))
    if gone.networks:
        rows = rows.where(~F.col("network").isin(sorted(gone.networks)))
    spark = rows.sparkSession
    if len(gone.objects) > MOST_LISTED:
        ids = local_frame(spark, sorted(gone.objects), _IDS)
        rows = rows.join(F.broadcast(ids), ["network", "oid"], "left_anti").select(*rows.columns)
    elif gone.objects:
        by_network: dict[int, list[bytes]] = {}
        for network, oid in sorted(gone.objects):
            by_network.setdefault(network, []).append(oid)
        for network, oids in by_network.items():
            rows = rows.where(~((F.col("network") == network) & F.col("oid").isin(list(map(_literal, oids)))))
    if gone.anywhere:
        named = F.col("oid").isin([_literal(oid) for oid in sorted(gone.anywhere)])
        if table == "blobs":
            rows = rows.withColumn("stored", F.when(named, F.lit(TAKEN_DOWN)).otherwise(F.col("stored")))
        else:
            rows = rows.where(~named)
    return rows


def current(spark: SparkSession, table: str) -> DataFrame:
    """The newest state of a table, as readers see it."""
    gone = hidden_now(spark)  # first, or a takedown is missed that ends before the table is looked up
    return visible(see(spark, table).rows(), table, gone)


def _literal(oid: bytes) -> Column:
    return F.lit(bytearray(oid))
