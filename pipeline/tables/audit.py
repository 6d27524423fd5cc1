"""The audit of a load before anything of it is published. Reads ids and sizes only, never content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.errors import CheckFailed
from pipeline.model.tables import BY_NAME, OBJECT_TABLES
from pipeline.tables.frames import join_ids, local_frame, read_parquet
from pipeline.tables.iceberg import full_name
from pipeline.tables.tombstones import not_taken_down

SHOWN = 5
"""Examples of each finding that are reported."""

_KEY = ("bucket", "network", "oid")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with objects of one bucket; ``oids`` are hexadecimal, at most ``SHOWN``."""

    problem: str
    table: str
    bucket: int
    oids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.table}, bucket {self.bucket}: {self.problem}: {', '.join(self.oids)}"


class AuditFailed(CheckFailed):
    """A load is incomplete or contradicts itself or the archive; nothing of it was published."""

    def __init__(self, load: str, findings: Sequence[Finding]) -> None:
        super().__init__(load, tuple(findings))
        self.load, self.findings = load, tuple(findings)

    def __str__(self) -> str:
        listed = "; ".join(str(finding) for finding in self.findings)
        buckets = ", ".join(str(bucket) for bucket in sorted({finding.bucket for finding in self.findings}))
        return (
            f"load {self.load} was not published. {listed}. Delete the manifests of bucket {buckets} and run the load "
            "again, so that they are fetched anew; if it repeats, the server's repository or the fetch is at fault"
        )


def audit(spark: SparkSession, load: str, files: Mapping[str, Sequence[str]], counts: Mapping[int, int]) -> None:
    """Check a load that is not in the tables yet.

    Args:
        load: its name, for the error.
        files: URIs of its Parquet files by table; tables without files are missing.
        counts: its number of rows by bucket; the archive is read in these buckets only.

    Raises:
        AuditFailed: an object that a new ref, commit or tag names is neither in the archive nor in the load; an object
            is twice in the load for one network; an id has two contents, archive included; a blob said to be stored
            has no bytes or the other way round.
    """
    landing = _Landing(spark, files)
    try:
        checks = [df for df in (_missing(landing), _doubles(landing), _two_contents(landing, counts)) if df is not None]
        rows = _union(checks).collect() if checks else []
    finally:
        landing.forget()
    if rows:
        raise AuditFailed(load, _findings([(r["problem"], r["table"], r["bucket"], bytes(r["oid"])) for r in rows]))


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
    """What is named and exists nowhere. Content and blobs of trees are left to git's own connectivity on restore."""
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
    return nowhere.select("problem", "table", "bucket", "oid").distinct().limit(100)


def _need(df: DataFrame, table: str, column: str, problem: str) -> DataFrame:
    return df.select(
        "bucket", "network", F.col(column).alias("oid"), F.lit(table).alias("table"), F.lit(problem).alias("problem")
    )


def _doubles(landing: _Landing) -> DataFrame | None:
    """Objects that the load has twice, and blobs whose bytes are there against their word, or not there."""
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
            F.lit("'stored' does not tell whether the bytes are there"),
        ),
    )
    table = F.coalesce(*(F.when(count[t.name] > 1, F.lit(t.name)) for t in OBJECT_TABLES), F.lit("blobs"))
    return (
        landing.objects()
        .unionByName(stored)
        .groupBy(*_KEY)
        .agg(problem.alias("problem"), table.alias("table"))
        .where("problem IS NOT NULL")
        .select("problem", "table", "bucket", "oid")
        .limit(100)
    )


def _two_contents(landing: _Landing, counts: Mapping[int, int]) -> DataFrame | None:
    """Ids with more than one SHA-256 or size: a forged SHA-1, or rows that were mixed up."""
    if not landing.has("blobs"):
        return None
    columns = ("bucket", "oid", "sha256", "size")
    new = landing.table("blobs", *columns)
    archived = landing.spark.table(full_name("blobs")).select(*columns)
    archived = join_ids(archived, new.select("bucket", "oid"), ["bucket", "oid"], "left_semi", counts)
    return (
        new.unionByName(archived)
        .groupBy("bucket", "oid")
        .agg(F.min("sha256").alias("a"), F.max("sha256").alias("b"), F.min("size").alias("c"), F.max("size").alias("d"))
        .where("a <> b OR c <> d")
        .select(F.lit("an id has two contents").alias("problem"), F.lit("blobs").alias("table"), "bucket", "oid")
        .limit(100)
    )


def _union(frames: Iterable[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, frames)


def _findings(rows: Sequence[tuple[str, str, int, bytes]]) -> list[Finding]:
    grouped: dict[tuple[str, str, int], list[str]] = {}
    for problem, table, bucket, oid in rows:
        grouped.setdefault((problem, table, bucket), []).append(oid.hex())
    return [Finding(*key, tuple(sorted(oids)[:SHOWN])) for key, oids in sorted(grouped.items())]
