"""The NetworkPolicies let in what is served, from where it is asked for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]

ANY_POD: list[Manifest] = [{"namespaceSelector": {}, "podSelector": {}}]


@pytest.fixture
def policies(render: Render) -> list[Manifest]:
    found = [each for each in render("default") if each["kind"] == "NetworkPolicy"]
    assert {each["metadata"]["namespace"] for each in found} == {"localmodel-system"}
    return [each["spec"] for each in found]


@pytest.fixture
def workloads(render: Render) -> dict[str, Manifest]:
    return {
        each["metadata"]["name"].removeprefix("localmodel-"): each["spec"]["template"]
        for each in render("default")
        if each["kind"] in ("Deployment", "DaemonSet")
    }


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    for requirement in selector.get("matchExpressions", ()):
        assert requirement["operator"] == "In", "the only one that this test knows"
        if labels.get(requirement["key"]) not in requirement["values"]:
            return False
    return bool(dict(selector.get("matchLabels", {})).items() <= labels.items())


def rules_for(policies: list[Manifest], workload: Manifest) -> Iterator[Manifest]:
    for policy in policies:
        if selects(policy["podSelector"], workload["metadata"]["labels"]):
            yield from policy.get("ingress", ())


def ports(rules: list[Manifest]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"] if port["protocol"] == "TCP"}


def test_whatever_nobody_speaks_of_is_refused(policies: list[Manifest]) -> None:
    assert {"podSelector": {}, "policyTypes": ["Ingress"]} in policies


def test_what_goes_out_is_left_alone(policies: list[Manifest]) -> None:
    assert {kind for policy in policies for kind in policy["policyTypes"]} == {"Ingress"}


@pytest.mark.parametrize(
    ("service", "from_anywhere", "from_pods"),
    [("manager", set(), {8080}), ("webhook", {9443}, {8080}), ("agent", set(), {8082})],
)
def test_each_service_is_reached_where_it_serves(
    policies: list[Manifest],
    workloads: dict[str, Manifest],
    service: str,
    from_anywhere: set[int],
    from_pods: set[int],
) -> None:
    workload = workloads[service]
    rules = list(rules_for(policies, workload))
    assert ports([rule for rule in rules if "from" not in rule]) == from_anywhere
    assert ports([rule for rule in rules if rule.get("from") == ANY_POD]) == from_pods
    served = {port["containerPort"] for port in workload["spec"]["containers"][0]["ports"]}
    assert ports(rules) == served


def test_the_port_that_is_scraped_is_let_in(policies: list[Manifest], workloads: dict[str, Manifest]) -> None:
    for workload in workloads.values():
        scraped = int(workload["metadata"]["annotations"]["prometheus.io/port"])
        assert scraped in ports(list(rules_for(policies, workload)))
