from __future__ import annotations

from typing import Any

import pytest

from cachecore.ports import Patch
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from cachesim.binder import VolumeBinder
from cachesim.scheduler import Scheduler


def start(cluster: Any) -> None:
    cluster.runtime.spawn(Scheduler(cluster.runtime, cluster.client).run(), name="scheduler")


async def node_of(cluster: Any, pod: str) -> str:
    await cluster.runtime.sleep(2)
    found: Pod = await cluster.see(Pod, pod)
    return found.spec.node_name


async def refusal_of(cluster: Any, pod: str) -> str:
    await cluster.runtime.sleep(2)
    found: Pod = await cluster.see(Pod, pod)
    (condition,) = (one for one in found.status.conditions if one.type == "PodScheduled")
    assert (condition.status, condition.reason, found.spec.node_name) == ("False", "Unschedulable", "")
    return condition.message


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels}}


def preferring(**labels: str) -> dict[str, Any]:
    expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]
    term = {"weight": 100, "preference": {"matchExpressions": expressions}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_pods_are_spread_over_the_nodes(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.node("node-1")
        await cluster.node("node-2")
        for number in range(4):
            await cluster.pod(f"web-{number}")
        found = [await node_of(cluster, f"web-{number}") for number in range(4)]
        assert sorted(found) == ["node-1", "node-1", "node-2", "node-2"]

    cluster.run(scene())


def test_a_preferred_node_wins_over_an_emptier_one(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.node("node-1")
        await cluster.node("node-2", **labelled(warm="yes"))
        for number in range(3):
            await cluster.pod(f"web-{number}", affinity=preferring(warm="yes"))
            assert await node_of(cluster, f"web-{number}") == "node-2"

    cluster.run(scene())


@pytest.mark.parametrize(
    "node, reason",
    [
        ({"ready": False}, "1 node(s) had untolerated taint(s)"),
        ({"spec": {"unschedulable": True}}, "1 node(s) were unschedulable"),
        ({"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}}, "1 node(s) had untolerated taint(s)"),
        ({"metadata": {"labels": {"zone": "b"}}}, "1 node(s) didn't match Pod's node affinity/selector"),
        ({"allocatable": {"pods": "0"}, "metadata": {"labels": {"zone": "a"}}}, "1 Too many pods"),
    ],
)
def test_a_node_is_refused(cluster: Any, node: dict[str, Any], reason: str) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.node("node-1", **node)
        await cluster.pod("web", nodeSelector={"zone": "a"})
        assert (await refusal_of(cluster, "web")).startswith(f"0/1 nodes are available: {reason}. ")

    cluster.run(scene())


def test_resources_are_counted(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.node("node-1", allocatable={"pods": "110", "cpu": "1"})
        half = [{"name": "main", "image": "server", "resources": {"requests": {"cpu": "600m"}}}]
        await cluster.pod("first", containers=half)
        assert await node_of(cluster, "first") == "node-1"
        await cluster.pod("second", containers=half)
        assert (await refusal_of(cluster, "second")).startswith("0/1 nodes are available: 1 Insufficient cpu. ")

    cluster.run(scene())


def test_a_pod_waits_for_a_node(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.pod("web")
        assert await node_of(cluster, "web") == ""
        await cluster.node("node-1")
        assert await node_of(cluster, "web") == "node-1"

    cluster.run(scene())


def test_a_pod_waits_for_its_claim_and_follows_its_volume(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        cluster.runtime.spawn(VolumeBinder(cluster.runtime, cluster.client).run(), name="binder")
        await cluster.node("node-1", **labelled(disk="no"))
        await cluster.node("node-2", **labelled(disk="yes"))
        volumes = [{"name": "model", "persistentVolumeClaim": {"claimName": "model"}}]
        await cluster.pod("web", volumes=volumes)
        assert 'persistentvolumeclaim "model" not found' in await refusal_of(cluster, "web")
        await cluster.claim("model", volumeName="disk")
        assert "unbound immediate PersistentVolumeClaims" in await refusal_of(cluster, "web")
        terms = [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["yes"]}]}]
        await cluster.volume("disk", nodeAffinity={"required": {"nodeSelectorTerms": terms}})
        assert await node_of(cluster, "web") == "node-2"

    cluster.run(scene())


def test_a_volume_of_another_node_is_a_conflict(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.node("node-1")
        terms = [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
        volume = await cluster.volume("disk", nodeAffinity={"required": {"nodeSelectorTerms": terms}})
        await cluster.claim("model", volumeName=volume.name)
        bound = Patch(body={"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}})
        await cluster.client.patch(PersistentVolumeClaim, "model", bound, namespace="default")
        await cluster.pod("web", volumes=[{"name": "m", "persistentVolumeClaim": {"claimName": "model"}}])
        assert "1 node(s) didn't match PersistentVolume's node affinity" in await refusal_of(cluster, "web")
        assert (await cluster.see(PersistentVolume, "disk")).spec["nodeAffinity"]["required"]

    cluster.run(scene())


def test_nothing_is_written_while_a_pod_waits_for_the_same_reason(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.node("node-1", ready=False)
        await cluster.pod("web")
        await refusal_of(cluster, "web")
        before = cluster.server.revision
        relabel = Patch(body={"metadata": {"labels": {"other": "label"}}})
        await cluster.client.patch(Node, "node-1", relabel)
        await cluster.runtime.sleep(60)
        assert cluster.server.revision == before + 1

    cluster.run(scene())
