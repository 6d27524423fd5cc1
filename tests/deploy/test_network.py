"""Who reaches whom by the chart's NetworkPolicies, as the API's reference has it."""

from __future__ import annotations

import pytest

from tests.deploy.chart import EXAMPLES, manifests, of_kind, pods
from tests.deploy.policies import Pod, Policies

pytestmark = pytest.mark.kubernetes

LARGE = next(path for path in EXAMPLES if "1000" in path.name)
MORE = {
    "submit": {"enabled": True, "job": "language_census"},
    "backfill": {"enabled": True, "args": ["origins", "--from", "/x"]},
    "training": {"enabled": True, "image": "x:1", "set": "hdfs://archive/x"},
}
FORGE, HDFS, API, PRIVATE, METADATA = "140.82.112.3", "10.20.0.7", "10.10.0.1", "10.0.0.1", "169.254.169.254"
DNS = Pod({"k8s-app": "kube-dns"}, "kube-system", {"kubernetes.io/metadata.name": "kube-system"})
PROMETHEUS = Pod({"app": "prometheus"}, "monitoring", {"kubernetes.io/metadata.name": "monitoring"})
STRANGER = Pod({"app": "web"})
"""Another pod of the namespace."""

FETCHERS = ("nightly", "backfill")
DRIVERS = (*FETCHERS, "maintain", "submit", "init", "driver")
OTHERS = ("executor", "luigid", "training", "test")
EVERYBODY = (*DRIVERS, *OTHERS)


@pytest.fixture(scope="module")
def policies() -> Policies:
    return Policies(tuple(of_kind(manifests(LARGE, values=MORE), "NetworkPolicy").values()))


@pytest.fixture(scope="module")
def pod() -> dict[str, Pod]:
    return {name: Pod(one["metadata"]["labels"]) for name, one in pods(manifests(LARGE, values=MORE))}


def test_crawl_hosts_reach_forges_and_no_private_address(policies: Policies, pod: dict[str, Pod]) -> None:
    for name in FETCHERS:
        assert policies.connects(pod[name], FORGE, 443)
        assert policies.connects(pod[name], "2606:50c0:8000::154", 443)
        assert policies.connects(pod[name], FORGE, 9418)
        assert not policies.connects(pod[name], FORGE, 22)
        for address in (
            PRIVATE,
            METADATA,
            "192.168.1.1",
            "172.20.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "fd00::1",
            "fe80::1",
        ):
            for port in (80, 443, 9870):
                assert not policies.connects(pod[name], address, port), (name, address, port)


@pytest.mark.parametrize("name", [name for name in EVERYBODY if name not in FETCHERS])
def test_nobody_else_reaches_the_world(policies: Policies, pod: dict[str, Pod], name: str) -> None:
    assert not policies.connects(pod[name], FORGE, 443)
    assert not policies.connects(pod[name], METADATA, 80)


@pytest.mark.parametrize("name", EVERYBODY)
def test_all_but_luigid_reach_hdfs_and_names(policies: Policies, pod: dict[str, Pod], name: str) -> None:
    for port in (8020, 9864, 9866, 9870):
        assert policies.connects(pod[name], HDFS, port) == (name != "luigid")
    assert not policies.connects(pod[name], HDFS, 22)
    assert not policies.connects(pod[name], "10.21.0.7", 8020)
    for protocol in ("UDP", "TCP"):
        assert policies.connects(pod[name], DNS, 53, protocol) == (name != "luigid")
    assert not policies.connects(pod[name], STRANGER, 53, "UDP")


@pytest.mark.parametrize("name", EVERYBODY)
def test_drivers_alone_reach_the_api_server(policies: Policies, pod: dict[str, Pod], name: str) -> None:
    assert policies.connects(pod[name], API, 6443) == (name in DRIVERS)
    assert not policies.connects(pod[name], API, 22)


@pytest.mark.parametrize("name", EVERYBODY)
def test_luigid_is_for_those_who_fetch_and_the_test(policies: Policies, pod: dict[str, Pod], name: str) -> None:
    assert policies.connects(pod[name], pod["luigid"], 8082) == (name in (*DRIVERS, "test"))
    assert not policies.connects(pod[name], pod["luigid"], 22)


@pytest.mark.parametrize("name", EVERYBODY)
def test_executors_talk_with_drivers_and_each_other(policies: Policies, pod: dict[str, Pod], name: str) -> None:
    """At any port, both ways: a driver connects to block managers, executors to the driver."""
    for port in (1, 7078, 45_678):
        allowed = name in (*DRIVERS, "executor")
        assert policies.connects(pod["executor"], pod[name], port) == allowed
        assert policies.connects(pod[name], pod["executor"], port) == allowed


@pytest.mark.parametrize("name", EVERYBODY)
def test_nothing_comes_in_from_outside_but_prometheus(policies: Policies, pod: dict[str, Pod], name: str) -> None:
    for source in (STRANGER, DNS, HDFS, FORGE, PRIVATE):
        for port in (80, 4040, 7078, 8082, 9470):
            assert not policies.connects(source, pod[name], port)
    for port in (4040, 9470):
        assert policies.connects(PROMETHEUS, pod[name], port) == (name in DRIVERS)
    assert not policies.connects(PROMETHEUS, pod[name], 8082)


def test_networks_that_visits_may_go_to_are_let_through(pod: dict[str, Pod]) -> None:
    values = {"config": {"fetch": {"allowed_networks": ["10.30.0.0/16"]}}}
    found = Policies(tuple(of_kind(manifests(LARGE, values=values), "NetworkPolicy").values()))
    assert found.connects(pod["nightly"], "10.30.1.1", 443)
    assert not found.connects(pod["nightly"], PRIVATE, 443)
    assert not found.connects(pod["executor"], "10.30.1.1", 443)
