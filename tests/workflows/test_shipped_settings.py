"""The shipped configurations are usable."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.context.config import load_config
from pipeline.tables.session import session_conf

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.toml")), ids=lambda path: path.name)
def test_it_loads(path: Path) -> None:
    load_config(path)


def test_the_cluster_is_the_one_it_says() -> None:
    config = load_config(CONF / "cluster.toml")
    conf = session_conf(config.spark, config.archive.location)
    executors, cores = int(conf["spark.executor.instances"]), int(conf["spark.executor.cores"])
    gigabytes = (conf[f"spark.executor.{name}"] for name in ("memory", "memoryOverhead"))
    memory = sum(int(text.removesuffix("g")) for text in (*gigabytes, conf["spark.memory.offHeap.size"]))
    assert executors * cores == 1000
    assert 0.7 * 6000 < executors * memory <= 0.75 * 6000
    assert config.archive.buckets == 1024
    assert config.hdfs is not None
    assert 2 * config.hdfs.give_up_after_s < config.archive.lease_s
