"""What NetworkPolicies allow, by the rules of the API's reference: no plugin is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """One end of a connection inside the cluster. Its address is none of those that policies name."""

    labels: Mapping[str, str]
    namespace: str = "archive"
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Policies:
    """All policies of a namespace."""

    policies: tuple[Policy, ...]
    namespace: str = "archive"

    def connects(self, source: Pod | str, target: Pod | str, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection is let out by its source and let in by its target; addresses let all."""
        return self._lets(source, target, port, protocol, "egress") and self._lets(
            target, source, port, protocol, "ingress"
        )

    def _lets(self, at: Pod | str, other: Pod | str, port: int, protocol: str, way: str) -> bool:
        if isinstance(at, str) or at.namespace != self.namespace:
            return True
        concerned = [policy["spec"] for policy in self.policies if _concerns(policy["spec"], at, way)]
        if not concerned:
            return True
        rules = (rule for spec in concerned for rule in spec.get(way) or ())
        peers = "to" if way == "egress" else "from"
        return any(
            self._is_one(rule.get(peers), other) and _is_port(rule.get("ports"), port, protocol) for rule in rules
        )

    def _is_one(self, peers: Iterable[Mapping[str, Any]] | None, other: Pod | str) -> bool:
        return not peers or any(self._matches(peer, other) for peer in peers)

    def _matches(self, peer: Mapping[str, Any], other: Pod | str) -> bool:
        if "ipBlock" in peer:
            return isinstance(other, str) and _in_block(peer["ipBlock"], other)
        if isinstance(other, str):
            return False
        if "namespaceSelector" in peer:
            in_namespace = selects(peer["namespaceSelector"], other.namespace_labels)
        else:
            in_namespace = other.namespace == self.namespace
        return in_namespace and selects(peer.get("podSelector", {}), other.labels)


def _concerns(spec: Mapping[str, Any], pod: Pod, way: str) -> bool:
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return way.capitalize() in types and selects(spec["podSelector"], pod.labels)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches all."""
    return all(_requirements(selector, labels))


def _requirements(selector: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[bool]:
    unknown = set(selector) - {"matchLabels", "matchExpressions"}
    assert not unknown, unknown
    for key, value in (selector.get("matchLabels") or {}).items():
        yield labels.get(key) == value
    for wanted in selector.get("matchExpressions") or ():
        value, values = labels.get(wanted["key"]), wanted.get("values", ())
        yield {
            "In": value is not None and value in values,
            "NotIn": value is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[wanted["operator"]]


def _in_block(block: Mapping[str, Any], address: str) -> bool:
    ip = ip_address(address)
    inside = (ip in ip_network(block["cidr"])) and ip.version == ip_network(block["cidr"]).version
    return inside and not any(ip in ip_network(without) for without in block.get("except") or ())


def _is_port(ports: Iterable[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    if not ports:
        return True
    return any(
        rule.get("protocol", "TCP") == protocol
        and ("port" not in rule or rule["port"] <= port <= rule.get("endPort", rule["port"]))
        for rule in ports
    )
