"""A node that falls silent, and one that is made again under its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from cachecore.names import INFERENCE_SERVICE_LABEL
from cachesim.apiserver.builtin import NODE, POD
from realcluster.deployment import DEMO
from realcluster.faults import FaultField, expect, until
from realcluster.safety import NODE_STATE

HOSTNAME = "kubernetes.io/hostname"


def settled(field: FaultField) -> None:
    field.whole(field.assistant, field.story)
    field.reads(field.story)


def prefers(node: str) -> dict[str, Any]:
    """Before whatever the webhook prefers."""
    term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [node]}]}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": term}]}}


def leaves_after(seconds: int) -> list[dict[str, Any]]:
    """Tolerations; Kubernetes' own default is five minutes."""
    taints = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    return [{"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds} for key in taints]


def living(field: FaultField, label_selector: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in field.pods(DEMO, label_selector)]


def test_a_kubelet_stops_until_its_pods_are_evicted(
    field: FaultField, heals: Callable[..., float], story: None
) -> None:
    victim = field.victim
    field.apply_cache(field.story)
    until(lambda: field.whole(field.assistant, field.story))
    field.apply_service(field.story, affinity=prefers(victim.name), tolerations=leaves_after(2))
    until(lambda: field.reads(field.story))
    of_it = f"{INFERENCE_SERVICE_LABEL}=story"
    [evicted] = field.pods(DEMO, of_it)
    assert evicted["spec"]["nodeName"] == victim.name
    field.cluster.run(victim.run("pkill", "-STOP", "-x", "kubelet"))
    try:
        # On the other node, which has the model too. What the silent node holds still counts as there.
        until(lambda: expect(evicted["metadata"]["name"] not in living(field, of_it), "the pod is not evicted"))
        until(lambda: field.reads(field.story))
        [successor] = field.pods(DEMO, of_it)
        assert successor["spec"]["nodeName"] == field.safe_node
    finally:
        field.cluster.run(victim.run("pkill", "-CONT", "-x", "kubelet"))

    def settled_and_left() -> None:
        settled(field)
        names = [pod["metadata"]["name"] for pod in field.listed(POD, DEMO, of_it)]
        expect(evicted["metadata"]["name"] not in names, "the evicted pod is still there")

    heals("a kubelet was stopped", settled_and_left)


def test_a_node_is_made_again_under_its_name_with_a_fresh_disk(
    field: FaultField, heals: Callable[..., float], story: None
) -> None:
    victim = field.victim
    field.apply_cache(field.story)
    until(lambda: field.whole(field.assistant, field.story))
    before = {state["metadata"]["name"]: state for state in field.listed(NODE_STATE)}[victim.name]
    with field.safety.without(victim.name):
        field.cluster.run(victim.power_off())
        field.deployed.kubectl("delete", "node", victim.name)
        until(lambda: expect(victim.name not in names(field), "its LocalModelNode has not gone with it"))
        # It is another machine: with the containers of the old one, its kubelet takes 50 s more to make its Node.
        for folder in ("disk", "kubelet", "containerd"):
            shutil.rmtree(victim.files.directory / folder)
            (victim.files.directory / folder).mkdir()
        field.cluster.run(victim.power_on())
    heals("a node was made again with a fresh disk", lambda: field.whole(field.assistant, field.story))
    after = {state["metadata"]["name"]: state for state in field.listed(NODE_STATE)}[victim.name]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["storeId"] != before["status"]["storeId"]


def names(field: FaultField) -> list[str]:
    """Of what there is of nodes."""
    return [found["metadata"]["name"] for kind in (NODE, NODE_STATE) for found in field.listed(kind)]
