from __future__ import annotations

from typing import Any

from cachecore.errors import NotFound
from cachecore.resources.core import Node, Pod
from cachesim.node import LifecycleOptions, NodeLifecycle
from cachesim.node import Node as Kubelet


def start(cluster: Any) -> Any:
    """A node that runs one pod, and its power."""
    lifecycle = NodeLifecycle(cluster.runtime, cluster.client, LifecycleOptions())
    cluster.runtime.spawn(lifecycle.run(), name="lifecycle")
    return power_on(cluster)


def power_on(cluster: Any) -> Any:
    kubelet = Kubelet(cluster.runtime, cluster.client, "node-1", cluster.machine())
    return cluster.runtime.spawn(kubelet.run(), name="kubelet")


def taints(node: Node) -> list[str]:
    return [taint.key for taint in node.spec.taints]


def test_a_silent_node_becomes_not_ready_and_is_tainted(cluster: Any) -> None:
    async def scene() -> None:
        power = start(cluster)
        await cluster.pod(nodeName="node-1")
        await cluster.until(lambda pod: pod.ready, Pod, "web")
        power.cancel()
        await cluster.runtime.sleep(30)
        assert (await cluster.see(Node, "node-1")).ready
        await cluster.runtime.sleep(20)
        node = await cluster.see(Node, "node-1")
        assert {one.status for one in node.status.conditions} == {"Unknown"}
        assert taints(node) == ["node.kubernetes.io/unreachable"] * 2
        assert not (await cluster.see(Pod, "web")).ready

    cluster.run(scene())


def test_a_node_that_is_heard_again_loses_its_taints(cluster: Any) -> None:
    async def scene() -> None:
        power = start(cluster)
        await cluster.runtime.sleep(1)
        power.cancel()
        await cluster.runtime.sleep(60)
        power_on(cluster)
        await cluster.runtime.sleep(10)
        node = await cluster.see(Node, "node-1")
        assert node.ready
        assert taints(node) == []

    cluster.run(scene())


def test_pods_of_a_silent_node_are_deleted_after_a_while(cluster: Any) -> None:
    async def scene() -> None:
        power = start(cluster)
        await cluster.pod(nodeName="node-1")
        await cluster.pod("patient", nodeName="node-1", tolerations=[{"operator": "Exists"}])
        await cluster.runtime.sleep(1)
        power.cancel()
        await cluster.runtime.sleep(300)
        assert not (await cluster.see(Pod, "web")).being_deleted
        await cluster.runtime.sleep(60)
        assert (await cluster.see(Pod, "web")).being_deleted
        assert not (await cluster.see(Pod, "patient")).being_deleted

    cluster.run(scene())


def test_pods_of_a_deleted_node_are_collected(cluster: Any) -> None:
    async def scene() -> None:
        power = start(cluster)
        await cluster.pod(nodeName="node-1")
        await cluster.runtime.sleep(1)
        power.cancel()
        await cluster.client.delete(Node, "node-1")
        await cluster.runtime.sleep(60)
        assert await gone(cluster, "web")

    cluster.run(scene())


async def gone(cluster: Any, pod: str) -> bool:
    try:
        await cluster.see(Pod, pod)
    except NotFound:
        return True
    return False
