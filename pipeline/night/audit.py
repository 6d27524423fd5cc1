"""Audits a load before any of it is published. Reads ids and sizes only, never content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.model.tables import BY_NAME, OBJECT_TABLES
from pipeline.night.finding import Finding
from pipeline.tables.frames import join_ids, local_frame, read_parquet
from pipeline.tables.iceberg import full_name
from pipeline.tables.tombstones import not_taken_down

_KEY = ("bucket", "network", "oid")
_FOUND = ("problem", "table", "bucket", "network", "oid")


def audit(spark: SparkSession, files: Mapping[str, Sequence[str]], counts: Mapping[int, int]) -> list[Finding]:
    """Check files of a load that are not in the tables yet.

    It finds: an object that a new ref, commit or tag names and that is in neither the archive nor the load; an object
    that the load has twice for one network; an id with two contents (if the archive has one of them, only the other is
    at fault, else both are); a blob marked as stored without bytes, or the reverse. At most one finding per network,
    table and problem.

    Args:
        files: URIs of the Parquet files by table; tables without files are missing.
        counts: number of rows by bucket; only these buckets of the archive are read.
    """
    landing = _Landing(spark, files)
    try:
        checks = [df for df in (_missing(landing), _doubles(landing), _two_contents(landing, counts)) if df is not None]
        if not checks:
            return []
        found = (
            _union(checks).groupBy(*_FOUND[:-1]).agg(F.min("oid").alias("oid"), F.count_distinct("oid").alias("count"))
        )
        rows = found.collect()
    finally:
        landing.forget()
    return sorted(map(_finding, rows), key=lambda f: (f.bucket, f.network or 0, f.problem))


def _finding(row: Row) -> Finding:
    more = f" and {row['count'] - 1} more" if row["count"] > 1 else ""
    oid = "no id" if row["oid"] is None else bytes(row["oid"]).hex()
    return Finding(row["bucket"], row["network"], f"{row['table']}: {row['problem']}: {oid}{more}")


class _Landing:
    """The load's Parquet files as data frames."""

    def __init__(self, spark: SparkSession, files: Mapping[str, Sequence[str]]) -> None:
        self.spark, self._files = spark, files
        self.persisted: list[DataFrame] = []

    def forget(self) -> None:
        for df in self.persisted:
            df.unpersist()

    def has(self, *tables: str) -> bool:
        return any(self._files.get(table) for table in tables)

    def table(self, name: str, *columns: str) -> DataFrame:
        uris = self._files.get(name)
        if not uris:
            return local_frame(self.spark, [], BY_NAME[name].arrow_schema).select(*columns)
        return read_parquet(self.spark, BY_NAME[name], uris).select(*columns)

    def objects(self) -> DataFrame:
        return _union(
            self.table(t.name, *_KEY).withColumn("in_table", F.lit(t.name)) for t in OBJECT_TABLES if self.has(t.name)
        )


def _missing(landing: _Landing) -> DataFrame | None:
    """Objects that are named but exist nowhere. Blobs of trees are left to git's own connectivity check on restore."""
    needs = []
    if landing.has("refs"):
        refs = landing.table("refs", "bucket", "network", "target").where("target IS NOT NULL")
        needs.append(_need(refs, "refs", "target", "the object that a ref points at is missing"))
    if landing.has("commits"):
        commits = landing.table("commits", "bucket", "network", "tree", "parents")
        needs.append(_need(commits, "commits", "tree", "the tree of a commit is missing"))
        parents = commits.select("bucket", "network", F.explode("parents").alias("parent"))
        needs.append(_need(parents, "commits", "parent", "the parent of a commit is missing"))
    if landing.has("tags"):
        tags = landing.table("tags", "bucket", "network", "target")
        needs.append(_need(tags, "tags", "target", "the object that a tag points at is missing"))
    if not needs:
        return None
    missing = reduce(DataFrame.unionByName, needs).where("oid IS NOT NULL")
    if landing.has(*(table.name for table in OBJECT_TABLES)):
        missing = missing.join(landing.objects(), list(_KEY), "left_anti")
    missing = missing.persist()
    landing.persisted.append(missing)
    counts = {row["bucket"]: row["count"] for row in missing.groupBy("bucket").count().collect()}
    if not counts:
        return None
    archive = _union(landing.spark.table(full_name(t)).select(*_KEY) for t in ("commits", "trees", "tags", "blobs"))
    found = join_ids(archive, missing.select(*_KEY), list(_KEY), "left_semi", counts)
    nowhere = not_taken_down(missing.join(found, list(_KEY), "left_anti"))
    return nowhere.select(*_FOUND)


def _need(df: DataFrame, table: str, column: str, problem: str) -> DataFrame:
    return df.select(
        "bucket", "network", F.col(column).alias("oid"), F.lit(table).alias("table"), F.lit(problem).alias("problem")
    )


def _doubles(landing: _Landing) -> DataFrame | None:
    """Objects that the load has twice, and blobs whose ``stored`` disagrees with whether their bytes are there."""
    if not landing.has(*(table.name for table in OBJECT_TABLES)):
        return None
    stored = (
        landing.table("blobs", *_KEY, "stored").where("stored = 'yes'").select(*_KEY, F.lit("stored").alias("in_table"))
    )
    count = {t.name: F.count_if(F.col("in_table") == t.name) for t in OBJECT_TABLES}
    problem = F.coalesce(
        *(F.when(count[t.name] > 1, F.lit("an object is there twice")) for t in OBJECT_TABLES),
        F.when(
            F.count_if(F.col("in_table") == "stored") != count["contents"],
            F.lit("'stored' disagrees with whether the bytes are there"),
        ),
    )
    table = F.coalesce(*(F.when(count[t.name] > 1, F.lit(t.name)) for t in OBJECT_TABLES), F.lit("blobs"))
    return (
        landing.objects()
        .unionByName(stored)
        .groupBy(*_KEY)
        .agg(problem.alias("problem"), table.alias("table"))
        .where("problem IS NOT NULL")
        .select(*_FOUND)
    )


def _two_contents(landing: _Landing, counts: Mapping[int, int]) -> DataFrame | None:
    """Ids with more than one SHA-256 or size: a forged SHA-1, or mixed-up rows."""
    if not landing.has("blobs"):
        return None
    key, fact = ["bucket", "oid"], F.struct("sha256", "size").alias("fact")
    new = landing.table("blobs", *_KEY, "sha256", "size").select(*_KEY, fact)
    archived = landing.spark.table(full_name("blobs")).select(*key, fact)
    archived = join_ids(archived, new.select(*key), key, "left_semi", counts)
    conflicts = (
        new.select(*key, "fact", F.lit(None).cast("struct<sha256: binary, size: bigint>").alias("old"))
        .unionByName(archived.select(*key, "fact", F.col("fact").alias("old")))
        .groupBy(*key)
        .agg(*(f(c).alias(f"{name}_{c}") for name, f in (("least", F.min), ("most", F.max)) for c in ("fact", "old")))
        .where("least_fact <> most_fact")
    )
    as_archived = F.col("fact").eqNullSafe(F.col("least_old")) | F.col("fact").eqNullSafe(F.col("most_old"))
    problem = F.lit("an id has two contents").alias("problem")
    return new.join(conflicts, key).where(~as_archived).select(problem, F.lit("blobs").alias("table"), *_KEY)


def _union(frames: Iterable[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, frames)
