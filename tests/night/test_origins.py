from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession

from pipeline.model.origin import Origin, network_id
from pipeline.night import origins
from pipeline.night.origins import add_origins
from pipeline.rules import networks
from pipeline.tables.iceberg import full_name
from tests.tables.landing import BUCKETS

WHEN = datetime(2026, 11, 2, tzinfo=UTC)


def test_a_known_origin_is_not_added_again_as_a_fork(spark: SparkSession) -> None:
    root, fork = "https://example.org/twice-root", "https://example.org/twice-fork"
    assert add_origins(spark, [Origin(fork)], BUCKETS, WHEN) == 1
    assert add_origins(spark, [Origin(root), Origin(fork, root)], BUCKETS, WHEN) == 1
    rows = spark.table(full_name("origins")).where(f"url = '{fork}'").collect()
    assert [row["fork_of"] for row in rows] == [None]


def test_many_origins_are_added_in_parts(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that comes in two parts is known the second time."""
    monkeypatch.setattr(origins, "MOST_ADDED", 3)
    urls = [f"https://example.org/part-{number}" for number in (1, 2, 3, 1, 4, 5, 6, 5)]
    before = spark.table(full_name("origins")).count()
    assert origins.add_origins(spark, iter(map(Origin, urls)), BUCKETS, WHEN) == 6
    assert spark.table(full_name("origins")).count() == before + 6
    assert origins.add_origins(spark, [], BUCKETS, WHEN) == 0


def test_forks_of_a_large_network_are_added_to_parts_of_their_own(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an earlier call count."""
    monkeypatch.setattr(networks, "NETWORK_ORIGINS", 3)
    root = "https://example.org/large-root"
    forks = [Origin(f"https://example.org/large-{number}", root) for number in range(5)]
    assert add_origins(spark, [Origin(root), *forks[:2]], BUCKETS, WHEN) == 3
    assert add_origins(spark, forks, BUCKETS, WHEN) == 3
    rows = spark.table(full_name("origins")).where(f"url = '{root}' OR fork_of = '{root}'").collect()
    assert {row["url"]: row["network"] for row in rows} == {
        each.url: network_id(root, part) for each, part in zip([Origin(root), *forks], (0, 0, 0, 1, 1, 1), strict=True)
    }
    assert all(row["bucket"] == row["network"] % BUCKETS for row in rows)
