"""The evaluator of NetworkPolicies does what the API's reference says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.policies import Pod, Policies, selects

CRAWL, WEB = Pod({"app": "crawl"}), Pod({"app": "web"})
ELSEWHERE = Pod({"app": "crawl"}, "other", {"team": "a"})


def policy(selector: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"podSelector": selector, **spec}}


def test_without_a_policy_all_is_allowed() -> None:
    assert Policies(()).connects(CRAWL, "10.0.0.1", 1)


def test_a_selected_pod_may_do_only_what_some_rule_says() -> None:
    deny = policy({}, policyTypes=["Ingress", "Egress"])
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}
    out = policy(
        {"matchLabels": {"app": "crawl"}}, policyTypes=["Egress"], egress=[{"to": [block], "ports": [{"port": 443}]}]
    )
    both = Policies((deny, out))
    assert both.connects(CRAWL, "140.82.112.3", 443)
    assert not both.connects(CRAWL, "140.82.112.3", 80)
    assert not both.connects(CRAWL, "140.82.112.3", 443, "UDP")
    assert not both.connects(CRAWL, "10.0.0.1", 443)
    assert not both.connects(CRAWL, "2606:50c0::1", 443), "the block is of the other family"
    assert not both.connects(CRAWL, WEB, 443), "blocks are no pods"
    assert not both.connects(WEB, "140.82.112.3", 443)


def test_a_connection_needs_both_ends() -> None:
    out = policy({"matchLabels": {"app": "crawl"}}, egress=[{"to": [{"podSelector": {}}]}], policyTypes=["Egress"])
    assert Policies((out,)).connects(CRAWL, WEB, 1)
    shut = policy({"matchLabels": {"app": "web"}})
    assert not Policies((out, shut)).connects(CRAWL, WEB, 1), "without types, ingress is meant"
    assert Policies((shut,)).connects(WEB, CRAWL, 1), "and egress is not"


def test_namespaces_are_selected_by_their_labels() -> None:
    rule = {
        "from": [
            {"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"app": "crawl"}}}
        ]
    }
    one = Policies((policy({}, ingress=[rule]),))
    assert one.connects(ELSEWHERE, WEB, 1)
    assert not one.connects(CRAWL, WEB, 1), "this namespace lacks the label"
    own = Policies((policy({}, ingress=[{"from": [{"podSelector": {}}]}]),))
    assert own.connects(CRAWL, WEB, 1)
    assert not own.connects(ELSEWHERE, WEB, 1), "a selector of pods alone means this namespace"


@pytest.mark.parametrize(
    ("operator", "values", "matches"),
    [("In", ["crawl"], (True, False, False)), ("NotIn", ["crawl"], (False, True, True)),
     ("Exists", [], (True, True, False)), ("DoesNotExist", [], (False, False, True))],
)  # fmt: skip
def test_expressions(operator: str, values: list[str], matches: tuple[bool, ...]) -> None:
    selector = {"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}
    assert tuple(selects(selector, labels) for labels in ({"app": "crawl"}, {"app": "web"}, {})) == matches
