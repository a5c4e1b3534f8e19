"""Whether NetworkPolicies let one pod reach another: the rules of Kubernetes, for the parts that the chart uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.chart.rendering import NAMESPACE, Release


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod by labels and namespace, or an address outside."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = NAMESPACE
    address: str = ""


def reaches(release: Release, source: Peer, target: Peer, port: int) -> bool:
    """Whether the policies of a release let ``source`` open a connection."""
    return _open(release, source, target, port, "Egress") and _open(release, target, source, port, "Ingress")


def _open(release: Release, own: Peer, other: Peer, port: int, direction: str) -> bool:
    """Whether one end's policies allow it: all is allowed where none selects the pod, else what one of them names."""
    specs = [
        policy["spec"]
        for policy in release.of_kind("NetworkPolicy").values()
        if not own.address and own.namespace == NAMESPACE and _selects(policy["spec"]["podSelector"], own.labels)
    ]
    specs = [spec for spec in specs if direction in spec["policyTypes"]]
    side = "to" if direction == "Egress" else "from"
    rules = [rule for spec in specs for rule in spec.get(direction.lower(), ())]
    return not specs or any(
        (not rule.get("ports") or port in {entry["port"] for entry in rule["ports"]})
        and any(_is(peer, other) for peer in rule[side])
        for rule in rules
    )


def _is(peer: dict[str, Any], other: Peer) -> bool:
    if "ipBlock" in peer:
        if not other.address:
            return False
        block, address = peer["ipBlock"], ip_address(other.address)
        return address in ip_network(block["cidr"]) and not any(
            address in ip_network(part) for part in block.get("except", ())
        )
    if other.address:
        return False
    if "namespaceSelector" in peer:
        inside = _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace})
    else:
        inside = other.namespace == NAMESPACE
    return inside and _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", ())
    )
