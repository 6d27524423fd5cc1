"""Keys that a table has more than once: finds them, reads them as one, and mends them.

They no longer arise; earlier versions could make them when two processes added an origin at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F

from pipeline.model.origin import OriginState
from pipeline.model.tables import BY_NAME, FILES, HEAD_BLOBS, ORIGINS, REPOSITORIES
from pipeline.tables.conflicts import Seen, overwrite, see, until_committed
from pipeline.tables.iceberg import in_buckets
from pipeline.tables.writer import Writer

_SHOWN = 5
_PLACE = ["bucket", "network", "origin"]


@dataclass(frozen=True, slots=True)
class _Key:
    """A key that is unique in a table; ``part`` is one of its columns, never null, that preselects rows.

    Columns that a table of an earlier version lacks are left out.
    """

    columns: tuple[str, ...]
    part: str


_KEYS = {
    ORIGINS.name: _Key(("url",), "url"),
    # A tree may name an entry twice, and then valid rows do, too; only rows that are entirely equal are doubles.
    FILES.name: _Key((*_PLACE, "line", "path", "path_raw", "mode", "kind", "oid"), "path"),
    HEAD_BLOBS.name: _Key(("bucket", "network", "oid"), "oid"),
    REPOSITORIES.name: _Key(("origin",), "origin"),
}
"""The tables that Spark writes, in the order of mending: ``repositories`` determines what else must go."""


@dataclass(frozen=True, slots=True)
class Doubles:
    """Keys that a table has more than once; ``surplus`` counts the rows that should not be there."""

    table: str
    keys: int
    surplus: int
    examples: tuple[str, ...]


def one_row_a_url(origins: DataFrame, *within: str) -> DataFrame:
    """Rows of ``origins``, one per URL, the same one for every reader.

    Of several rows, the one whose state people set counts, opting out before pausing; then the one visited last, then
    the one added first.

    Args:
        within: "bucket" if rows of other buckets do not matter, which saves a shuffle.
    """
    return _ranked(origins, [*within, "url"], _best_origin()).where("rank = 1").drop("rank")


def find_doubles(spark: SparkSession) -> list[Doubles]:
    """Tables with doubled keys; reads the keys of each table once. Changes nothing."""
    found = []
    for table, key in _KEYS.items():
        doubled = _doubled(see(spark, table).rows(), key)
        counts = doubled.agg(F.count("*").alias("keys"), F.sum("count").alias("rows")).collect()[0]
        if counts["keys"]:
            shown = doubled.orderBy(*_present(doubled, key)).limit(_SHOWN).collect()
            examples = tuple(_shown(row, key) for row in shown)
            found.append(Doubles(table, counts["keys"], counts["rows"] - counts["keys"], examples))
    return found


def mend_doubles(writer: Writer) -> dict[str, int]:
    """Leave one row per doubled key, for origins the one that readers see; return the number of removed rows by table.

    If an origin was in two networks, the rows of ``repositories`` and ``files`` for its former network go, too. The
    affected buckets are rewritten, in one commit per table. May be called again after a crash.

    """
    removed = {}
    for table in _KEYS:
        removed[table] = until_committed(table, lambda table=table: _mend(writer, table))  # type: ignore[misc]
    return {table: rows for table, rows in removed.items() if rows}


def _mend(writer: Writer, table: str) -> int:
    seen = writer.see(table)
    surplus = _surplus(writer.spark, table, seen).persist()
    try:
        counts = {row["bucket"]: row["count"] for row in surplus.groupBy("bucket").count().collect()}
        if counts:
            rows = _numbered(seen).where(in_buckets(counts))
            left = rows.join(surplus.select("_row_id"), "_row_id", "left_anti").select(*BY_NAME[table].column_names)
            overwrite(left, seen, in_buckets(counts))
        return sum(counts.values())
    finally:
        surplus.unpersist()


def _surplus(spark: SparkSession, table: str, seen: Seen) -> DataFrame:
    """Bucket and row id of the rows that should not be there."""
    key, rows = _KEYS[table], _numbered(seen)
    concerned = _doubled(rows, key).select(key.part).distinct()
    many = rows.join(F.broadcast(concerned), key.part, "left_semi")
    newest = [F.col("_row_id").desc()]
    if table == REPOSITORIES.name:
        return _second(_with_home(spark, many), key, [F.col("at_home").desc(), *newest])
    if table == FILES.name:
        left = rows.join(F.broadcast(_left_places(spark)), _PLACE, "left_semi").select("bucket", "_row_id")
        return _second(many, key, newest).union(left).distinct()
    return _second(many, key, _best_origin() if table == ORIGINS.name else newest)


def _left_places(spark: SparkSession) -> DataFrame:
    """Places of origins that ``repositories`` has in several networks, except the current one."""
    key, rows = _KEYS[REPOSITORIES.name], see(spark, REPOSITORIES.name).rows()
    concerned = _doubled(rows, key).select(key.part)
    many = rows.join(F.broadcast(concerned), key.part, "left_semi")
    return _with_home(spark, many).where("NOT at_home").select(*_PLACE).distinct()


def _with_home(spark: SparkSession, rows: DataFrame) -> DataFrame:
    """Add ``at_home``: whether a row of ``repositories`` has the network that its origin is in."""
    urls = rows.select(F.col("origin").alias("url")).distinct()
    origins = one_row_a_url(see(spark, ORIGINS.name).rows().join(F.broadcast(urls), "url", "left_semi"))
    homes = origins.select(F.col("url").alias("origin"), F.col("network").alias("home"))
    joined = rows.join(F.broadcast(homes), "origin", "left")
    return joined.withColumn("at_home", F.col("network").eqNullSafe(F.col("home"))).drop("home")


def _numbered(seen: Seen) -> DataFrame:
    return seen.rows().select("*", "_row_id")


def _doubled(rows: DataFrame, key: _Key) -> DataFrame:
    return rows.groupBy(*_present(rows, key)).count().where("count > 1")


def _present(rows: DataFrame, key: _Key) -> list[str]:
    return [name for name in key.columns if name in rows.columns]


def _second(rows: DataFrame, key: _Key, order: Sequence[Column]) -> DataFrame:
    return _ranked(rows, _present(rows, key), order).where("rank > 1").select("bucket", "_row_id")


def _ranked(rows: DataFrame, key: Sequence[str], order: Sequence[Column]) -> DataFrame:
    return rows.withColumn("rank", F.row_number().over(Window.partitionBy(*key).orderBy(*order)))


def _best_origin() -> list[Column]:
    opted_out, paused = (F.col("state") == str(state) for state in (OriginState.OPTED_OUT, OriginState.PAUSED))
    set_by_people = F.when(opted_out, 2).when(paused, 1).otherwise(0)
    return [
        set_by_people.desc(),
        F.col("last_visit").desc_nulls_last(),
        F.col("added_at").asc(),
        F.col("network").asc(),
    ]


def _shown(row: Row, key: _Key) -> str:
    cells = (row[column] for column in key.columns if column in row)
    return " ".join(
        cell.hex() if isinstance(cell, bytearray | bytes) else str(cell) for cell in cells if cell is not None
    )
