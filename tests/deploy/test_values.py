"""What the chart has from elsewhere is as it is there, and its defaults fit the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

import pytest
import yaml

from chart_values import FILES, NETWORK, PAGE, VALUES
from pipeline import __version__
from pipeline.context.config import Config
from pipeline.git.network import AddressPolicy
from pipeline.tables.masters.jvm import END_WITHIN_S
from pipeline.workflows.engine import STOP_S
from tests.deploy.chart import CHART, EXAMPLES, ROOT

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())

AT_LEAST_LEFT_S = 30
"""Seconds of a pod's grace in which it gives its lease back and delivers its metrics."""


@pytest.mark.parametrize("path", FILES)
def test_generated_files_are_current(path: str) -> None:
    assert (CHART / path).read_text() == FILES[path](), "run scripts/chart_values.py"


def test_the_table_of_values_is_current() -> None:
    assert PAGE.text == PAGE.made_anew(), "run scripts/chart_values.py"


@pytest.mark.parametrize(
    ("network", "is_one"),
    [
        ("10.0.0.0/8", True),
        ("0.0.0.0/0", True),
        ("192.168.255.249/32", True),
        ("2001:db8::/32", True),
        ("::ffff:10.0.0.0/104", True),
        ("10.0.0.0/33", False),
        ("10.0.0.0", False),
        ("10.0.0/8", False),
        ("10.0.0.256/32", False),
        ("10.0.0.01/32", False),
        ("2001:db8::/129", False),
        ("example.org/8", False),
    ],
)
def test_the_schema_knows_what_a_network_is(network: str, *, is_one: bool) -> None:
    """A NetworkPolicy wants the length, too."""
    assert (re.search(NETWORK["pattern"], network) is not None) == is_one
    if is_one:
        ip_network(network)


def test_the_chart_names_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_the_schema_knows_every_value() -> None:
    def keys(found: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
        for key, value in found.items():
            known = schema.get("properties", {})
            if "properties" in schema and key not in known:
                yield f"{at}{key}"
            if isinstance(value, dict):
                yield from keys(value, known.get(key, {}), f"{at}{key}.")

    top = {"properties": {**VALUES, "config": {}}}
    for path in (CHART / "values.yaml", *EXAMPLES):
        assert list(keys(yaml.safe_load(path.read_text()), top, f"{path.name}: ")) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_configuration_of_an_example_is_valid(path: Any) -> None:
    config = yaml.safe_load(path.read_text())["config"]
    config["spark"].setdefault("conf", {})["spark.kubernetes.container.image"] = "the chart's"
    found = Config.model_validate(config)
    assert found.hdfs is not None
    assert found.spark.master.startswith("k8s://")


def test_the_large_example_is_the_profile_of_that_cluster() -> None:
    example = yaml.safe_load((CHART / "examples" / "values-1000-threads.yaml").read_text())
    profile = tomllib.loads((ROOT / "conf" / "cluster.toml").read_text())
    config = example["config"]
    assert example["nightly"]["crawlHosts"] == profile["fetch"]["crawl_hosts"]
    for section, key in [
        ("archive", "buckets"), ("archive", "lease_s"), ("hdfs", "attempts"), ("hdfs", "give_up_after_s"),
        ("hdfs", "block_size_bytes"), ("hdfs", "replication"), ("fetch", "workers"), ("fetch", "concurrency"),
        ("spark", "cluster"), ("spark", "wait_s"),
    ]:  # fmt: skip
        assert config[section][key] == profile[section][key], key


@pytest.mark.parametrize("kind", ["nightly", "maintain", "backfill", "submit", "command"])
def test_a_pod_may_take_as_long_as_a_command_needs_to_end(kind: str) -> None:
    assert DEFAULTS[kind]["grace"] >= STOP_S + END_WITHIN_S + AT_LEAST_LEFT_S


def test_what_policies_except_is_what_visits_refuse() -> None:
    networks = [ip_network(line) for line in (CHART / "files" / "private.txt").read_text().split()]
    policy = AddressPolicy()
    for network in networks:
        if network.version == 4:
            assert not policy.permits(str(network[0])), network
    chosen = Random(1)
    for address in [ip_address(chosen.getrandbits(32)) for _ in range(5000)]:
        assert policy.permits(str(address)) or any(address in network for network in networks), address
