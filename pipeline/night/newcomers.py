"""Undeclared forks: origins that were never visited get the network that shares their history (decision 49)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import Load
from pipeline.model.origin import Origin, bucket_of, network_id
from pipeline.model.tables import COMMITS, OID, ORIGINS, REFS, TAGS
from pipeline.night.origins import forks_of
from pipeline.rules.kinship import Archived, Kin, Newcomer, Tips, find_kin
from pipeline.rules.networks import placed
from pipeline.storage.documents import read_document
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.tables.change import RowChange, change_rows, in_places
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name, in_buckets
from pipeline.tables.isolate import isolate_buckets
from pipeline.tables.refs import current_refs
from pipeline.tables.rewrite import until_committed
from pipeline.tables.tombstones import current, taken_down
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

MOST_NETWORKS = 1_000
"""Networks of an id that are looked at; one that more have tells nothing."""

Ask = Callable[[Mapping[str, int]], Mapping[str, Tips]]
"""Given the networks of origins by URL, the tips of those that answer."""

_PLANNED = ("bucket", "network", "url", "fork_of", "last_status", "due")
_OIDS = pa.schema([("oid", OID)])
_NETWORKS = pa.schema([("network", pa.int64())])
_URLS = pa.schema([("url", pa.string())])
_ORIGINS = pa.schema([("network", pa.int64()), ("origin", pa.string())])
_KEYS = pa.schema([("bucket", pa.int32()), ("url", pa.string())])
_UNVISITED = "last_visit IS NULL AND fork_of IS NULL"


@dataclass(frozen=True, slots=True)
class _Unvisited:
    """A due origin that was never visited and declares no parent; ``has_forks``: others declare it as theirs."""

    url: str
    network: int
    has_forks: bool


@dataclass(frozen=True, slots=True)
class _Root:
    """The root of a network, and when the network's oldest origin was added."""

    url: str
    since: datetime


def place_newcomers(
    writer: Writer, storage: Storage, load: Load, buckets: int, most: int, ask: Ask, origins: DataFrame
) -> DataFrame:
    """Ask newcomers for their tips, and move undeclared forks to the networks that share their history.

    A newcomer is a due origin without a visit, and without a declared parent. Those that are moved get the network's
    root as ``fork_of`` in ``origins``. ``load.found`` tells by what each was found. A second call moves nothing again.

    Args:
        buckets: number of buckets of the archive.
        most: ask no more than so many of them, those that were added first.
        origins: rows of ``origins``, one per URL, with ``due``.

    Returns:
        The columns of ``origins`` that a plan needs, with the new places.
    """
    rows = origins.select(*_PLANNED)
    unvisited = _unvisited(writer.spark, storage, origins, buckets, most)
    tips = ask({each.url: each.network for each in unvisited}) if unvisited else {}
    if not tips:
        return rows
    archived = _archived(writer.spark, storage, {oid for each in tips.values() for oid in each.ids()}, buckets)
    newcomers = [Newcomer(each.url, tips[each.url], not each.has_forks) for each in unvisited if each.url in tips]
    kin = find_kin(newcomers, archived)
    log.info("load %s: %d newcomers asked, %d are undeclared forks", load.name, len(newcomers), len(kin))
    if not kin:
        return rows
    writer.check_lease()
    _keep(storage, load, kin)
    moved = until_committed(ORIGINS.name, lambda: _move(writer, kin, buckets))
    return _with_moved(rows, moved)


def _unvisited(spark: SparkSession, storage: Storage, origins: DataFrame, buckets: int, most: int) -> list[_Unvisited]:
    new = origins.where("due").where(_UNVISITED).select("url", "network", "added_at")
    found = _collected(
        spark, storage, range(buckets), lambda among: new.where(among).orderBy("added_at", "url").limit(most)
    )
    first = sorted(found, key=itemgetter("added_at", "url"))[:most]
    if not first:
        return []
    urls = F.broadcast(local_frame(spark, [(row["url"],) for row in first], _URLS))
    parents = origins.select("bucket", F.col("fork_of").alias("url")).join(urls, "url", "left_semi")
    named = _collected(spark, storage, range(buckets), lambda among: parents.where(among).select("url").distinct())
    with_forks = {row["url"] for row in named}
    return [_Unvisited(row["url"], row["network"], row["url"] in with_forks) for row in first]


def _archived(spark: SparkSession, storage: Storage, ids: Collection[bytes], buckets: int) -> Archived:
    """Where the archive has some ids. What was taken down is left out.

    Reads the columns network and oid of all commits and tags, and the parents of commits; the ids are broadcast.
    """
    wanted = F.broadcast(local_frame(spark, [(oid,) for oid in sorted(ids)], _OIDS))
    commits, tags = (
        current(spark, table.name).where(more).select("bucket", "network", "oid", F.lit(table is TAGS).alias("is_tag"))
        for table, more in ((COMMITS, F.size("parents") > 0), (TAGS, F.lit(True)))
    )
    networks = F.collect_set("network").alias("networks")

    def having(among: Column) -> DataFrame:
        rows = commits.where(among).unionByName(tags.where(among)).join(wanted, "oid", "left_semi")
        return rows.groupBy("oid", "is_tag").agg(networks).where(F.size("networks") <= MOST_NETWORKS)

    found = _collected(spark, storage, range(buckets), having)
    roots = _roots(spark, storage, {network for row in found for network in row["networks"]}, buckets)
    by_commit: dict[bytes, set[str]] = {}
    by_tag: dict[bytes, set[str]] = {}
    for row in found:
        named = (by_tag if row["is_tag"] else by_commit).setdefault(bytes(row["oid"]), set())
        named.update(roots[network].url for network in row["networks"] if network in roots)
    since: dict[str, datetime] = {}
    for root in roots.values():
        since[root.url] = min(root.since, since.get(root.url, root.since))
    return Archived(by_commit, by_tag, since, _sizes(spark, storage, roots, buckets))


