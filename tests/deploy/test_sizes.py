"""Sizes that the chart computes are those of the rules."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pipeline.context.config import Config
from pipeline.rules.cluster import GIB, MIB, Cluster, driver_heap_bytes, executors, size
from tests.deploy.chart import EXAMPLES, configuration, manifests, of_kind, pods
from tests.deploy.test_rendered import ALL

pytestmark = pytest.mark.kubernetes

LARGE, RESEARCH = (next(path for path in EXAMPLES if name in path.name) for name in ("1000", "research"))
OF_AN_ARCHIVE = {name: {"enabled": True} for name in ("nightly", "maintain", "luigid", "init")}
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


@pytest.mark.parametrize(
    ("values", "component", "request_gib", "limit_gib"),
    [
        ({}, "nightly", 200, 200 + 4),
        ({}, "maintain", 200, 200 + 4),
        ({"scratch": {"request": "20Gi"}}, "backfill", 20, 200 + 4),
        ({"scratch": {"kind": "ephemeral"}}, "command", 0, 4),
        ({}, "submit", 0, 100 + 4),
        ({}, "training", 0, 100 + 4),
        ({}, "init", 0, 100 + 4),
        ({}, "executor", 100, 100 + 2),
        ({"executors": {"request": "1.5Ti", "scratch": "2Ti"}}, "executor", 1536, 2048 + 2),
        ({"executors": {"scratch": "1.5Ti"}}, "driver", 0, 1536 + 2),
    ],
)
def test_pods_take_no_more_of_a_disk_than_their_scratch(
    values: dict[str, Any], component: str, request_gib: int, limit_gib: int
) -> None:
    """What is asked for beside scratch is a GiB, and there is /tmp, which is bounded too."""
    found = dict(pods(manifests(RESEARCH, values={**ALL, **OF_AN_ARCHIVE, **values})))[component]["spec"]
    (container,) = found["containers"]
    asked = {kind: int(container["resources"][kind]["ephemeral-storage"]) // GIB for kind in ("requests", "limits")}
    assert asked == {"requests": request_gib + 1, "limits": limit_gib + 1}
    bounds = [volume["emptyDir"].get("sizeLimit") for volume in found["volumes"] if "emptyDir" in volume]
    assert None not in bounds


def test_own_resources_keep_what_is_computed_of_disks() -> None:
    resources = {"requests": {"cpu": "1"}, "limits": {"ephemeral-storage": "300Gi"}}
    backfill = {"enabled": True, "args": ["origins"], "resources": resources}
    found = dict(pods(manifests(RESEARCH, values={**OF_AN_ARCHIVE, "backfill": backfill})))
    (container,) = found["backfill"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "1", "ephemeral-storage": str(201 * GIB)},
        "limits": {"ephemeral-storage": "300Gi"},
    }


def requested(found: list[dict], component: str) -> int:
    """MiB of a pod's request."""
    (container,) = dict(pods(found))[component]["spec"]["containers"]
    return int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
