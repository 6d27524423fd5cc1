"""Opt-outs: what must not be archived, kept as patterns so that they also cover origins added later."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from pipeline.model.origin import Origin
from pipeline.model.pattern import OptOuts, Pattern, parse_pattern, place_of
from pipeline.model.tables import NAMESPACE, ORIGINS, TIME
from pipeline.tables.change import RowChange, change_rows, in_places
from pipeline.tables.conflicts import creating, nothing, overwrite, see, until_committed
from pipeline.tables.frames import local_frame, url_frame
from pipeline.tables.iceberg import full_name, table_exists
from pipeline.tables.tombstones import closed_networks, taken_down
from pipeline.tables.writer import unleased

log = logging.getLogger(__name__)

OPT_OUTS = "opt_outs"
_SCHEMA = pa.schema([("pattern", pa.string()), ("added_at", TIME)])
_KEYS = pa.schema([("bucket", pa.int32()), ("url", pa.string())])
_CLOSED = pa.schema([("bucket", pa.int32()), ("network", pa.int64())])


def opt_outs(spark: SparkSession) -> OptOuts:
    """All current patterns."""
    return OptOuts(parse_pattern(pattern) for pattern in _patterns(spark))


def kept_out_now(spark: SparkSession) -> OptOuts:
    """What must not be fetched: what is opted out, and what was taken down."""
    return OptOuts([*opt_outs(spark), *map(Pattern, taken_down(spark)[0])])


def add_opt_outs(spark: SparkSession, patterns: Iterable[Pattern]) -> int:
    """Add patterns; needs no lease.

    Returns:
        The number of new ones.
    """
    given = [str(pattern) for pattern in patterns]
    return until_committed(OPT_OUTS, lambda: _add(spark, given))


def _add(spark: SparkSession, patterns: Collection[str]) -> int:
    if not table_exists(spark, OPT_OUTS):
        with creating(spark, NAMESPACE):
            spark.sql(
                f"CREATE TABLE IF NOT EXISTS {full_name(OPT_OUTS)} (pattern string, added_at timestamp) USING iceberg "
                "COMMENT 'what must not be archived' TBLPROPERTIES ('format-version' = '3')"
            )
    seen = unleased(spark).see(OPT_OUTS)
    new = sorted(set(patterns) - {row["pattern"] for row in seen.rows().collect()})
    if new:
        now = datetime.now(UTC)
        overwrite(local_frame(spark, [(pattern, now) for pattern in new], _SCHEMA), seen, nothing())
    return len(new)


def remove_opt_outs(spark: SparkSession, patterns: Iterable[Pattern]) -> int:
    """Remove patterns, and those that name the same place by another scheme.

    Returns:
        The number of removed ones.
    """
    places = {pattern.place for pattern in patterns}

    def remove() -> int:
        if not table_exists(spark, OPT_OUTS):
            return 0
        seen = unleased(spark).see(OPT_OUTS)
        rows = seen.rows().collect()
        staying = [tuple(row) for row in rows if parse_pattern(row["pattern"]).place not in places]
        if len(staying) < len(rows):
            overwrite(local_frame(spark, staying, _SCHEMA), seen, F.lit(True))
        return len(rows) - len(staying)

    return until_committed(OPT_OUTS, remove)


def _patterns(spark: SparkSession) -> list[str]:
    if not table_exists(spark, OPT_OUTS):
        return []
    return [row["pattern"] for row in see(spark, OPT_OUTS).rows().collect()]


@dataclass(frozen=True, slots=True)
class Refused:
    """An origin that is not archived, and why: a sentence without the URL.

    ``in_any_network``: its URL is refused, not only in the given network.
    """

    url: str
    why: str
    in_any_network: bool = True


def admitted(spark: SparkSession, origins: Iterable[Origin]) -> tuple[list[Origin], list[Refused]]:
    """The origins that may be archived, and the others: opted out, taken down, or forks of a taken-down origin."""
    rules = opt_outs(spark)
    urls, networks = taken_down(spark)
    gone = OptOuts(Pattern(url) for url in urls)
    may, may_not = [], []
    for origin in origins:
        why, in_any_network = None, True
        if gone.rule_for(origin.url) is not None:
            why = "it was taken down, and will not be archived again"
        elif (rule := rules.rule_for(origin.url)) is not None:
            why = f"it falls under the opt-out {rule}"
        elif origin.network in networks:
            why = f"{origin.fork_of} was taken down with its network; add this one without --fork-of"
            in_any_network = False
        if why is None:
            may.append(origin)
        else:
            may_not.append(Refused(origin.url, why, in_any_network))
    return may, may_not


def leave_closed(spark: SparkSession) -> int:
    """Remove origins without a visit that were added to a network while it was taken down completely.

    Both sides call it after they have written, so that the last one finds what the other did. Needs no lease.

    Returns:
        How many.
    """
    closed = closed_networks(spark)
    if not closed:
        return 0
    networks = F.broadcast(local_frame(spark, closed, _CLOSED))
    near = in_places({bucket for bucket, _ in closed}, [network for _, network in closed])
    gone = F.broadcast(url_frame(spark, sorted(taken_down(spark)[0])))

    def attempt() -> int:
        seen = unleased(spark).see(ORIGINS.name)
        late = seen.rows().where(near & F.col("last_visit").isNull()).join(networks, ["bucket", "network"])
        rows = late.join(gone, "url", "left_anti").select("bucket", "url").distinct().collect()
        if rows:
            keys = local_frame(spark, [tuple(row) for row in rows], _KEYS)
            none = local_frame(spark, [], ORIGINS.arrow_schema)
            change_rows(seen, RowChange(none, 0, keys, len(rows), {row["bucket"] for row in rows}))
        return len(rows)

    left = until_committed(ORIGINS.name, attempt)
    if left:
        log.info("%d origins leave the archive: they were added to a network while it was taken down", left)
    return left


def place_column(url: str = "url") -> Column:
    """``place_of`` of a column of stored URLs."""
    return F.udf(place_of, "string", useArrow=False)(F.col(url))
