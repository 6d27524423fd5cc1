"""Plan: which origins a load looks at, and what is known about them, as one plan folder a bucket."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.tables import OBJECT_TABLES
from pipeline.model.visit import VisitStatus
from pipeline.plan.origins import LOOKED_AT
from pipeline.storage.interface import Storage
from pipeline.tables.iceberg import full_name, in_buckets
from pipeline.tables.refs import current_refs, exact


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a load will look at; ``buckets`` maps each bucket with work to its number of due origins."""

    origins_due: int
    buckets: dict[int, int]


def write_plan(spark: SparkSession, storage: Storage, load: Load, buckets: int) -> PlanSummary:
    """Write the plan of a load; a later attempt overwrites what an earlier one left.

    ``load.plan_origins/bucket=N`` gets every due origin, and the other origins of its network with ``due`` false, since
    their refs are common ground: url, fork_of, network, due, first_visit, refs (list of struct of name, target, peeled,
    symref; exact bytes). ``first_visit`` is true when no visit has ended well as far as the origin's last status and
    refs tell. ``load.plan_files/bucket=N`` gets the live data files of the object tables: table, uri, rows. Neither
    folder exists when nothing is due. ``load.plan`` is written last.

    Args:
        buckets: number of buckets of the archive.
    """
    counts = _due_counts(spark, load)
    if counts:
        _write(_plan_origins(spark, load, counts), storage.uri(load.plan_origins))
        _write(_plan_files(spark, counts), storage.uri(load.plan_files))
    summary = PlanSummary(sum(counts.values()), counts)
    document = {
        "load": load.name,
        "night": load.night.isoformat(),
        "of_buckets": buckets,
        "origins_due": summary.origins_due,
        "buckets": {str(bucket): due for bucket, due in sorted(counts.items())},
    }
    storage.replace(load.plan, json.dumps(document, indent=1).encode())
    return summary


def read_plan(storage: Storage, load: Load) -> PlanSummary:
    """The summary of a plan that was written.

    Raises:
        FileMissing: there is no plan yet.
    """
    document = json.loads(storage.read(load.plan))
    return PlanSummary(document["origins_due"], {int(bucket): due for bucket, due in document["buckets"].items()})


def _due(load: Load) -> Column:
    waited = F.coalesce(F.col("next_due") <= F.lit(load.night), F.lit(True))
    return F.col("state").isin([str(state) for state in LOOKED_AT]) & waited


def _due_counts(spark: SparkSession, load: Load) -> dict[int, int]:
    rows = spark.table(full_name("origins")).where(_due(load)).groupBy("bucket").count().collect()
    return {row["bucket"]: row["count"] for row in rows}


def _plan_origins(spark: SparkSession, load: Load, buckets: Collection[int]) -> DataFrame:
    network = Window.partitionBy("bucket", "network")
    origins = (
        spark.table(full_name("origins"))
        .where(in_buckets(buckets))
        .select("bucket", "network", "url", "fork_of", "last_status", _due(load).alias("due"))
        .withColumn("wanted", F.max("due").over(network))
        .where("wanted")
    )
    ref = F.struct(
        exact("name").alias("name"),
        "target",
        "peeled",
        F.when(F.col("symref").isNotNull(), exact("symref")).alias("symref"),
    )
    refs = (
        current_refs(spark.table(full_name("refs")).where(in_buckets(buckets)))
        .groupBy("bucket", "network", F.col("origin").alias("url"))
        .agg(F.collect_list(ref).alias("refs"))
    )
    never = (
        F.coalesce(~F.col("last_status").isin([str(s) for s in VisitStatus if s.ok]), F.lit(True))
        & F.col("refs").isNull()
    )
    none = F.array().cast("array<struct<name:binary,target:binary,peeled:binary,symref:binary>>")
    return origins.join(refs, ["bucket", "network", "url"], "left").select(
        "bucket",
        "url",
        "fork_of",
        "network",
        "due",
        never.alias("first_visit"),
        F.coalesce("refs", none).alias("refs"),
    )


def _plan_files(spark: SparkSession, buckets: Collection[int]) -> DataFrame:
    per_table = (
        spark.table(f"{full_name(table.name)}.files")
        .where("content = 0")
        .select(
            F.col("partition.bucket").alias("bucket"),
            F.lit(table.name).alias("table"),
            F.col("file_path").alias("uri"),
            F.col("record_count").alias("rows"),
        )
        for table in OBJECT_TABLES
    )
    return reduce(DataFrame.unionByName, per_table).where(in_buckets(buckets))


def _write(df: DataFrame, uri: str) -> None:
    """One task, so one file, for a bucket; Spark makes few tasks of many small buckets."""
    df.repartition("bucket").write.mode("overwrite").partitionBy("bucket").parquet(uri)
