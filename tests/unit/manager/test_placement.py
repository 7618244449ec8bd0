"""Which nodes hold which cache."""

from __future__ import annotations

import pytest

from cachecore.resources.core import Node, NodeCondition, NodeSpec, NodeStatus, Taint
from cachemanager.placement import Candidate, place_copies, place_everywhere, refusal


def node(ready: str = "True", **spec: object) -> Node:
    conditions = (NodeCondition(type="Ready", status=ready),)
    return Node(spec=NodeSpec(**spec), status=NodeStatus(conditions=conditions))  # type: ignore[arg-type]


def candidate(name: str, **facts: object) -> Candidate:
    return Candidate(node=name, group="workers", **facts)  # type: ignore[arg-type]


def copies(count: int, *candidates: Candidate) -> list[str]:
    return list(place_copies(count, 10, "iris", candidates).nodes)


@pytest.mark.parametrize(
    "one,words",
    [
        (node(), ""),
        (node("Unknown"), "not ready"),
        (node(unschedulable=True), "cordoned"),
        (node(taints=(Taint(key="team", value="x", effect="NoSchedule"),)), "tainted team=x:NoSchedule"),
        (node(taints=(Taint(key="team", effect="NoExecute"),)), "tainted team:NoExecute"),
        (node(taints=(Taint(key="team", effect="PreferNoSchedule"),)), ""),
    ],
)
def test_a_refusal_says_why(one: Node, words: str) -> None:
    assert refusal(one) == words


def test_a_tolerated_taint_refuses_nothing() -> None:
    tainted = node(taints=(Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule"),))
    assert refusal(tainted, ("nvidia.com/gpu",)) == ""


def test_a_refusing_node_keeps_what_it_has() -> None:
    placement = place_everywhere(
        [candidate("a", refused="cordoned", assigned=True), candidate("b", refused="cordoned")]
    )
    assert placement.nodes == {"a": "workers"}
    assert placement.refused == {"b": "cordoned"}


def test_a_pod_outweighs_a_refusal() -> None:
    assert place_everywhere([candidate("a", refused="cordoned", demanded=True)]).nodes == {"a": "workers"}


def test_nodes_that_pods_need_come_on_top() -> None:
    assert copies(1, candidate("a", demanded=True), candidate("b", demanded=True), candidate("c")) == ["a", "b"]


def test_what_is_assigned_stays() -> None:
    assert copies(1, candidate("a", free_bytes=1000), candidate("b", assigned=True)) == ["b"]


def test_of_those_assigned_the_ones_that_hold_it_stay() -> None:
    assert copies(1, candidate("a", assigned=True), candidate("b", assigned=True, holds=True)) == ["b"]


def test_a_node_that_holds_it_is_preferred() -> None:
    assert copies(1, candidate("a", free_bytes=1000), candidate("b", holds=True)) == ["b"]


def test_then_the_one_with_most_room() -> None:
    assert copies(1, candidate("a", free_bytes=20), candidate("b", free_bytes=30)) == ["b"]


def test_ties_are_spread_by_the_name_of_the_cache() -> None:
    nodes = [candidate(f"n{number}", free_bytes=100) for number in range(8)]
    chosen = {next(iter(place_copies(1, 10, f"cache-{number}", nodes).nodes)) for number in range(40)}
    assert len(chosen) == 8


def test_the_order_of_the_candidates_does_not_matter() -> None:
    nodes = [candidate(f"n{number}", free_bytes=100) for number in range(8)]
    assert copies(3, *nodes) == copies(3, *reversed(nodes))
