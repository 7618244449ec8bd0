"""What becomes of a node that is not heard of, or not well, and of the pods on it."""

from __future__ import annotations

import pytest

from cachesim.apiserver.builtin import LEASE, NODE, POD
from cachesim.apiserver.resources import JsonObject
from cachesim.node.testing import OWNER, ContractCluster, condition_of, taints_of

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
BOTH = ["NoExecute", "NoSchedule"]


async def set_ready(cluster: ContractCluster, node: str, status: str) -> None:
    """What a kubelet says of its node."""
    ready = {"type": "Ready", "status": status, "reason": "Test", "message": "said by the test"}
    await cluster.merge(NODE, node, {"status": {"conditions": [ready]}}, subresource="status")


async def running(cluster: ContractCluster, name: str) -> JsonObject:
    """The pod, once it is ready."""
    return await cluster.until(POD, name, lambda found: condition_of(found, "Ready").get("status") == "True")


def tolerating(seconds: int | None, key: str = UNREACHABLE) -> list[JsonObject]:
    toleration: JsonObject = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return [toleration if seconds is None else {**toleration, "tolerationSeconds": seconds}]


async def silent(cluster: ContractCluster, node: str) -> JsonObject:
    """The node, once the silence has been noticed and its taints are there."""
    return await cluster.until(NODE, node, lambda found: taints_of(found, UNREACHABLE) == BOTH)


async def test_a_new_node_is_tainted_until_it_is_ready(cluster: ContractCluster) -> None:
    node = await cluster.bare_node()
    assert "NoSchedule" in taints_of(await cluster.get(NODE, node), NOT_READY)
    await set_ready(cluster, node, "True")
    await cluster.until(NODE, node, lambda found: not found["spec"].get("taints"))


async def test_a_node_that_says_nothing_is_tainted_at_first(cluster: ContractCluster) -> None:
    metadata = {"name": cluster.unique("node"), "labels": {OWNER: cluster.namespace}}
    created = await cluster.create(NODE, {"metadata": metadata})
    assert created["spec"]["taints"] == [{"key": NOT_READY, "effect": "NoSchedule"}]
    assert sorted(created["status"]) == ["daemonEndpoints", "nodeInfo"]
    assert set(created["status"]["nodeInfo"].values()) == {""}
    # Nothing says that it is not ready.
    await cluster.until(NODE, cluster.unique("node"), lambda found: not found["spec"].get("taints"))


async def test_a_new_node_keeps_its_own_taints(cluster: ContractCluster) -> None:
    own = {"key": "example.com/gpu", "effect": "NoSchedule"}
    node = await cluster.bare_node(taints=[own])
    await set_ready(cluster, node, "True")
    found = await cluster.until(NODE, node, lambda found: not taints_of(found, NOT_READY))
    assert found["spec"]["taints"] == [own]


async def test_a_new_node_that_is_not_ready_gets_no_pods(cluster: ContractCluster) -> None:
    node = await cluster.bare_node()
    await cluster.pod()
    assert "1 node(s) had untolerated taint(s)" in await cluster.refused()
    await set_ready(cluster, node, "True")
    assert await cluster.scheduled() == node


async def test_a_node_that_does_not_say_how_much_it_has_has_nothing(cluster: ContractCluster) -> None:
    metadata = {"name": cluster.unique("node"), "labels": {OWNER: cluster.namespace}}
    ready = {"type": "Ready", "status": "True"}
    await cluster.create(NODE, {"metadata": metadata, "status": {"conditions": [ready]}})
    await cluster.pod()
    assert "1 Too many pods" in await cluster.refused(saying="Too many pods")


