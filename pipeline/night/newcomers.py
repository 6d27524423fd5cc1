"""Undeclared forks: origins that were never visited get the network that shares their history (decision 49)."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.model.host import host_of
from pipeline.model.layout import Load
from pipeline.model.origin import Origin, OriginState, bucket_of, network_id
from pipeline.model.pattern import OptOuts, Pattern
from pipeline.model.tables import OID, ORIGINS, REFS
from pipeline.night.answers import keep_answers, read_answers
from pipeline.night.opt_outs import opt_outs
from pipeline.night.origins import forks_of
from pipeline.night.schedule import host_column
from pipeline.rules.kinship import Root, Tip, Tips, find_kin
from pipeline.rules.networks import placed
from pipeline.storage.interface import Storage
from pipeline.tables.change import RowChange, change_rows, in_places
from pipeline.tables.conflicts import Seen, until_committed
from pipeline.tables.frames import local_frame, url_frame
from pipeline.tables.iceberg import full_name, in_buckets
from pipeline.tables.isolate import isolate_buckets
from pipeline.tables.refs import PUBLISHED, current_refs, exact
from pipeline.tables.tombstones import current, taken_down
from pipeline.tables.writer import Writer

log = logging.getLogger(__name__)

MOST_OF_HOST = 500
"""Newcomers of a host that are asked for a load."""

ROUND = 500
"""Newcomers that are asked, looked up and moved together: what they show is in memory."""

MOST_ROOTS = 20
"""Roots that show an id, of which no more are looked at."""

Ask = Callable[[Sequence[str]], Mapping[str, Tips]]
"""Given URLs, the tips of those that were asked, none for those that do not answer; nothing if time is up."""

_OIDS = pa.schema([("oid", OID)])
_NETWORKS = pa.schema([("network", pa.int64())])
_PLACES = pa.schema([("bucket", pa.int32()), ("network", pa.int64()), ("origin", pa.string())])
_KEYS = pa.schema([("bucket", pa.int32()), ("url", pa.string())])
_UNVISITED = "state = 'active' AND last_visit IS NULL AND last_status IS NULL AND fork_of IS NULL"


@dataclass(frozen=True, slots=True)
class Asking:
    """How newcomers are asked.

    Attributes:
        ask: asks them.
        most: for a load, also if it is planned several times.
        most_of: of a host, named as in ``model.host``, at most ``MOST_OF_HOST``; None for no other limit.
    """

    ask: Ask
    most: int
    most_of: Callable[[str], int | None] = lambda host: None


def place_newcomers(
    writer: Writer, storage: Storage, load: Load, buckets: int, origins: DataFrame, asking: Asking
) -> int:
    """Ask newcomers for their tips, and move undeclared forks to the networks of the roots that they are copies of.

    A newcomer is a due origin without a visit and a declared parent, alone in its network. Those that are moved get the
    root as ``fork_of``. May be called again after a kill at any point: nobody is asked or moved twice.

    Args:
        buckets: number of buckets of the archive.
        origins: rows of ``origins``, one per URL, with ``due``.

    Returns:
        How many were moved.
    """
    step = _Step(writer, storage, load, buckets)
    waiting = step.newcomers(origins, asking.most)
    moved, files, asked = 0, 0, set[str]()
    for tips in read_answers(storage, load):
        files += 1
        asked |= tips.keys()
        moved += step.place({url: shown for url, shown in tips.items() if url in waiting})
    for some in _rounds(waiting, asked, asking):
        new = asking.ask(some)
        if not new:
            break
        files += 1
        asked |= new.keys()
        writer.check_lease()
        keep_answers(storage, load, files, new)
        moved += step.place(new)
    if asked:
        log.info("load %s: %d newcomers asked, %d are undeclared forks", load.name, len(asked), moved)
    return moved


def _rounds(waiting: Collection[str], asked: Collection[str], asking: Asking) -> Iterator[list[str]]:
    """Those who may still be asked, in their order, ``ROUND`` at a time."""
    of_host = Counter(map(host_of, asked))
    chosen: list[str] = []
    for url in waiting:
        host = host_of(url)
        limit = None if host is None else asking.most_of(host)
        most = MOST_OF_HOST if limit is None else min(limit, MOST_OF_HOST)
        if url not in asked and of_host[host] < most and len(asked) + len(chosen) < asking.most:
            of_host[host] += 1
            chosen.append(url)
    for start in range(0, len(chosen), ROUND):
        yield chosen[start : start + ROUND]


class _Found(NamedTuple):
    """A root in the archive."""

    bucket: int
    network: int
    url: str


class _Step:
    """The work of one load."""

    def __init__(self, writer: Writer, storage: Storage, load: Load, buckets: int) -> None:
        self.writer, self.spark, self.storage, self.load = writer, writer.spark, storage, load
        self.buckets = buckets

    def newcomers(self, origins: DataFrame, most: int) -> dict[str, None]:
        """Their URLs, those added first, at most ``MOST_OF_HOST`` of a host."""
        new = origins.where("due").where(_UNVISITED).select("bucket", "url", "network", "added_at")
        order = ("added_at", "url")
        turn = F.row_number().over(Window.partitionBy(host_column()).orderBy(*order))

        def first(among: Column) -> DataFrame:
            return new.where(among).withColumn("turn", turn).where(F.col("turn") <= MOST_OF_HOST).orderBy(*order)

        found = self._collected(range(self.buckets), lambda among: first(among).limit(most))
        found = sorted(found, key=itemgetter(*order))[:most]
        found = [row for row in found if row["network"] == network_id(row["url"])]
        if not found:
            return {}
        urls = F.broadcast(url_frame(self.spark, (row["url"] for row in found)))
        networks = F.broadcast(local_frame(self.spark, [(row["network"],) for row in found], _NETWORKS))

        def others(among: Column) -> DataFrame:
            rows = origins.where(among).select("bucket", "url", "network", "fork_of")
            company = rows.join(networks, "network", "left_semi").groupBy("network").count().where("count > 1")
            forks = rows.select(F.col("fork_of").alias("url")).join(urls, "url", "left_semi").distinct()
            return company.select("network", F.lit(None).cast("string").alias("url")).unionByName(
                forks.select(F.lit(None).cast("bigint").alias("network"), "url")
            )

        taken = {row[name] for row in self._collected(range(self.buckets), others) for name in ("network", "url")}
        return {row["url"]: None for row in found if not {row["url"], row["network"]} & taken}

    def place(self, tips: Mapping[str, Tips]) -> int:
        """Move those that are undeclared forks; returns how many were moved."""
        shown = {url: each for url, each in tips.items() if each.refs}
        if not shown:
            return 0
        kin = find_kin(shown, self._roots(shown))
        if not kin:
            return 0
        self.writer.check_lease()
        moved = until_committed(ORIGINS.name, lambda: _move(self.writer, kin, self.buckets))
        for origin in moved:
            log.info(
                "load %s: %s is an undeclared fork of %s",
                self.load.name,
                origin.url,
                origin.fork_of,
                extra={"origin": origin.url},
            )
        return len(moved)

    def _roots(self, shown: Mapping[str, Tips]) -> list[Root]:
        """The visited roots whose refs lead to what newcomers show, now. Reads five columns of all of ``refs``."""
        ids = sorted({oid for tips in shown.values() for oid in tips.ids})
        wanted = F.broadcast(local_frame(self.spark, [(oid,) for oid in ids], _OIDS))
        refs = self.spark.table(full_name(REFS.name))
        _, closed = taken_down(self.spark)
        archived = current(self.spark, ORIGINS.name).where("fork_of IS NULL AND last_visit IS NOT NULL")
        archived = archived.select("bucket", "network", F.col("url").alias("origin"))

        def having(among: Column) -> DataFrame:
            mine = refs.where(among).select("bucket", "network", "origin", "target", "peeled")
            both = (
                mine.withColumn("oid", F.col(name)).join(wanted, "oid", "left_semi") for name in ("target", "peeled")
            )
            place = ["bucket", "network", "origin"]
            hits = next(both).unionByName(next(both)).select(*place, "oid").distinct()
            hits = hits.join(archived.where(among), place)
            turn = F.row_number().over(Window.partitionBy("oid").orderBy("origin"))
            return hits.withColumn("turn", turn).where(F.col("turn") <= MOST_ROOTS).select(*place).distinct()

        found = [
            _Found(row["bucket"], row["network"], row["origin"])
            for row in self._collected(range(self.buckets), having)
            if row["network"] == network_id(row["origin"]) and row["network"] not in closed
        ]
        return self._with_refs(found, wanted) if found else []

    def _with_refs(self, found: Sequence[_Found], wanted: DataFrame) -> list[Root]:
        """The roots with those of their refs that lead to wanted ids."""
        refs = self.spark.table(full_name(REFS.name))
        mine = F.broadcast(local_frame(self.spark, found, _PLACES))
        networks = [each.network for each in found]

        def shown(among: Column) -> DataFrame:
            near = refs.where(among & in_places({each.bucket for each in found}, networks)).select("*", PUBLISHED)
            now = current_refs(near.join(mine, ["bucket", "network", "origin"], "left_semi"))
            now = now.where("target IS NOT NULL")
            now = now.select("origin", exact("name").alias("name"), "target", "peeled")
            now = now.withColumn("commit", F.coalesce("peeled", "target"))
            marked = wanted.withColumn("there", F.lit(True))
            for name in ("target", "commit"):
                named = marked.select(F.col("oid").alias(name), F.col("there").alias(f"{name}_there"))
                now = now.join(F.broadcast(named), name, "left")
            tip = F.when(F.coalesce("target_there", "commit_there"), F.struct("name", "target", "commit"))
            return now.groupBy("origin").agg(
                F.countDistinct("commit").alias("commits"), F.collect_set(tip).alias("tips")
            )

        return [
            Root(row["origin"], row["commits"], [Tip(*map(bytes, tip)) for tip in row["tips"]])
            for row in self._collected({each.bucket for each in found}, shown)
        ]

    def _collected(self, buckets: Collection[int], query: Callable[[Column], DataFrame]) -> list[Row]:
        """The rows of a query of some buckets; those that cannot be read are reported and left out."""
        done = isolate_buckets(self.spark, self.storage, buckets, lambda some: query(in_buckets(some)).collect())
        for bucket, error in done.failed.items():
            log.error(
                "load %s: undeclared forks are looked for without bucket %d: %s",
                self.load.name,
                bucket,
                error,
                extra={"bucket": bucket},
            )
        return [row for part in done.done for row in part]


def _move(writer: Writer, kin: Mapping[str, str], buckets: int) -> list[Origin]:
    """Move newcomers to their roots, given the archive as it is at this moment; returns those that were moved."""
    spark, seen = writer.spark, writer.see(ORIGINS.name)
    gone, closed = taken_down(spark)  # after the table was looked at: what comes later changes that, or finds the URL
    kept_out = (OptOuts(map(Pattern, gone)), opt_outs(spark))
    now = _Now.of(seen, kin)

    def is_out(url: str) -> bool:
        return any(rules.rule_for(url) is not None for rules in kept_out)

    moving = [
        Origin(url, root)
        for url, root in sorted(kin.items())
        if now.may_move(url) and now.takes_forks(root) and root not in kin and not is_out(url) and not is_out(root)
    ]
    moving = [origin for origin in moving if network_id(origin.fork_of or "") not in closed]
    if not moving:
        return []
    assert all(origin.fork_of != origin.url for origin in moving)
    before = {origin.url: now.rows[origin.url][0] for origin in moving}
    new = [
        {**before[origin.url], "bucket": bucket_of(network, buckets), "network": network, "fork_of": origin.fork_of}
        for origin, network in placed(moving, forks_of(seen, moving), closed)
    ]
    touched = {row["bucket"] for row in (*before.values(), *new)}
    frame = local_frame(spark, [tuple(row[name] for name in ORIGINS.column_names) for row in new], ORIGINS.arrow_schema)
    keys = local_frame(spark, [(row["bucket"], url) for url, row in before.items()], _KEYS)
    change_rows(seen, RowChange(frame, len(new), keys, len(before), touched))
    return moving


@dataclass(frozen=True, slots=True)
class _Now:
    """What a state of ``origins`` has on some origins.

    Attributes:
        rows: rows by URL.
        company: how many rows a network has.
        parents: those that others declare as theirs.
    """

    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    company: Mapping[int, int]
    parents: Collection[str]

    @classmethod
    def of(cls, seen: Seen, kin: Mapping[str, str]) -> _Now:
        """About newcomers and their roots."""
        spark, table = seen.spark, seen.rows()
        urls = url_frame(spark, sorted({*kin, *kin.values()}))
        networks = local_frame(spark, [(network_id(url),) for url in sorted(kin)], _NETWORKS)
        named = table.join(F.broadcast(urls), "url", "left_semi").select(*ORIGINS.column_names)
        rows = defaultdict(list)
        for row in named.toArrow().cast(ORIGINS.arrow_schema).to_pylist():
            rows[row["url"]].append(row)
        counted = table.join(F.broadcast(networks), "network", "left_semi").groupBy("network").count().collect()
        forked = table.select(F.col("fork_of").alias("url")).join(F.broadcast(urls), "url", "left_semi").distinct()
        return cls(rows, {row["network"]: row["count"] for row in counted}, {row["url"] for row in forked.collect()})

    def may_move(self, url: str) -> bool:
        """Whether it is still to be visited for the first time, declares no parent, and is alone in its network."""
        row = self._root(url)
        if row is None or url in self.parents or self.company.get(network_id(url)) != 1:
            return False
        return row["state"] == str(OriginState.ACTIVE) and row["last_visit"] is None and row["last_status"] is None

    def takes_forks(self, url: str) -> bool:
        """Whether it is still a root that was visited, be it gone by now, and was not opted out."""
        row = self._root(url)
        return row is not None and row["state"] != str(OriginState.OPTED_OUT) and row["last_visit"] is not None

    def _root(self, url: str) -> Mapping[str, Any] | None:
        """Its row, if there is one only, without a parent and in a root's own network."""
        rows = self.rows.get(url, ())
        if len(rows) != 1:
            return None
        (row,) = rows
        return row if row["fork_of"] is None and row["network"] == network_id(url) else None
