"""Spark compiles what chooses a night. Java allows 64 KB for a method; beyond that Spark interprets, for each origin.

Spark copies the formula of a rank into each comparison that names it, so more limits, or a longer formula, may take its
code beyond. Rows must lie in a table: those of a local frame are evaluated before any code is made.
"""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from pipeline.model.layout import Load
from pipeline.model.pattern import parse_pattern
from pipeline.night.plan import write_plan
from pipeline.night.schedule import Limits
from pipeline.rules.night_budget import HostRequests, NightBudget, Shares
from pipeline.rules.schedule import Lane
from pipeline.storage.interface import Storage
from pipeline.tables.session import configured
from pipeline.tables.writer import unleased
from tests.night.test_schedule import HOSTS, NIGHT, fill, rows_of
from tests.rules.due import made
from tests.support.spark import COMPILED
from tests.tables.landing import BUCKETS

STRICT = {**COMPILED, "spark.sql.codegen.factoryMode": "CODEGEN_ONLY", "spark.sql.codegen.fallback": "false"}
"""Code that does not compile is an error."""

NAMED_HOSTS, IMPORTANT = 50, 20
"""Limits of a large configuration."""


@pytest.mark.slow
def test_the_choice_of_a_night_is_compiled(spark: SparkSession, storage: Storage) -> None:
    states = made(5, 60)
    states.lane[::2] = Lane.KNOWN
    rows, _ = rows_of(states)
    fill(spark, rows)
    named: dict[str, int | None] = {f"host{number}.example.org": 1_000 for number in range(NAMED_HOSTS)}
    hosts = HostRequests(20, 1_000, named | {HOSTS[0]: 20, HOSTS[1]: 20})
    important = [(parse_pattern(f"https://a.example.org/owner{n}/*"), 2.0 + n) for n in range(IMPORTANT)]
    limits = Limits(NightBudget(origins=15, cpu_s=6.0, requests=60), hosts, Shares(), important, 10_000)
    with configured(spark, STRICT):
        plan = write_plan(unleased(spark), storage, Load.of_night(NIGHT), BUCKETS, limits=limits)
    assert 0 < plan.origins_due <= 15
