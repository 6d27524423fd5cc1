"""Choose the files of an export: by the small columns alone, each content once, with its place in the data files."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipeline.model.errors import UsageError
from pipeline.model.listing import LISTINGS
from pipeline.night.licence import NAMES
from pipeline.night.opt_outs import opt_outs
from pipeline.read.archive import Archive
from pipeline.read.export.columns import CHOSEN, TEXTS
from pipeline.read.export.covering import NOT_KNOWN, only, with_licences
from pipeline.read.export.selection import ROW_BYTES, Selection
from pipeline.read.vendored import vendored
from pipeline.tables.iceberg import full_name, table_exists

READ = ("commits", "contents", "files", "head_blobs", "repositories")
"""Tables that decide what is exported."""

PREFERENCE = "preference"
"""Orders the chosen files: bytes, different for each; what is vendored last, of forks before that, then by id."""

_OBJECT = ["bucket", "network", "oid"]


class NoListing(UsageError):
    """Stars are asked for, and nobody has said how many there are."""

    def __str__(self) -> str:
        return "no forge has been listed yet, so no stars are known: run `pipeline forges crawl`, or omit --min-stars"


def choose_files(archive: Archive, selection: Selection) -> DataFrame:
    """The files of a night that are wanted, one row per distinct content.

    Of several paths with the same content it takes one that is not vendored, then one of a fork root, then the first
    by origin and path. What was taken down or opted out by now is left out, whatever the night.

    Returns:
        bucket, the place (uri and position) in ``contents``, the columns of ``CHOSEN``, and ``PREFERENCE``.

    Raises:
        NoListing: stars are asked for, and no forge has been listed.
    """
    files = archive.table("files").where("kind = 'file'").withColumn("is_vendor", vendored("path"))
    if not selection.vendored:
        files = files.where("NOT is_vendor")
    origins = _origins(archive, selection)
    sources = files.select(*_OBJECT, "origin", "path", "ext", "is_vendor")
    sources = sources.join(_blobs(archive, selection), _OBJECT)
    sources = sources.join(origins.select("bucket", "origin", "is_fork"), ["bucket", "origin"])
    sources = with_licences(sources, _licence_files(files, archive), "detected_licenses")
    if selection.licences:
        sources = sources.where(only("detected_licenses", selection.licences))
    order = ["is_vendor", "is_fork", "origin", "path", "ext", "bucket", "network", *_FACTS]
    chosen = sources.groupBy("oid").agg(F.min(F.struct(*order)).alias("best")).select("oid", "best.*")
    places = archive.content_places().groupBy(*_OBJECT).agg(F.min(F.struct("uri", "position")).alias("place"))
    rows = chosen.join(places, _OBJECT).join(_heads(archive, origins), ["bucket", "origin"])
    values = (f"{_VALUES.get(name, name)} AS {name}" for name in (*CHOSEN.names, PREFERENCE))
    return rows.selectExpr("bucket", "place.*", *values)


def row_weight(shard_bytes: int) -> Column:
    """What a row weighs in a shard, at most as much as a whole one."""
    texts = F.octet_length(F.concat_ws(" ", *TEXTS))
    return F.least(F.col("length_bytes") + texts + ROW_BYTES, F.lit(shard_bytes))


def in_order(rows: DataFrame, shard_bytes: int) -> DataFrame:
    """The rows with ``before``: the weight of all rows of the bucket with an earlier place."""
    earlier = Window.partitionBy("bucket").orderBy("uri", "position").rowsBetween(Window.unboundedPreceding, -1)
    return rows.withColumn("before", F.coalesce(F.sum(row_weight(shard_bytes)).over(earlier), F.lit(0)))


def _blobs(archive: Archive, selection: Selection) -> DataFrame:
    blobs = archive.table("head_blobs").where("NOT is_binary AND language IS NOT NULL")
    blobs = blobs.where(F.col("size").between(selection.min_bytes, selection.max_bytes))
    if not selection.generated:
        blobs = blobs.where("is_generated IS NOT TRUE")
    if selection.languages:
        blobs = blobs.where(F.lower("language").isin(list(selection.languages)))
    return blobs.select(*_OBJECT, "size", "language", "is_generated")


def _licence_files(files: DataFrame, archive: Archive) -> DataFrame:
    """Files that are named like licences, with what nights have recognised."""
    named = files.where(F.col("name").rlike(NAMES)).select(*_OBJECT, "origin", "path")
    texts = archive.table("head_blobs").select(*_OBJECT, "spdx_id")
    known = F.coalesce("spdx_id", F.lit(NOT_KNOWN)).alias("spdx_id")
    return named.join(texts, _OBJECT, "left").select("bucket", "origin", "path", known)


def _origins(archive: Archive, selection: Selection) -> DataFrame:
    """Origins that may be exported, and have the stars that are asked for."""
    origins = archive.table("repositories").withColumn("is_fork", F.col("fork_of").isNotNull())
    rules = opt_outs(archive.spark)
    if rules:
        opted_out = F.udf(lambda origin: rules.rule_for(origin) is not None, "boolean", useArrow=False)
        origins = origins.where(~opted_out("origin"))
    if selection.min_stars:
        origins = origins.join(_starred(archive, selection.min_stars), "origin", "left_semi")
    return origins.select("bucket", "network", "origin", "is_fork", "head_commit", "head_ref", "night")


def _starred(archive: Archive, least: int) -> DataFrame:
    """Origins that a forge's newest listing showed with so many stars, whatever the night; both spellings of each."""
    if not table_exists(archive.spark, LISTINGS.name):
        raise NoListing
    listed = archive.spark.table(full_name(LISTINGS.name)).groupBy("url")
    starred = listed.agg(F.max_by("stars", "last_seen").alias("stars")).where(F.col("stars") >= least)
    bare = F.regexp_replace("url", r"\.git$", "")
    return starred.select(F.explode(F.array(bare, F.concat(bare, F.lit(".git")))).alias("origin"))


def _heads(archive: Archive, origins: DataFrame) -> DataFrame:
    """What the rows of an origin have in common."""
    commits = archive.table("commits").select(
        "bucket", "network", F.col("oid").alias("head_commit"), "tree", "author_time", "committer_time"
    )
    heads = origins.join(commits, ["bucket", "network", "head_commit"])
    own = ("origin", "head_commit", "head_ref", "night", "tree", "author_time", "committer_time")
    return heads.dropDuplicates(["bucket", "origin"]).select("bucket", *own)


_FACTS = ["language", "size", "is_generated", "detected_licenses"]

_VALUES = {
    "directory_id": "lower(hex(tree))",
    "path": "'/' || path",
    "content_id": "lower(hex(oid))",
    "repo_name": r"regexp_replace(rtrim('/', regexp_replace(origin, '^[a-z]+://[^/]*/', '')), '\\.git$', '')",
    "revision_id": "lower(hex(head_commit))",
    "branch_name": "head_ref",
    "visit_date": "CAST(night AS timestamp)",
    "revision_date": "author_time",
    "committer_date": "committer_time",
    "length_bytes": "size",
    "extension": "ext",
    PREFERENCE: "unhex(concat('0', 2 * CAST(is_vendor AS int) + CAST(is_fork AS int), hex(oid)))",
}
"""Columns whose value is not a column of the same name."""
