"""A storage class that waits for the first consumer: the scheduler chooses volume and node together."""

from __future__ import annotations

from cachesim.apiserver.builtin import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from cachesim.node.testing import ContractCluster, affinity, required


async def delayed(cluster: ContractCluster) -> None:
    """The test's class waits for the first consumer, as that of local volumes does."""
    await cluster.create(
        STORAGE_CLASS,
        {
            "metadata": {"name": cluster.storage_class},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
    )


def on_node(name: str) -> dict[str, object]:
    return affinity(key="kubernetes.io/hostname", operator="In", values=[name])


async def test_a_claim_waits_for_its_first_consumer(cluster: ContractCluster) -> None:
    await delayed(cluster)
    volume = await cluster.volume()
    await cluster.volume_phase(volume, "Available")
    await cluster.claim()
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "WaitForFirstConsumer")
    assert (event["type"], event["message"]) == (
        "Normal",
        "waiting for first consumer to be created before binding",
    )
    assert (await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))["status"]["phase"] == "Pending"
    assert (await cluster.volume_phase(volume, "Available"))["spec"].get("claimRef") is None


async def test_a_claim_is_bound_where_its_pod_can_run(cluster: ContractCluster) -> None:
    await delayed(cluster)
    first, second = await cluster.node("first"), await cluster.node("second")
    await cluster.volume("on-first", nodeAffinity=on_node(first.name))
    volume = await cluster.volume("on-second", nodeAffinity=on_node(second.name))
    for name in ("on-first", "on-second"):
        await cluster.volume_phase(cluster.unique(name), "Available")
    await cluster.claim()
    wanted = required(key="kubernetes.io/hostname", operator="In", values=[second.name])
    await cluster.pod(claim="model", affinity=wanted)
    assert await cluster.scheduled() == second.name
    assert (await cluster.bound())["spec"]["volumeName"] == volume
    found = await cluster.volume_phase(volume, "Bound")
    assert found["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}


async def test_a_pod_follows_the_only_volume(cluster: ContractCluster) -> None:
    await delayed(cluster)
    await cluster.node("first")
    second = await cluster.node("second")
    volume = await cluster.volume(nodeAffinity=on_node(second.name))
    await cluster.volume_phase(volume, "Available")
    await cluster.claim()
    await cluster.pod(claim="model")
    assert await cluster.scheduled() == second.name


async def test_a_pod_waits_for_a_volume_to_be_had(cluster: ContractCluster) -> None:
    await delayed(cluster)
    await cluster.node()
    await cluster.claim()
    await cluster.pod(claim="model")
    said = await cluster.refused()
    assert said.startswith("0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.")
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "WaitForPodScheduled")
    assert event["message"] == "waiting for pod web to be scheduled"
    await cluster.volume()
    await cluster.scheduled()
    await cluster.bound()


async def test_a_claim_that_names_its_volume_waits_for_nobody(cluster: ContractCluster) -> None:
    await delayed(cluster)
    volume = await cluster.volume()
    await cluster.claim(volumeName=volume)
    await cluster.bound()


async def test_a_volume_that_is_kept_for_a_claim_waits_for_nobody(cluster: ContractCluster) -> None:
    await delayed(cluster)
    volume = await cluster.volume(claimRef={"namespace": cluster.namespace, "name": "model"})
    await cluster.claim()
    assert (await cluster.bound())["spec"]["volumeName"] == volume


async def test_a_pod_that_says_its_node_binds_no_claim(cluster: ContractCluster) -> None:
    await delayed(cluster)
    node = await cluster.node()
    volume = await cluster.volume()
    await cluster.claim()
    await cluster.pod(claim="model", nodeName=node.name)
    await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "WaitForFirstConsumer")
    assert (await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))["status"]["phase"] == "Pending"
    assert "claimRef" not in (await cluster.get(PERSISTENT_VOLUME, volume))["spec"]
