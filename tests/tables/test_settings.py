"""The configuration of Spark, and the session settings that follow from it. Starts nothing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.rules.cluster import Cluster
from pipeline.tables import session
from pipeline.tables.session import DRIVER_LOG4J, session_conf, submitted_conf
from pipeline.tables.settings import ICEBERG, ClusterSettings, SparkSettings

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


@pytest.mark.parametrize(("master", "names"), [("local[2]", ["driver"]), ("yarn", ["driver", "executor"])])
def test_java_marks_its_heap_when_it_is_nearly_full_but_ones_own_options_come_last(
    master: str, names: Sequence[str]
) -> None:
    """Spark puts its defaults before the others, and of one option Java takes the last."""
    conf = session_conf(SparkSettings(master=master, cluster=SHAPE, java_options="-XX:+UseZGC"), "hdfs://archive")
    for name in names:
        assert conf[f"spark.{name}.defaultJavaOptions"].endswith("-XX:InitiatingHeapOccupancyPercent=80")
    assert conf["spark.driver.extraJavaOptions"].endswith(" -XX:+UseZGC")


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


def test_a_driver_in_yarn_gets_what_its_node_can_find() -> None:
    own = {"spark.submit.deployMode": "client"}
    settings = SparkSettings(master="yarn", deploy_mode="cluster", cluster=SHAPE, java_options="-Dx=1", conf=own)
    conf = submitted_conf(settings, "hdfs://archive")
    assert "spark.submit.deployMode" not in conf
    assert conf["spark.driver.extraJavaOptions"] == f"-Dlog4j2.configurationFile={DRIVER_LOG4J} -Dx=1"
    assert conf["spark.yarn.appMasterEnv.PYSPARK_PYTHON"] == sys.executable
    assert conf["spark.yarn.jars"].startswith("local:/")
    assert conf["spark.python.unix.domain.socket.enabled"] == "false"


def test_nodes_with_a_shipped_environment_get_sparks_jars_too() -> None:
    shipped = {"spark.pyspark.python": "./environment/bin/python"}
    conf = submitted_conf(SparkSettings(master="yarn", cluster=SHAPE, conf=shipped), "hdfs://archive")
    assert "spark.yarn.jars" not in conf
    assert conf["spark.yarn.appMasterEnv.PYSPARK_PYTHON"] == "./environment/bin/python"
    assert conf["spark.pyspark.driver.python"] == "./environment/bin/python"


def test_options_of_ones_own_reach_a_driver_in_yarn() -> None:
    own = {"spark.driver.extraJavaOptions": "-Dy=2"}
    conf = submitted_conf(SparkSettings(master="yarn", cluster=SHAPE, conf=own), "hdfs://archive")
    assert conf["spark.driver.extraJavaOptions"] == f"-Dlog4j2.configurationFile={DRIVER_LOG4J} -Dy=2"


@pytest.mark.parametrize("conf", [{}, {"spark.driver.extraJavaOptions": "-Dy=2"}], ids=repr)
def test_a_full_heap_ends_the_driver_whatever_options_it_has(conf: dict[str, str]) -> None:
    settings = SparkSettings(master="yarn", cluster=SHAPE, java_options="-Dx=1", conf=conf).failing_fast()
    mine = "-Dy=2" if conf else "-Dx=1"
    for made in (session_conf(settings, "hdfs://archive"), submitted_conf(settings, "hdfs://archive")):
        options = made["spark.driver.extraJavaOptions"].split()
        assert {"-XX:+ExitOnOutOfMemoryError", "-XX:+DisplayVMOutputToStderr", mine} <= set(options)


def test_an_iceberg_of_ones_own_is_not_resolved_again() -> None:
    own = {"spark.jars": "hdfs://n/other-1.jar,hdfs://n/iceberg-spark-runtime-4.1_2.13-1.12.0.jar"}
    assert "spark.jars.packages" not in session_conf(SparkSettings(conf=own), "file:///a")
    own = {"spark.jars": "hdfs://n/other-1.jar"}
    assert "spark.jars.packages" in session_conf(SparkSettings(conf=own), "file:///a")


@pytest.mark.parametrize("master", ["local[2]", "spark://master:7077"])
def test_standalone_masters_run_no_drivers(master: str) -> None:
    with pytest.raises(ValidationError, match="deploy_mode cluster needs the master yarn or k8s"):
        SparkSettings(master=master, deploy_mode="cluster", cluster=SHAPE)


def test_spark_shows_no_setting_that_carries_a_secret() -> None:
    key = "fs.azure.account.key.lake.dfs.core.windows.net"
    own = {f"spark.hadoop.{key}": "bm8gc2VjcmV0==", "spark.x": "https://me:word@host/", "spark.hadoop.fs.azure.x": "1"}
    hidden = re.compile(session_conf(SparkSettings(conf=own), "file:///a")["spark.redaction.regex"])
    assert all(hidden.search(name) for name in (key, f"spark.hadoop.{key}", "spark.x", "spark.ssl.keyStorePassword"))
    assert not any(hidden.search(name) for name in ("spark.hadoop.fs.azure.x", "spark.sql.catalog.archive.warehouse"))
    replaced = session_conf(SparkSettings(conf=own | {"spark.redaction.regex": "mine"}), "file:///a")
    assert replaced["spark.redaction.regex"].startswith("mine|")


def test_pods_need_an_image() -> None:
    with pytest.raises(ValidationError, match=r"needs \"spark\.kubernetes\.container\.image\" in spark\.conf"):
        SparkSettings(master="k8s://https://h", cluster=SHAPE)
    conf = {"spark.kubernetes.container.image": "git-lakehouse:1"}
    assert SparkSettings(master="k8s://https://h", deploy_mode="cluster", cluster=SHAPE, conf=conf).on_kubernetes


def test_an_iceberg_among_sparks_jars_is_on_the_class_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SPARK_JARS", tmp_path)
    assert "spark.jars.packages" in session_conf(SparkSettings(conf={"spark.jars.ivy": str(tmp_path)}), "file:///a")
    _, artifact, version = ICEBERG.split(":")
    (tmp_path / f"{artifact}-{version}.jar").touch()
    conf = session_conf(SparkSettings(conf={"spark.jars.ivy": str(tmp_path)}), "file:///a")
    assert not conf.keys() & {"spark.jars", "spark.jars.packages"}
