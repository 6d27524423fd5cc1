"""Queries of checks that need Spark: tables, their shape, the tags of nights, and URLs that may contain a login."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.model.layout import NIGHT_TAG, tag_of
from pipeline.model.origin import BadOriginUrl, check_url
from pipeline.model.redact import one_line
from pipeline.model.tables import ALL, ORIGINS, Table, spark_type
from pipeline.night.seal import nights
from pipeline.tables.create import table_properties
from pipeline.tables.failures import plain_failures
from pipeline.tables.iceberg import IcebergTable, full_name, table_exists

SHOWN = 3
MOST_LOOKED_AT, MOST_REFUSED = 10_000, 100

_WORTH_A_LOOK = r"^(?!ssh://[A-Za-z0-9._-]+@[^@]*$).*[@%?;&]|gh[a-z]_|github_pat_|gl[a-z]+-"
"""Pattern of URLs worth checking: most do not match, and are not fetched from Spark."""


@dataclass(frozen=True, slots=True)
class TableProblem:
    """A problem of one table. ``damaged``: it affects readers; otherwise only maintenance."""

    table: str
    what: str
    damaged: bool


def table_problems(spark: SparkSession, buckets: int, where: str) -> tuple[list[TableProblem], list[date]]:
    """Check the metadata of all tables; no data file is opened.

    Args:
        buckets: the archive's number of buckets.
        where: its root, for errors of Spark.

    Returns:
        The problems, and the nights.
    """
    problems: list[TableProblem] = []
    tags: dict[str, set[str]] = {}
    for table in ALL:
        try:
            with plain_failures(where):
                if not table_exists(spark, table.name):
                    problems.append(TableProblem(table.name, "is missing", damaged=True))
                    continue
                iceberg = IcebergTable(spark, table.name)
                tags[table.name] = set(iceberg.tags())
                problems.extend(_shape(spark, table, iceberg, buckets))
        except Exception as error:
            problems.append(TableProblem(table.name, f"cannot be loaded: {one_line(str(error))}", damaged=True))
    known = nights(spark) if ORIGINS.name in tags else []
    problems.extend(_untagged(tags, known))
    return problems, known


def refused_urls(spark: SparkSession) -> list[int]:
    """Networks of origins whose URLs would be refused today, at most ``MOST_REFUSED``; they may contain a login.

    An earlier version accepted some. The URLs themselves are not returned: nobody should see them.
    """
    odd = spark.table(full_name(ORIGINS.name)).where(F.col("url").rlike(_WORTH_A_LOOK)).select("url", "network")
    return [row["network"] for row in odd.limit(MOST_LOOKED_AT).collect() if _is_refused(row["url"])][:MOST_REFUSED]


def _is_refused(url: str) -> bool:
    try:
        check_url(url)
    except BadOriginUrl:
        return True
    return False


def _shape(spark: SparkSession, table: Table, iceberg: IcebergTable, buckets: int) -> Iterator[TableProblem]:
    have = {field.name: field.dataType.simpleString() for field in spark.table(iceberg.name).schema}
    want = {column.name: spark_type(column.type) for column in table.columns}
    lacking = [name for name in want if name not in have]
    if lacking:
        yield TableProblem(table.name, f"has no column {', '.join(lacking)}", damaged=True)
    for name, kind in want.items():
        if name in have and _plain(have[name]) != _plain(kind):
            yield TableProblem(table.name, f"has {name} as {have[name]} instead of {kind}", damaged=True)
    if iceberg.current() is None:
        yield TableProblem(table.name, "has no snapshot: it was not completed; run `pipeline init`", damaged=True)
    differing = _differing(table_properties(table, buckets), iceberg)
    if differing:
        yield TableProblem(table.name, f"has other properties: {', '.join(differing)}", damaged=False)


def _differing(want: Mapping[str, str], iceberg: IcebergTable) -> list[str]:
    """Properties that differ from those set by ``init``; Iceberg keeps the format version elsewhere."""
    return [
        f"{key} is {found or 'not set'}"
        for key, value in want.items()
        if key != "format-version" and (found := iceberg.property(key)) != value
    ]


def _untagged(tags: Mapping[str, set[str]], known: Iterable[date]) -> Iterator[TableProblem]:
    sealed = {tag_of(night) for night in known}
    for table, its in tags.items():
        lost = sorted(sealed - its)
        if lost:
            yield TableProblem(table, f"lacks the tags of {_some(lost)}", damaged=True)
        more = sorted(tag for tag in its - sealed if tag.startswith(NIGHT_TAG))
        if more:
            yield TableProblem(table, f"has tags of unsealed nights: {_some(more)}", damaged=False)


def _plain(kind: str) -> str:
    return kind.replace(" ", "").lower()


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
