"""What becomes of a volume whose claim goes, and how long both are kept from going."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import NAMESPACE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import causes, refused, typed
from cachesim.node.testing import ContractCluster, affinity


async def bound_pair(cluster: ContractCluster, **spec: Any) -> str:
    """A volume kept for the claim `model`, and that claim, bound."""
    volume = await cluster.volume(claimRef={"namespace": cluster.namespace, "name": "model"}, **spec)
    await cluster.claim(volumeName=volume)
    await cluster.bound()
    await cluster.volume_phase(volume, "Bound")
    return volume


def being_deleted(found: JsonObject) -> bool:
    return "deletionTimestamp" in found["metadata"]


async def test_a_retained_volume_is_released(cluster: ContractCluster) -> None:
    volume = await bound_pair(cluster)
    uid = (await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))["metadata"]["uid"]
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    released = await cluster.volume_phase(volume, "Released")
    assert released["spec"]["claimRef"]["uid"] == uid
    assert "message" not in released["status"]


async def test_a_local_volume_to_be_deleted_fails(cluster: ContractCluster) -> None:
    volume = await bound_pair(cluster, persistentVolumeReclaimPolicy="Delete")
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    failed = await cluster.volume_phase(volume, "Failed")
    why = f'error getting deleter volume plugin for volume "{volume}": no volume plugin matched'
    assert failed["status"]["message"] == why
    event = await cluster.event(PERSISTENT_VOLUME, volume, "VolumeFailedDelete")
    assert (event["type"], event["message"]) == ("Warning", why)


@pytest.mark.parametrize(("policy", "phase"), [("Retain", "Released"), ("Delete", "Failed")])
async def test_a_claim_made_again_does_not_get_its_old_volume(
    cluster: ContractCluster, policy: str, phase: str
) -> None:
    volume = await bound_pair(cluster, persistentVolumeReclaimPolicy=policy)
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    await cluster.gone(PERSISTENT_VOLUME_CLAIM, "model")
    await cluster.claim(volumeName=volume)
    await cluster.volume_phase(volume, phase)
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "FailedBinding")
    assert event["message"] == f'volume "{volume}" already bound to a different claim.'
    assert (await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))["status"]["phase"] == "Pending"


@pytest.mark.parametrize(("policy", "phase"), [("Retain", "Released"), ("Delete", "Failed")])
async def test_without_the_old_uid_the_volume_serves_the_new_claim(
    cluster: ContractCluster, policy: str, phase: str
) -> None:
    volume = await bound_pair(cluster, persistentVolumeReclaimPolicy=policy)
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    await cluster.gone(PERSISTENT_VOLUME_CLAIM, "model")
    await cluster.volume_phase(volume, phase)
    claim = await cluster.claim(volumeName=volume)
    await cluster.merge(PERSISTENT_VOLUME, volume, {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}})
    found = await cluster.volume_phase(volume, "Bound")
    assert found["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
    assert "message" not in found["status"]


async def test_a_released_volume_without_claim_is_available(cluster: ContractCluster) -> None:
    volume = await bound_pair(cluster)
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    await cluster.volume_phase(volume, "Released")
    await cluster.merge(PERSISTENT_VOLUME, volume, {"spec": {"claimRef": None}})
    await cluster.volume_phase(volume, "Available")


async def test_a_claim_stays_while_a_pod_on_a_node_uses_it(cluster: ContractCluster) -> None:
    await cluster.node()
    await bound_pair(cluster)
    await cluster.pod(claim="model")
    await cluster.scheduled()
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    assert being_deleted(await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))
    await cluster.until(POD, "web", lambda found: found["status"]["phase"] == "Running")
    held = await cluster.get(PERSISTENT_VOLUME_CLAIM, "model")
    assert held["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    await cluster.delete(POD, "web")
    await cluster.gone(PERSISTENT_VOLUME_CLAIM, "model")


async def test_a_claim_does_not_wait_for_a_pod_without_node(cluster: ContractCluster) -> None:
    await bound_pair(cluster)
    await cluster.pod(claim="model", schedulerName="nobody")
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    await cluster.gone(PERSISTENT_VOLUME_CLAIM, "model")


async def test_a_bound_volume_stays_until_its_claim_has_gone(cluster: ContractCluster) -> None:
    volume = await bound_pair(cluster)
    await cluster.delete(PERSISTENT_VOLUME, volume)
    held = await cluster.get(PERSISTENT_VOLUME, volume)
    assert being_deleted(held)
    assert held["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert (await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))["status"]["phase"] == "Bound"
    await cluster.delete(PERSISTENT_VOLUME_CLAIM, "model")
    await cluster.gone(PERSISTENT_VOLUME, volume)


async def test_a_volume_that_is_being_deleted_takes_no_claim(cluster: ContractCluster) -> None:
    volume = await cluster.volume()
    await cluster.volume_phase(volume, "Available")
    held = {"metadata": {"finalizers": ["kubernetes.io/pv-protection", "example.com/hold"]}}
    await cluster.merge(PERSISTENT_VOLUME, volume, held)
    await cluster.delete(PERSISTENT_VOLUME, volume)
    await cluster.claim(volumeName=volume)
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "VolumeMismatch")
    assert event["message"] == (
        f'Cannot bind to requested volume "{volume}": the volume is marked for deletion "{volume}"'
    )
    await cluster.merge(PERSISTENT_VOLUME, volume, {"metadata": {"finalizers": None}})


async def test_a_namespace_takes_its_claims_and_releases_their_volumes(cluster: ContractCluster) -> None:
    team = cluster.unique("team")
    await cluster.create(NAMESPACE, {"metadata": {"name": team}})
    volume = await cluster.volume(claimRef={"namespace": team, "name": "model"})
    body = {
        "metadata": {"name": "model"},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "resources": {"requests": {"storage": "10Gi"}},
            "storageClassName": cluster.storage_class,
            "volumeName": volume,
        },
    }
    await cluster.verbs.create(PERSISTENT_VOLUME_CLAIM, typed(PERSISTENT_VOLUME_CLAIM, body), namespace=team)
    await cluster.volume_phase(volume, "Bound")
    await cluster.delete(NAMESPACE, team)
    await cluster.gone(NAMESPACE, team)
    await cluster.volume_phase(volume, "Released")


async def test_a_volume_stays_where_it_is(cluster: ContractCluster) -> None:
    volume = await cluster.volume()
    elsewhere = affinity(key="zone", operator="In", values=["elsewhere"])
    with refused(422, "Invalid") as errors:
        await cluster.merge(PERSISTENT_VOLUME, volume, {"spec": {"nodeAffinity": elsewhere}})
    assert causes(errors[0]) == [("nodeAffinity", "FieldValueInvalid")]
    assert errors[0].message.endswith(": field is immutable, except for updating from beta label to GA")


async def test_a_volumes_size_and_policy_may_change(cluster: ContractCluster) -> None:
    volume = await bound_pair(cluster)
    changed = await cluster.merge(
        PERSISTENT_VOLUME,
        volume,
        {"spec": {"capacity": {"storage": "30Gi"}, "persistentVolumeReclaimPolicy": "Delete"}},
    )
    assert changed["spec"]["capacity"] == {"storage": "30Gi"}
    assert changed["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


async def test_a_bound_claim_asks_for_nothing_else(cluster: ContractCluster) -> None:
    await bound_pair(cluster)
    with refused(422, "Invalid") as errors:
        await cluster.merge(PERSISTENT_VOLUME_CLAIM, "model", {"spec": {"accessModes": ["ReadWriteOnce"]}})
    assert "spec: Forbidden: spec is immutable after creation except" in errors[0].message