async def test_a_silent_node_is_unknown_and_unreachable(cluster: ContractCluster) -> None:
    await cluster.node("healthy")
    node = await cluster.node("silent")
    await node.power_off()
    found = await silent(cluster, node.name)
    ready = condition_of(found, "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert ready["message"] == "Kubelet stopped posting node status."
    assert {one["status"] for one in found["status"]["conditions"]} == {"Unknown"}
    assert taints_of(found, NOT_READY) == []
    (since,) = (one for one in found["spec"]["taints"] if one["effect"] == "NoExecute")
    assert since["timeAdded"]


async def test_a_node_that_is_heard_again_is_as_before(cluster: ContractCluster) -> None:
    await cluster.node("healthy")
    node = await cluster.node("silent")
    await node.power_off()
    await silent(cluster, node.name)
    await node.power_on()
    found = await cluster.until(NODE, node.name, lambda found: not found["spec"].get("taints"))
    assert condition_of(found, "Ready")["status"] == "True"


async def test_the_pods_of_a_silent_node_are_not_ready(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.pod()
    before = condition_of(await running(cluster, "web"), "Ready")
    await node.power_off()
    pod = await cluster.until(POD, "web", lambda found: condition_of(found, "Ready")["status"] == "False")
    after = condition_of(pod, "Ready")
    assert after.get("reason") == before.get("reason")
    assert condition_of(pod, "ContainersReady")["status"] == "True"
    assert pod["status"]["phase"] == "Running"


async def test_while_every_node_is_silent_none_is_tainted_to_evict(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.pod(tolerations=tolerating(60))
    await running(cluster, "web")
    await node.power_off()
    # Not at once: Kubernetes may taint the node to evict before it has noticed that all are silent, and takes it back.
    await cluster.until(NODE, node.name, lambda found: taints_of(found, UNREACHABLE) == ["NoSchedule"])
    await cluster.until(POD, "web", lambda found: condition_of(found, "Ready")["status"] == "False")
    assert "deletionTimestamp" not in (await cluster.get(POD, "web"))["metadata"]


async def test_a_node_that_says_it_is_not_ready_is_tainted(cluster: ContractCluster) -> None:
    await cluster.node("healthy")
    node = await cluster.bare_node("sick")
    found = await cluster.until(NODE, node, lambda found: taints_of(found, NOT_READY) == BOTH)
    assert taints_of(found, UNREACHABLE) == []
    await set_ready(cluster, node, "True")
    await cluster.until(NODE, node, lambda found: not found["spec"].get("taints"))


async def test_a_node_under_disk_pressure_is_tainted(cluster: ContractCluster) -> None:
    node = await cluster.bare_node()
    pressure = {"type": "DiskPressure", "status": "True", "reason": "Test", "message": "full"}
    ready = {"type": "Ready", "status": "True", "reason": "Test", "message": "well"}
    await cluster.merge(NODE, node, {"status": {"conditions": [ready, pressure]}}, subresource="status")
    key = "node.kubernetes.io/disk-pressure"
    found = await cluster.until(
        NODE, node, lambda found: not taints_of(found, NOT_READY) and taints_of(found, key) != []
    )
    assert taints_of(found, key) == ["NoSchedule"]


async def test_a_pod_that_tolerates_no_silence_is_evicted(cluster: ContractCluster) -> None:
    await cluster.node("healthy")
    node = await cluster.node("silent", labels={"example.com/for": "web"})
    selector = {"example.com/for": "web"}
    await cluster.pod("impatient", nodeSelector=selector, tolerations=tolerating(0))
    await cluster.pod("brief", nodeSelector=selector, tolerations=tolerating(1))
    await cluster.pod("patient", nodeSelector=selector, tolerations=tolerating(None))
    await cluster.pod("usual", nodeSelector=selector)
    for name in ("impatient", "brief", "patient", "usual"):
        await running(cluster, name)
    await node.power_off()
    for name in ("impatient", "brief"):
        pod = await cluster.until(POD, name, lambda found: "deletionTimestamp" in found["metadata"])
        target = condition_of(pod, "DisruptionTarget")
        assert (target["status"], target["reason"]) == ("True", "DeletionByTaintManager")
        assert target["message"] == "Taint manager: deleting due to NoExecute taint"
    for name in ("patient", "usual"):
        assert "deletionTimestamp" not in (await cluster.get(POD, name))["metadata"]


async def test_a_pod_evicted_from_a_silent_node_stays_until_the_node_is_heard(cluster: ContractCluster) -> None:
    await cluster.node("healthy")
    node = await cluster.node("silent", labels={"example.com/for": "web"})
    await cluster.pod(nodeSelector={"example.com/for": "web"}, tolerations=tolerating(0))
    await running(cluster, "web")
    await node.power_off()
    await cluster.until(POD, "web", lambda found: "deletionTimestamp" in found["metadata"])
    await silent(cluster, node.name)
    assert await cluster.exists(POD, "web")
    await node.power_on()
    await cluster.gone(POD, "web")


async def test_a_taint_of_ones_own_evicts_at_once(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await cluster.pod("web")
    await cluster.pod("tolerant", tolerations=[{"operator": "Exists"}])
    for name in ("web", "tolerant"):
        await running(cluster, name)
    taint = {"key": "example.com/drain", "effect": "NoExecute"}
    await cluster.merge(NODE, node.name, {"spec": {"taints": [taint]}})
    await cluster.gone(POD, "web")
    assert "deletionTimestamp" not in (await cluster.get(POD, "tolerant"))["metadata"]


async def test_a_pod_bears_a_sick_node_for_five_minutes(cluster: ContractCluster) -> None:
    pod = await cluster.pod(schedulerName="nobody")
    assert pod["spec"]["tolerations"] == tolerating(300, NOT_READY) + tolerating(300)


@pytest.mark.parametrize("key", [NOT_READY, UNREACHABLE], ids=["not-ready", "unreachable"])
async def test_a_pods_own_patience_is_left_alone(cluster: ContractCluster, key: str) -> None:
    other = UNREACHABLE if key == NOT_READY else NOT_READY
    pod = await cluster.pod(schedulerName="nobody", tolerations=tolerating(7, key))
    assert pod["spec"]["tolerations"] == tolerating(7, key) + tolerating(300, other)


async def test_a_pod_that_tolerates_everything_is_left_alone(cluster: ContractCluster) -> None:
    pod = await cluster.pod(schedulerName="nobody", tolerations=[{"operator": "Exists"}])
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]


async def test_a_node_renews_its_lease(cluster: ContractCluster) -> None:
    node = await cluster.node()
    lease = await cluster.verbs.get(LEASE, node.name, "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == node.name
    before = lease["spec"]["renewTime"]

    async def renewed() -> bool:
        found = await cluster.verbs.get(LEASE, node.name, "kube-node-lease")
        return bool(found["spec"]["renewTime"] > before)

    await cluster.eventually(renewed)


async def test_a_nodes_lease_goes_with_it(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await node.power_off()
    await cluster.delete(NODE, node.name)

    async def gone() -> bool:
        leases = await cluster.verbs.list(LEASE, namespace="kube-node-lease")
        return node.name not in [item["metadata"]["name"] for item in leases["items"]]

    await cluster.eventually(gone)


async def test_a_node_may_be_deleted_and_come_back(cluster: ContractCluster) -> None:
    node = await cluster.node()
    uid = (await cluster.get(NODE, node.name))["metadata"]["uid"]
    await node.power_off()
    await cluster.delete(NODE, node.name)
    await node.power_on()
    found = await cluster.until(NODE, node.name, lambda found: not found["spec"].get("taints"))
    assert found["metadata"]["uid"] != uid
    assert condition_of(found, "Ready")["status"] == "True"


async def test_a_silent_node_gets_no_new_pods(cluster: ContractCluster) -> None:
    node = await cluster.node()
    await node.power_off()
    await cluster.until(NODE, node.name, lambda found: taints_of(found, UNREACHABLE) != [])
    await cluster.pod()
    assert "1 node(s) had untolerated taint(s)" in await cluster.refused()
    await node.power_on()
    assert await cluster.scheduled() == node.name
