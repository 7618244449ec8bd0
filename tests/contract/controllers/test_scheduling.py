"""Which node a pod gets, and what it is told when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from cachesim.node.testing import ContractCluster, affinity, condition_of, required

NO_MATCH = "node(s) didn't match Pod's node affinity/selector"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
ZONE = "example.com/zone"
RANK = "example.com/rank"


def refusal(reasons: str, *, nodes: int = 1, preemption: str = NOT_HELPFUL) -> str:
    """What kube-scheduler says when each node has its reason."""
    available = f"0/{nodes} nodes are available"
    return f"{available}: {reasons}. no new claims to deallocate, preemption: {available}: {nodes} {preemption}."


def preferring(weight: int, value: str) -> dict[str, Any]:
    """A preferred term of node affinity."""
    return {"weight": weight, "preference": {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [value]}]}}


async def two_zones(cluster: ContractCluster) -> tuple[str, str]:
    """Nodes in the zones `a` (rank 1) and `b` (rank 2)."""
    first = await cluster.node("a", labels={ZONE: "a", RANK: "1"})
    second = await cluster.node("b", labels={ZONE: "b", RANK: "2", "example.com/gpu": "yes"})
    return first.name, second.name


async def test_a_pod_goes_where_its_node_selector_says(cluster: ContractCluster) -> None:
    _, second = await two_zones(cluster)
    await cluster.pod(nodeSelector={ZONE: "b"})
    assert await cluster.scheduled() == second
    pod = await cluster.until(POD, "web", lambda found: found["status"]["phase"] == "Running")
    assert condition_of(pod, "PodScheduled")["status"] == "True"
    event = await cluster.event(POD, "web", "Scheduled")
    assert event["message"] == f"Successfully assigned {cluster.namespace}/web to {second}"


@pytest.mark.parametrize(
    ("operator", "key", "values"),
    [
        ("In", ZONE, ["b", "c"]),
        ("NotIn", ZONE, ["a"]),
        ("Exists", "example.com/gpu", None),
        ("Gt", RANK, ["1"]),
    ],
)
async def test_required_affinity_finds_the_node(
    cluster: ContractCluster, operator: str, key: str, values: list[str] | None
) -> None:
    _, second = await two_zones(cluster)
    wanted: dict[str, Any] = {"key": key, "operator": operator, **({"values": values} if values else {})}
    await cluster.pod(affinity=required(**wanted))
    assert await cluster.scheduled() == second


@pytest.mark.parametrize(
    ("operator", "key", "values"), [("DoesNotExist", "example.com/gpu", None), ("Lt", RANK, ["2"])]
)
async def test_required_affinity_leaves_the_node_out(
    cluster: ContractCluster, operator: str, key: str, values: list[str] | None
) -> None:
    first, _ = await two_zones(cluster)
    wanted: dict[str, Any] = {"key": key, "operator": operator, **({"values": values} if values else {})}
    await cluster.pod(affinity=required(**wanted))
    assert await cluster.scheduled() == first


async def test_a_pod_may_name_its_node_by_a_field(cluster: ContractCluster) -> None:
    _, second = await two_zones(cluster)
    await cluster.pod(affinity=required(field="matchFields", key="metadata.name", operator="In", values=[second]))
    assert await cluster.scheduled() == second


async def test_a_node_named_by_a_field_may_not_exist(cluster: ContractCluster) -> None:
    await cluster.node()
    wanted = required(field="matchFields", key="metadata.name", operator="In", values=["nowhere"])
    await cluster.pod(affinity=wanted)
    assert await cluster.refused() == refusal("1 node(s) didn't satisfy plugin(s) [NodeAffinity]")


async def test_the_preferred_node_wins(cluster: ContractCluster) -> None:
    first, second = await two_zones(cluster)
    key = "preferredDuringSchedulingIgnoredDuringExecution"
    await cluster.pod("one", affinity={"nodeAffinity": {key: [preferring(1, "b"), preferring(100, "a")]}})
    await cluster.pod("two", affinity={"nodeAffinity": {key: [preferring(100, "b"), preferring(1, "a")]}})
    assert await cluster.scheduled("one") == first
    assert await cluster.scheduled("two") == second


async def test_a_preference_that_nothing_meets_keeps_no_pod_waiting(cluster: ContractCluster) -> None:
    node = await cluster.node()
    key = "preferredDuringSchedulingIgnoredDuringExecution"
    await cluster.pod(affinity={"nodeAffinity": {key: [preferring(100, "nowhere")]}})
    assert await cluster.scheduled() == node.name


async def test_a_pod_follows_its_volume(cluster: ContractCluster) -> None:
    _, second = await two_zones(cluster)
    volume = await cluster.volume(nodeAffinity=affinity(key=ZONE, operator="In", values=["b"]))
    await cluster.claim(volumeName=volume)
    await cluster.bound()
    await cluster.pod(claim="model")
    assert await cluster.scheduled() == second


async def test_a_volume_elsewhere_is_a_conflict(cluster: ContractCluster) -> None:
    await two_zones(cluster)
    volume = await cluster.volume(nodeAffinity=affinity(key=ZONE, operator="In", values=["c"]))
    await cluster.claim(volumeName=volume)
    await cluster.bound()
    await cluster.pod(claim="model")
    said = await cluster.refused()
    assert said == refusal("2 node(s) didn't match PersistentVolume's node affinity", nodes=2)
    event = await cluster.event(POD, "web", "FailedScheduling")
    assert (event["type"], event["message"]) == ("Warning", said)


async def test_a_pod_waits_for_its_claim_to_be_made(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.pod(claim="model")
    assert await cluster.refused() == '0/1 nodes are available: persistentvolumeclaim "model" not found. not found'
    await cluster.claim(volumeName=await cluster.volume())
    assert await cluster.scheduled() == node.name


async def test_a_pod_waits_for_its_claim_to_be_bound(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.claim(volumeName=cluster.unique("disk"))
    await cluster.pod(claim="model")
    said = await cluster.refused()
    assert said == "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    await cluster.volume()
    assert await cluster.scheduled() == node.name


async def test_a_claim_that_is_being_deleted_takes_no_pod(cluster: ContractCluster) -> None:
    await cluster.node()
    await cluster.claim(volumeName=await cluster.volume())
    await cluster.bound()
    held = {"metadata": {"finalizers": ["kubernetes.io/pvc-protection", "example.com/hold"]}}
    await cluster.merge(PERSISTENT_VOLUME_CLAIM, "model", held)
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    await cluster.pod(claim="model")
    assert (
        await cluster.refused() == '0/1 nodes are available: persistentvolumeclaim "model" is being deleted. not found'
    )
    await cluster.merge(PERSISTENT_VOLUME_CLAIM, "model", {"metadata": {"finalizers": None}})


async def test_a_lost_claim_takes_no_pod(cluster: ContractCluster) -> None:
    await cluster.node()
    volume = await cluster.volume()
    await cluster.claim(volumeName=volume)
    await cluster.bound()
    await cluster.delete(PERSISTENT_VOLUME, volume)
    await cluster.merge(PERSISTENT_VOLUME, volume, {"metadata": {"finalizers": None}})
    await cluster.until(PERSISTENT_VOLUME_CLAIM, "model", lambda found: found["status"]["phase"] == "Lost")
    await cluster.pod(claim="model")
    lost = f'persistentvolumeclaim "model" bound to non-existent persistentvolume "{volume}"'
    assert await cluster.refused() == f"0/1 nodes are available: {lost}. not found"


async def test_a_cordoned_node_gets_nothing_until_it_is_uncordoned(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.merge(NODE, node.name, {"spec": {"unschedulable": True}})
    await cluster.until(NODE, node.name, lambda found: bool(found["spec"].get("taints")))
    await cluster.pod()
    assert await cluster.refused() == refusal("1 node(s) were unschedulable")
    await cluster.merge(NODE, node.name, {"spec": {"unschedulable": None}})
    assert await cluster.scheduled() == node.name


async def test_a_cordoned_node_is_tainted(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.merge(NODE, node.name, {"spec": {"unschedulable": True}})
    found = await cluster.until(NODE, node.name, lambda found: bool(found["spec"].get("taints")))
    (taint,) = found["spec"]["taints"]
    assert (taint["key"], taint["effect"]) == ("node.kubernetes.io/unschedulable", "NoSchedule")
    await cluster.merge(NODE, node.name, {"spec": {"unschedulable": None}})
    await cluster.until(NODE, node.name, lambda found: not found["spec"].get("taints"))


async def test_a_taint_keeps_off_who_does_not_tolerate_it(cluster: ContractCluster) -> None:
    node = await cluster.node()
    taint = {"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"}
    await cluster.merge(NODE, node.name, {"spec": {"taints": [taint]}})
    await cluster.pod()
    assert await cluster.refused() == refusal("1 node(s) had untolerated taint(s)")
    tolerations = [{"key": "example.com/gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]
    await cluster.pod("tolerant", tolerations=tolerations)
    assert await cluster.scheduled("tolerant") == node.name
    await cluster.pod("broad", tolerations=[{"operator": "Exists"}])
    assert await cluster.scheduled("broad") == node.name


async def test_a_taint_that_only_discourages_keeps_nobody_off(cluster: ContractCluster) -> None:
    node = await cluster.node()
    taint = {"key": "example.com/old", "effect": "PreferNoSchedule"}
    await cluster.merge(NODE, node.name, {"spec": {"taints": [taint]}})
    await cluster.pod()
    assert await cluster.scheduled() == node.name


async def test_a_discouraged_node_comes_last(cluster: ContractCluster) -> None:
    first, second = await two_zones(cluster)
    taint = {"key": "example.com/old", "effect": "PreferNoSchedule"}
    await cluster.merge(NODE, first, {"spec": {"taints": [taint]}})
    await cluster.pod()
    assert await cluster.scheduled() == second


async def test_a_pod_waits_for_its_node_to_be_made(cluster: ContractCluster) -> None:
    await cluster.pod()
    assert await cluster.refused() == "no nodes available to schedule pods"
    node = await cluster.node()
    assert await cluster.scheduled() == node.name


async def test_a_pod_waits_for_a_node_to_be_labelled(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.pod(nodeSelector={ZONE: "late"})
    assert await cluster.refused() == refusal(f"1 {NO_MATCH}")
    await cluster.merge(NODE, node.name, {"metadata": {"labels": {ZONE: "late"}}})
    assert await cluster.scheduled() == node.name


def asking(**requests: str) -> list[dict[str, Any]]:
    """Containers that ask for that much."""
    return [{"name": "main", "image": "server", "resources": {"requests": requests}}]


async def test_a_pod_that_asks_for_too_much_is_told_of_what(cluster: ContractCluster) -> None:
    await cluster.node(capacity={"cpu": "2", "memory": "1Gi", "pods": "10"})
    await cluster.pod(containers=asking(cpu="3", memory="2Gi"))
    assert await cluster.refused() == refusal("1 Insufficient cpu, 1 Insufficient memory")


async def test_what_pods_have_is_not_given_twice(cluster: ContractCluster) -> None:
    node = await cluster.node(capacity={"cpu": "1", "memory": "1Gi", "pods": "10"})
    await cluster.pod("first", containers=asking(cpu="600m"))
    assert await cluster.scheduled("first") == node.name
    await cluster.pod("second", containers=asking(cpu="600m"))
    assert await cluster.refused("second") == refusal("1 Insufficient cpu", preemption=NO_VICTIMS)
    await cluster.delete(POD, "first")
    assert await cluster.scheduled("second") == node.name


async def test_a_node_takes_so_many_pods(cluster: ContractCluster) -> None:
    await cluster.node(capacity={"cpu": "8", "memory": "1Gi", "pods": "1"})
    await cluster.pod("first")
    await cluster.scheduled("first")
    await cluster.pod("second")
    assert await cluster.refused("second") == refusal("1 Too many pods", preemption=NO_VICTIMS)


async def test_a_device_that_no_node_has_is_insufficient(cluster: ContractCluster) -> None:
    await cluster.node()
    devices = {"nvidia.com/gpu": "1"}
    container = {"name": "main", "image": "server", "resources": {"limits": devices, "requests": devices}}
    await cluster.pod(containers=[container])
    assert await cluster.refused() == refusal("1 Insufficient nvidia.com/gpu")


async def test_each_reason_is_counted(cluster: ContractCluster) -> None:
    first, _ = await two_zones(cluster)
    await cluster.node("c", labels={ZONE: "a"}, capacity={"cpu": "1", "memory": "1Gi", "pods": "10"})
    await cluster.merge(NODE, first, {"spec": {"unschedulable": True}})
    await cluster.until(NODE, first, lambda found: bool(found["spec"].get("taints")))
    await cluster.pod(nodeSelector={ZONE: "a"}, containers=asking(cpu="2"))
    reasons = f"1 Insufficient cpu, 1 {NO_MATCH}, 1 node(s) were unschedulable"
    assert await cluster.refused() == refusal(reasons, nodes=3)


async def test_the_pods_of_another_scheduler_are_left_alone(cluster: ContractCluster) -> None:
    await cluster.node()
    await cluster.pod("foreign", schedulerName="another")
    await cluster.pod("own")
    await cluster.scheduled("own")
    foreign = await cluster.get(POD, "foreign")
    assert "nodeName" not in foreign["spec"]
    assert condition_of(foreign, "PodScheduled") == {}


async def test_a_pod_that_says_its_node_is_not_scheduled(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.merge(NODE, node.name, {"spec": {"unschedulable": True}})
    await cluster.pod(nodeName=node.name)
    pod = await cluster.until(POD, "web", lambda found: found["status"]["phase"] == "Running")
    assert pod["spec"]["nodeName"] == node.name


async def test_a_pod_with_a_gate_is_held_back(cluster: ContractCluster) -> None:
    await cluster.node()
    await cluster.pod(schedulingGates=[{"name": "example.com/wait"}])
    await cluster.pod("other")
    await cluster.scheduled("other")
    gated = await cluster.get(POD, "web")
    condition = condition_of(gated, "PodScheduled")
    assert (condition["status"], condition["reason"]) == ("False", "SchedulingGated")
    assert condition["message"] == "Scheduling is blocked due to non-empty scheduling gates"
    await cluster.merge(POD, "web", {"spec": {"schedulingGates": []}})
    await cluster.scheduled()
