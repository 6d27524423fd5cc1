"""From a master's URL to what can be asked of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from pipeline.rules.cluster import GIB, MIB, Cluster, executor_settings
from pipeline.rules.offer import LEAST_HEAP_BYTES, fit, in_gib
from pipeline.tables.masters.errors import NothingFits
from pipeline.tables.masters.jvm import JavaObject
from pipeline.tables.masters.kubernetes import SCHEME, Kubernetes
from pipeline.tables.masters.master import Master
from pipeline.tables.masters.standalone import Standalone
from pipeline.tables.masters.yarn import Yarn

_MASTER_CORES, _MASTER_BYTES = 1, 896 * MIB
"""What YARN's application master takes if the driver does not run in it: 512 MiB of heap and 384 beside it."""

_LEAST_OVERHEAD_BYTES = 384 * MIB
_OVERHEAD_SHARE = 0.4
"""What Spark adds to a driver's heap on YARN if nothing is said: the larger one, 0.1 for Java and 0.4 for Python."""

_LEAST = f"a core and {in_gib(LEAST_HEAP_BYTES)} of heap, and half as much beside it"
"""The smallest executor, in words."""

_UNITS = {"k": 1 << 10, "m": MIB, "g": GIB, "t": 1 << 40}


def known_master(jvm: JavaObject, url: str, asked: str, wait_s: float, conf: Mapping[str, str]) -> Master:
    """The master at a URL; one that says nothing if it is of none of the kinds that we know.

    Args:
        conf: settings of the application, with the tag by which YARN finds it.
    """
    if url == "yarn":
        return Yarn(asked, wait_s, jvm, conf.get("spark.yarn.tags", ""))
    if url.startswith(SCHEME):
        return Kubernetes(url, asked, wait_s, jvm, conf)
    if url.startswith("spark://"):
        return Standalone(url, asked, wait_s, jvm)
    return Master(url, asked, wait_s)


def fitted(
    jvm: JavaObject,
    url: str,
    cluster: Cluster,
    conf: Mapping[str, str],
    own: Collection[str],
    wait_s: float,
    *,
    driver_inside: bool = False,
) -> dict[str, str]:
    """Settings of executors that fit a cluster's nodes; none if the master does not say what it has.

    Args:
        conf: all settings so far.
        own: names of settings that a person chose, which stay as they are.
        wait_s: how long to wait for a first node.
        driver_inside: the driver runs on one of the nodes.

    Raises:
        NothingFits: no node could ever hold an executor.
        NoResources: the cluster has no node.
    """
    offer = known_master(jvm, url, _LEAST, wait_s, conf).first_offer()
    if offer is None:
        return {}
    left = offer
    if driver_inside:
        left = offer.without(*_driver(conf))
    elif url == "yarn":
        left = offer.without(_MASTER_CORES, _MASTER_BYTES)
    shape = fit(cluster, left)
    if shape is None:
        if {"spark.executor.cores", "spark.executor.memory"} <= set(own):
            return {}
        raise NothingFits(url, _LEAST, str(offer))
    return {key: value for key, value in executor_settings(shape).items() if key not in own}


def asked_for(conf: Mapping[str, str]) -> str:
    """The executors that settings ask for, in words."""
    count = conf.get("spark.executor.instances")
    parts = [f"{conf.get('spark.executor.memory', '1g')} of heap"]
    if "spark.executor.memoryOverhead" in conf:
        parts.append(f"{conf['spark.executor.memoryOverhead']} beside it")
    if conf.get("spark.memory.offHeap.enabled", "false") == "true":
        parts.append(f"{conf.get('spark.memory.offHeap.size', '0')} off the heap")
    several = _counted(count, "executor") if count else "executors"
    return f"{several} with {_counted(conf.get('spark.executor.cores', '1'), 'core')}, {', '.join(parts)} each"


def driver_asked_for(conf: Mapping[str, str]) -> str:
    """The container of a driver that settings ask for, in words."""
    cores, memory = _driver(conf)
    return f"a driver with {_counted(str(cores), 'core')} and {in_gib(memory)}, and then {asked_for(conf)}"


def _counted(number: str, noun: str) -> str:
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def _driver(conf: Mapping[str, str]) -> tuple[int, int]:
    """Cores and bytes of a driver's container."""
    heap = bytes_of(conf.get("spark.driver.memory", "1g"))
    given = conf.get("spark.driver.memoryOverhead")
    overhead = bytes_of(given) if given else max(int(heap * _OVERHEAD_SHARE), _LEAST_OVERHEAD_BYTES)
    return int(conf.get("spark.driver.cores", "1")), heap + overhead


def bytes_of(size: str) -> int:
    """A size as Spark's settings of memory have it, such as 2g; without a unit it is in MiB."""
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", size.strip().lower())
    if found is None:
        return 0
    return int(found[1]) * _UNITS[found[2] or "m"]
