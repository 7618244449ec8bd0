"""Kubernetes' rules about which pod may run on which node."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore.resources.core import Node, NodeCondition, NodeSpec, NodeStatus, Taint, Toleration
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import LocalModelNodeGroup, LocalModelNodeGroupSpec
from cachecore.scheduling import group_selects, pod_allows, schedulable, tolerates

READY = NodeCondition(type="Ready", status="True")


def node(*taints: Taint, ready: bool = True, cordoned: bool = False, allocatable: dict[str, str] | None = None) -> Node:
    return Node(
        metadata=ObjectMeta(name="node-a", labels={"zone": "1", "size": "10"}),
        spec=NodeSpec(taints=taints, unschedulable=cordoned),
        status=NodeStatus(conditions=(READY,) if ready else (), allocatable=allocatable or {}),
    )


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
        }
    }


@pytest.mark.parametrize(
    ("holds", "wanted"),
    [
        (expression("zone", "In", "1", "2"), True),
        (expression("zone", "In", "2"), False),
        (expression("zone", "NotIn", "2"), True),
        (expression("zone", "NotIn", "1"), False),
        (expression("other", "NotIn", "1"), True),
        (expression("zone", "Exists"), True),
        (expression("other", "Exists"), False),
        (expression("other", "DoesNotExist"), True),
        (expression("zone", "DoesNotExist"), False),
        (expression("size", "Gt", "9"), True),
        (expression("size", "Gt", "10"), False),
        (expression("size", "Lt", "11"), True),
        (expression("size", "Lt", "nine"), False),
        (expression("other", "Lt", "9"), False),
        (expression("zone", "Like", "1"), False),
    ],
    ids=str,
)
def test_expressions(holds: dict[str, Any], wanted: bool) -> None:
    assert pod_allows(affinity({"matchExpressions": [holds]}), node()) is wanted


def test_terms_are_alternatives_and_expressions_are_not() -> None:
    yes, no = expression("zone", "In", "1"), expression("zone", "In", "2")
    assert pod_allows(affinity({"matchExpressions": [no]}, {"matchExpressions": [yes]}), node())
    assert not pod_allows(affinity({"matchExpressions": [yes, no]}), node())


def test_an_empty_term_matches_no_node() -> None:
    assert not pod_allows(affinity({}), node())
    assert not pod_allows(affinity(), node())


def test_a_field_is_the_node_s_name() -> None:
    assert pod_allows(affinity({"matchFields": [expression("metadata.name", "In", "node-a")]}), node())
    assert not pod_allows(affinity({"matchFields": [expression("metadata.name", "In", "node-b")]}), node())


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, True),
        ({"nodeName": "node-a"}, True),
        ({"nodeName": "node-b"}, False),
        ({"nodeSelector": {"zone": "1"}}, True),
        ({"nodeSelector": {"zone": "1", "disk": "fast"}}, False),
    ],
    ids=str,
)
def test_names_and_selectors(spec: dict[str, Any], wanted: bool) -> None:
    assert pod_allows(spec, node()) is wanted


@pytest.mark.parametrize(
    ("toleration", "wanted"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_tolerations(toleration: dict[str, Any], wanted: bool) -> None:
    tainted = node(Taint(key="gpu", value="yes", effect="NoSchedule"))
    assert tolerates([toleration], tainted) is wanted
    assert tolerates([Toleration(**toleration)], tainted) is wanted


def test_every_taint_must_be_tolerated() -> None:
    tainted = node(Taint(key="a", effect="NoSchedule"), Taint(key="b", effect="NoExecute"))
    assert not tolerates([{"key": "a", "operator": "Exists"}], tainted)


def test_a_preference_keeps_nobody_off() -> None:
    assert tolerates([], node(Taint(key="a", effect="PreferNoSchedule")))


def test_a_device_must_be_there() -> None:
    pod = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1"}}}]}
    assert not pod_allows(pod, node())
    assert not pod_allows(pod, node(allocatable={"nvidia.com/gpu": "0"}))
    assert pod_allows(pod, node(allocatable={"nvidia.com/gpu": "8"}))


def test_pods_go_to_nodes_that_are_ready_and_not_cordoned() -> None:
    assert schedulable(node())
    assert not schedulable(node(ready=False))
    assert not schedulable(node(cordoned=True))


@pytest.mark.parametrize(
    ("selector", "term", "wanted"),
    [
        ({}, None, True),
        ({"zone": "1"}, None, True),
        ({"zone": "2"}, None, False),
        ({}, expression("zone", "In", "1"), True),
        ({}, expression("zone", "In", "2"), False),
        ({"zone": "1"}, expression("zone", "In", "2"), False),
        ({"zone": "2"}, expression("zone", "In", "1"), False),
    ],
    ids=str,
)
def test_both_the_selector_and_the_affinity_choose_the_nodes_of_a_group(
    selector: dict[str, str], term: dict[str, Any] | None, wanted: bool
) -> None:
    volume = (
        {} if term is None else {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}}
    )
    group = LocalModelNodeGroup(
        metadata=ObjectMeta(name="g"),
        spec=LocalModelNodeGroupSpec(storage_limit=1, node_selector=selector, persistent_volume_spec=volume),
    )
    assert group_selects(group, node()) is wanted
