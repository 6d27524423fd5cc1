"""Sizes that the chart computes are those of the rules."""

from __future__ import annotations

import itertools

import pytest

from pipeline.context.config import Config
from pipeline.rules.cluster import GIB, MIB, Cluster, driver_heap_bytes, executors, size
from tests.deploy.chart import EXAMPLES, configuration, manifests, of_kind, pods

pytestmark = pytest.mark.kubernetes

LARGE = next(path for path in EXAMPLES if "1000" in path.name)
CLUSTERS = [
    *itertools.product((1, 3, 5, 64, 129, 1000), (8 * GIB, 100 * GIB, 512_000_000_000, 6_000_000_000_000)),
    (7, 1 << 30),
    (2_000, 999_999_999_999),
    (10_000, 60_000_000_000_000),
]


@pytest.mark.parametrize(("threads", "memory"), CLUSTERS)
def test_executors_and_drivers_follow_from_the_cluster(threads: int, memory: int) -> None:
    found = manifests(LARGE, values={"config": {"spark": {"cluster": {"threads": threads, "memory_bytes": memory}}}})
    cluster = Cluster(threads, memory)
    shape = executors(cluster)
    conf = configuration(found)["spark"]["conf"]
    assert conf["spark.kubernetes.executor.request.cores"] == str(shape.cores)
    budget = of_kind(found, "PodDisruptionBudget").get("executor")
    assert (budget["spec"]["minAvailable"] if budget else 0) == max(shape.count - 20, 0)
    heap = driver_heap_bytes(cluster)
    assert requested(found, "maintain") == (heap + heap // 10) // MIB + 896


def test_own_settings_of_spark_count_more() -> None:
    spark = {"driver_memory": size(12 * GIB), "conf": {"spark.executor.instances": "50", "spark.executor.cores": "8"}}
    found = manifests(LARGE, values={"config": {"spark": spark}})
    assert of_kind(found, "PodDisruptionBudget")["executor"]["spec"]["minAvailable"] == 30
    assert configuration(found)["spark"]["conf"]["spark.kubernetes.executor.request.cores"] == "8"
    assert requested(found, "maintain") == 12 * GIB * 11 // 10 // MIB + 896


def test_crawl_hosts_have_room_for_their_workers() -> None:
    found = manifests(LARGE)
    config = Config.model_validate(configuration(found))
    more = requested(found, "nightly") - requested(found, "maintain")
    assert more == config.fetch.workers * 4 * config.fetch.run_bytes // MIB
    (container,) = dict(pods(found))["nightly"]["spec"]["containers"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert limit - requested(found, "maintain") == config.fetch.workers * config.fetch.limits.memory_bytes // MIB
    assert container["resources"]["requests"]["cpu"] == str(1 + config.fetch.workers)


def requested(found: list[dict], component: str) -> int:
    """MiB of a pod's request."""
    (container,) = dict(pods(found))[component]["spec"]["containers"]
    return int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
