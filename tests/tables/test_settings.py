"""The configuration of Spark, and the session settings that follow from it. Starts nothing."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from pipeline.rules.cluster import Cluster
from pipeline.tables.session import session_conf
from pipeline.tables.settings import ClusterSettings, SparkSettings

SHAPE = ClusterSettings(threads=1000, memory_bytes=6 * 10**12)


@pytest.mark.parametrize(
    ("master", "threads"),
    [("local", 1), ("local[3]", 3), ("local[4,2]", 4), ("local[*]", len(os.sched_getaffinity(0)))],
)
def test_a_local_master_tells_its_threads(master: str, threads: int) -> None:
    shape = SparkSettings(master=master).shape
    assert (shape.threads, shape.local) == (threads, True)
    assert shape.memory_bytes > 1 << 30


def test_what_is_given_wins_over_the_machine() -> None:
    given = ClusterSettings(threads=7, memory_bytes=9 << 30, disk_bytes=5)
    assert SparkSettings(cluster=given).shape == Cluster(7, 9 << 30, 5, local=True)


def test_another_master_must_be_described() -> None:
    for cluster in (ClusterSettings(), ClusterSettings(threads=8), ClusterSettings(memory_bytes=1 << 40)):
        with pytest.raises(ValidationError, match=r"yarn needs cluster.threads and cluster.memory_bytes"):
            SparkSettings(master="yarn", cluster=cluster)


def test_sessions_get_what_is_computed_and_settings_of_ones_own_win() -> None:
    conf = session_conf(SparkSettings(master="yarn", cluster=SHAPE), "hdfs://archive")
    assert (conf["spark.executor.instances"], conf["spark.executor.memory"]) == ("200", "12g")
    assert conf["spark.driver.memory"] == "16g"
    own = {"spark.executor.memory": "20g"}
    conf = session_conf(SparkSettings(master="yarn", cluster=SHAPE, driver_memory="3g", conf=own), "hdfs://archive")
    assert (conf["spark.executor.memory"], conf["spark.driver.memory"]) == ("20g", "3g")
    assert not any(key.startswith("spark.executor.") for key in session_conf(SparkSettings(), "file:///a"))


def test_metadata_is_read_here_with_the_clusters_way_to_files() -> None:
    conf = {"spark.hadoop.dfs.nameservices": "archive", "spark.executor.memory": "20g"}
    here = SparkSettings(master="yarn", cluster=SHAPE, conf=conf, java_options="-Dx=1").here()
    assert (here.local, here.java_options) == (True, "-Dx=1")
    assert here.conf == {"spark.hadoop.dfs.nameservices": "archive"}
    laptop = SparkSettings()
    assert laptop.here() is laptop