def _roots(spark: SparkSession, storage: Storage, networks: Collection[int], buckets: int) -> dict[int, _Root]:
    """The roots of those of some networks to which origins may be added."""
    urls, closed = taken_down(spark)
    wanted = F.broadcast(local_frame(spark, [(network,) for network in sorted(set(networks) - closed)], _NETWORKS))
    origins = current(spark, ORIGINS.name).join(wanted, "network", "left_semi").groupBy("bucket", "network")
    found = origins.agg(F.min(F.coalesce("fork_of", "url")).alias("root"), F.min("added_at").alias("since"))
    places = {bucket_of(network, buckets) for network in networks}
    rows = _collected(spark, storage, places, found.where)
    return {
        row["network"]: _Root(row["root"], row["since"])
        for row in rows
        if row["root"] not in urls and network_id(row["root"]) not in closed
    }


def _sizes(spark: SparkSession, storage: Storage, roots: Mapping[int, _Root], buckets: int) -> dict[str, int]:
    """To how many ids the refs of roots point, by URL."""
    pairs = sorted((network, root.url) for network, root in roots.items())
    wanted = F.broadcast(local_frame(spark, pairs, _ORIGINS))
    places = {bucket_of(network, buckets) for network in roots}

    def count(among: Column) -> DataFrame:
        refs = spark.table(full_name(REFS.name)).where(among & in_places(places, roots))
        mine = current_refs(refs).join(wanted, ["network", "origin"], "left_semi")
        return mine.groupBy("origin").agg(F.countDistinct("target").alias("size"))

    return {row["origin"]: row["size"] for row in _collected(spark, storage, places, count) if row["size"]}


def _collected(
    spark: SparkSession, storage: Storage, buckets: Collection[int], query: Callable[[Column], DataFrame]
) -> list[Row]:
    """The rows of a query of some buckets; what is in damaged files is left out, and the plan reports it."""
    done = isolate_buckets(spark, storage, buckets, lambda some: query(in_buckets(some)).collect()).done
    return [row for part in done for row in part]


def _keep(storage: Storage, load: Load, kin: Mapping[str, Kin]) -> None:
    """Record by what forks were found, with what an earlier attempt found: it may have moved them."""
    try:
        before = {each["origin"]: each for each in read_document(storage, load.found, json.loads)}
    except (FileMissing, StoredFileDamaged):
        before = {}
    found = before | {url: {"origin": url, "url": each.root, "by": str(each.by)} for url, each in kin.items()}
    storage.replace(load.found, json.dumps([found[url] for url in sorted(found)], indent=1).encode())


def _move(writer: Writer, kin: Mapping[str, Kin], buckets: int) -> list[dict[str, Any]]:
    """Move origins that are still unvisited and without parent; returns their new rows."""
    spark, seen = writer.spark, writer.see(ORIGINS.name)
    urls = F.broadcast(local_frame(spark, [(url,) for url in sorted(kin)], _URLS))
    found = seen.rows().where(_UNVISITED).join(urls, "url", "left_semi").select(*ORIGINS.column_names)
    rows = {row["url"]: row for row in found.toArrow().cast(ORIGINS.arrow_schema).to_pylist()}
    moving = [Origin(url, kin[url].root) for url in sorted(rows)]
    if not moving:
        return []
    new = [
        {**rows[origin.url], "bucket": bucket_of(network, buckets), "network": network, "fork_of": origin.fork_of}
        for origin, network in placed(moving, forks_of(seen, moving), taken_down(spark)[1])
    ]
    gone = local_frame(spark, [(row["bucket"], url) for url, row in rows.items()], _KEYS)
    touched = {row["bucket"] for row in (*rows.values(), *new)}
    frame = local_frame(spark, [tuple(row[name] for name in ORIGINS.column_names) for row in new], ORIGINS.arrow_schema)
    change_rows(seen, RowChange(frame, len(new), gone, len(rows), touched))
    return new


def _with_moved(rows: DataFrame, moved: Sequence[Mapping[str, Any]]) -> DataFrame:
    """The rows, those of moved origins in their new places. Buckets can be told apart before anything is read."""
    spark, columns = rows.sparkSession, [*_PLANNED[:-1]]
    schema = pa.schema([ORIGINS.arrow_schema.field(name) for name in columns])
    new = local_frame(spark, [tuple(row[name] for name in columns) for row in moved], schema)
    urls = F.broadcast(new.select("url"))
    return rows.join(urls, "url", "left_anti").unionByName(new.withColumn("due", F.lit(True)))
