"""The choice of a night over the table, against the choice over arrays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.model.host import host_of
from pipeline.model.origin import bucket_of, network_id
from pipeline.model.pattern import parse_pattern
from pipeline.model.tables import ORIGINS
from pipeline.night.counts import counted
from pipeline.night.schedule import Chosen, Limits, choose_due, host_column
from pipeline.night.standing import save, signal
from pipeline.rules.change_rate import Counts, Dates, Usual, counts_after
from pipeline.rules.night_budget import HostRequests, NightBudget, Shares
from pipeline.rules.promise import unpromised
from pipeline.rules.schedule import NO_LIMIT, Bools, Due, Lane, averaged, choose, cpu_us
from pipeline.tables.conflicts import nothing, overwrite
from pipeline.tables.frames import local_frame
from pipeline.tables.iceberg import full_name
from pipeline.tables.writer import unleased
from tests.rules.due import made, of_hosts
from tests.tables.landing import BUCKETS

NIGHT = date(2026, 11, 20)
HOSTS = ("a.example.org", "b.example.org:8443", "localhost:1")
IMPORTANT = "https://a.example.org/important/*"


def before(days: float) -> datetime:
    return datetime(2026, 11, 20, 9, tzinfo=UTC) - timedelta(days=days)


def rows_of(due: Due) -> tuple[list[dict[str, Any]], Due]:
    """Rows of ``origins`` with these states, and the states that they have in truth."""
    rows = []
    for number in range(len(due)):
        lane, host = Lane(due.lane[number]), HOSTS[due.host[number]]
        folder = "important" if host == HOSTS[0] and due.importance[number] > 1 else "others"
        url = f"https://{host}/{folder}/{number}"
        waited, told = int(due.waited[number]), int(due.signalled[number])
        visited = lane is not Lane.FIRST
        row: dict[str, Any] = dict.fromkeys(ORIGINS.column_names) | {
            "network": network_id(url), "bucket": bucket_of(network_id(url), BUCKETS), "url": url, "state": "active",
            "added_at": before(waited), "failures": int(lane is Lane.FAILED),
        }  # fmt: skip
        if visited:
            row |= {"last_visit": before(waited), "last_status": "failed" if lane is Lane.FAILED else "full"}
            row |= {
                name: float(c[number]) for name, c in zip(("changes", "silent", "watched"), due.counts, strict=True)
            }
            row |= {"objects": float(due.cpu_us[number])}
            if due.dates.days[number]:
                quiet = int(due.dates.quiet[number])
                row |= {"commit_days": int(due.dates.days[number]), "newest_commit": before(waited + quiet + 1)}
        if lane is Lane.ASKED:
            row |= {"asked_at": before(0.1)}
        if told:
            row |= {"signalled_at": before(told - 1)}
        rows.append(row)
    first = due.lane == Lane.FIRST
    news = first | (due.signalled > 0)
    days = np.where(first, 0, due.dates.days)
    objects = np.where(first, 5_000.0, due.cpu_us.astype(float))
    found = Due(
        due.lane, due.waited, due.signalled, Counts(*(np.where(first, 0.0, column) for column in due.counts)),
        Dates(days, np.where(days > 0, due.dates.quiet, 0)), cpu_us(objects), np.where(news, 3, 2),
        np.array([8.0 if "important" in row["url"] else 1.0 for row in rows]), due.host, due.tie,
    )  # fmt: skip
    return rows, found


def fill(spark: SparkSession, rows: list[dict[str, Any]]) -> None:
    frame = local_frame(spark, [tuple(row.values()) for row in rows], ORIGINS.arrow_schema)
    overwrite(frame, unleased(spark).see(ORIGINS.name), nothing())


@pytest.mark.slow
def test_a_night_visits_what_the_arrays_say(spark: SparkSession) -> None:
    states = made(5, 80)
    states.lane[::2] = Lane.KNOWN
    rows, due = rows_of(states)
    table = local_frame(spark, [tuple(row.values()) for row in rows], ORIGINS.arrow_schema).coalesce(1)
    origins = table.withColumns({"due": F.lit(True), "looked_at": F.lit(True)})
    keys = origins.select("url", F.shiftrightunsigned(F.xxhash64("url"), 1).alias("tie"), host_column().alias("host"))
    ties = {row["url"]: row for row in keys.collect()}
    assert all(row["host"] == host_of(url) for url, row in ties.items())
    due.tie[:] = [ties[row["url"]]["tie"] for row in rows]
    usual = Usual.of(Counts(*(column.sum() for column in due.counts)))
    budget = NightBudget(origins=30, cpu_s=6.0, requests=60)
    expected = choose(due, budget, np.array([50, 25, 60]), Shares(), usual)
    hosts = HostRequests.of(budget, 50, {HOSTS[1]: 25})
    limits = Limits(budget, hosts, Shares(), [(parse_pattern(IMPORTANT), 8.0)], 10_000)
    found = choose_due(origins, NIGHT, limits)
    assert (urls_of(found), found.lost) == (urls(rows, expected), [])
    assert len(urls_of(found)) == expected.sum() < 30

    # Two thirds of the origins are those of two hosts, and fewer than these are allowed by the nights.
    narrow, caps, shares = NightBudget(origins=40), np.array([50, 25, NO_LIMIT]), Shares(0.2)
    by_host = of_hosts(due, narrow, caps, shares, HOSTS)
    whole = 1 + by_host.nights.sum() + by_host.own_nights.max()
    greatest = int(whole - by_host.nights.min() - 1)
    lost = unpromised(by_host, greatest)
    assert 0 < len(lost) < len(HOSTS)
    promised = np.array([host not in {each.host for each in lost} for host in HOSTS])
    expected = choose(due, narrow, caps, shares, usual, promised)
    assert (expected != choose(due, narrow, caps, shares, usual)).any()
    limits = Limits(narrow, HostRequests(None, 50, {HOSTS[1]: 25}), shares, [(parse_pattern(IMPORTANT), 8.0)], greatest)
    found = choose_due(origins, NIGHT, limits)
    assert (urls_of(found), found.lost) == (urls(rows, expected), lost)


def urls(rows: list[dict[str, Any]], chosen: Bools) -> set[str]:
    return {row["url"] for row, yes in zip(rows, chosen, strict=True) if yes}


def urls_of(found: Chosen) -> set[str]:
    return {row["url"] for row in found.rows.where("due").select("url").collect()}


def test_counts_of_the_table_are_those_of_the_arrays(spark: SparkSession) -> None:
    rows, _ = rows_of(made(6, 40))
    visits = [
        (row["url"], before(-0.3 * (n % 3)), ("full", "unchanged", "failed")[n % 3], n) for n, row in enumerate(rows)
    ]
    schema = pa.schema(
        [
            ("url", pa.string()),
            ("started_at", pa.timestamp("us", "UTC")),
            ("status", pa.string()),
            ("objects", pa.int64()),
            ("newest_commit", pa.timestamp("us", "UTC")),
            ("commit_days", pa.int32()),
        ]
    )
    made_visits = local_frame(spark, [(*visit, None, 0) for visit in visits], schema).select(
        "url", F.struct(*schema.names[1:]).alias("visit")
    )
    origins = local_frame(spark, [tuple(row.values()) for row in rows], ORIGINS.arrow_schema)
    after = counted(F.col("failures"))
    found = {
        row["url"]: row
        for row in origins.join(made_visits, "url").select("url", *(c.alias(n) for n, c in after.items())).collect()
    }
    for row, (url, started, status, objects) in zip(rows, visits, strict=True):
        counts = Counts(row["changes"] or 0.0, row["silent"] or 0.0, row["watched"] or 0.0)
        told = np.bool_(row["signalled_at"] is not None and row["signalled_at"] <= started)
        average = row["objects"]
        if status != "failed" and row["last_visit"] is not None and not row["failures"]:
            nights = max((started - row["last_visit"]).total_seconds() / 86_400, 0.01)
            counts = counts_after(counts, nights, np.bool_(status == "full"), told)
            average = float(objects) if average is None else averaged(average, objects)
        assert [found[url][name] for name in ("changes", "silent", "watched")] == pytest.approx(list(counts))
        assert found[url]["objects"] == average or found[url]["objects"] == pytest.approx(average)
        kept = row["signalled_at"] is not None and not (status != "failed" and told)
        assert (found[url]["signalled_at"] is not None) == kept
        assert found[url]["asked_at"] is None


@pytest.mark.slow
def test_people_ask_for_visits_and_tell_of_changes(spark: SparkSession) -> None:
    rows, _ = rows_of(made(7, 6))
    for number, row in enumerate(rows):
        row |= {
            "state": "paused" if number == 5 else "active",
            "next_due": NIGHT,
            "asked_at": None,
            "signalled_at": before(1) if number == 0 else None,
            "signals": ["event"] if number == 0 else None,
        }
    fill(spark, rows)
    asked, told = ([parse_pattern(row["url"]) for row in some] for some in (rows[3:], rows[:2]))
    assert (save(spark, asked).changed, save(spark, asked).already) == (2, 1), "people may ask again"
    assert [(found.changed, found.already) for found in (signal(spark, told), signal(spark, told))] == [(2, 0), (0, 2)]
    after = {row["url"]: row for row in spark.table(full_name("origins")).collect()}
    found = [after[row["url"]] for row in rows]
    assert [row["signalled_at"] is not None for row in found] == [True, True, False, False, False, False]
    assert [row["signals"] for row in found] == [["event", "pushed"], ["pushed"], None, None, None, None]
    assert found[0]["signalled_at"].astimezone(UTC) == before(1), "the time of the first"
    assert [row["asked_at"] is not None for row in found] == [False, False, False, True, True, False]
    assert [row["next_due"] for row in found] == [NIGHT, NIGHT, NIGHT, None, None, NIGHT]
    assert {row["state"] for row in found} == {"active", "paused"}
