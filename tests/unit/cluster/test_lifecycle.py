from __future__ import annotations

from typing import Any

from cachecore.errors import NotFound
from cachecore.ports import Patch
from cachecore.resources.core import Lease, Node, Pod
from cachesim.node import LifecycleOptions, NodeLifecycle
from cachesim.node import Node as Kubelet


def start(cluster: Any, healthy: int = 1) -> Any:
    """The power of `node-1`, beside which so many healthy nodes are."""
    lifecycle = NodeLifecycle(cluster.runtime, cluster.client, LifecycleOptions())
    cluster.runtime.spawn(lifecycle.run(), name="lifecycle")
    for number in range(healthy):
        power_on(cluster, f"healthy-{number}")
    return power_on(cluster)


def power_on(cluster: Any, name: str = "node-1") -> Any:
    kubelet = Kubelet(cluster.runtime, cluster.client, name, cluster.machine())
    return cluster.runtime.spawn(kubelet.run(), name=name)


def taints(node: Node) -> list[str]:
    return [taint.key for taint in node.spec.taints]


def effects(node: Node) -> list[str]:
    return [taint.effect for taint in node.spec.taints]


def test_a_silent_node_becomes_not_ready_and_is_tainted(cluster: Any) -> None:
    async def scene() -> None:
        power = start(cluster)
        await cluster.pod(nodeName="node-1")
        await cluster.until(lambda pod: pod.ready, Pod, "web")
        power.cancel()
        await cluster.runtime.sleep(40)
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
        await cluster.runtime.sleep(330)
        assert not (await cluster.see(Pod, "web")).being_deleted
        await cluster.runtime.sleep(60)
        assert (await cluster.see(Pod, "web")).being_deleted
        assert not (await cluster.see(Pod, "patient")).being_deleted

    cluster.run(scene())


def test_a_node_that_never_said_anything_is_unknown_after_a_minute(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.create(Node, {"metadata": {"name": "mute"}})
        await cluster.runtime.sleep(50)
        assert (await cluster.see(Node, "mute")).status.conditions == ()
        await cluster.runtime.sleep(20)
        node = await cluster.see(Node, "mute")
        assert {one.reason for one in node.status.conditions} == {"NodeStatusNeverUpdated"}
        assert taints(node) == ["node.kubernetes.io/unreachable"] * 2

    cluster.run(scene())


def test_a_node_with_a_wrong_clock_is_heard_all_the_same(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.runtime.sleep(1)
        await cluster.node("slow")
        await cluster.create(Lease, {"metadata": {"name": "slow", "namespace": "kube-node-lease"}})
        for number in range(20):
            await cluster.runtime.sleep(10)
            renewed = {"spec": {"renewTime": f"2001-01-01T00:00:{number:02}.000000Z"}}
            await cluster.client.patch(Lease, "slow", Patch(body=renewed), namespace="kube-node-lease")
        assert (await cluster.see(Node, "slow")).ready
        await cluster.runtime.sleep(60)
        assert not (await cluster.see(Node, "slow")).ready

    cluster.run(scene())


def test_few_nodes_lose_their_pods_at_once(cluster: Any) -> None:
    async def scene() -> None:
        lifecycle = NodeLifecycle(cluster.runtime, cluster.client, LifecycleOptions(eviction_rate=0.02))
        cluster.runtime.spawn(lifecycle.run(), name="lifecycle")
        powers = [power_on(cluster, f"node-{number}") for number in range(5)]
        await cluster.runtime.sleep(1)
        for power in powers[:2]:
            power.cancel()
        await cluster.runtime.sleep(70)
        evicting = ["NoExecute" in effects(await cluster.see(Node, f"node-{number}")) for number in range(2)]
        assert sorted(evicting) == [False, True]
        await cluster.runtime.sleep(50)
        assert all([("NoExecute" in effects(await cluster.see(Node, f"node-{number}"))) for number in range(2)])

    cluster.run(scene())


def test_when_most_nodes_are_silent_none_loses_its_pods(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster, healthy=2).cancel()
        powers = [power_on(cluster, f"silent-{number}") for number in range(3)]
        await cluster.runtime.sleep(1)
        for power in powers:
            power.cancel()
        await cluster.runtime.sleep(600)
        assert effects(await cluster.see(Node, "silent-0")) == ["NoSchedule"]

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
