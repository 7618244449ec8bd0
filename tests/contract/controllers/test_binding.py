"""Which claim gets which volume, and what both say then."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.apiserver.builtin import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from cachesim.node.testing import ContractCluster

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


def kept(cluster: ContractCluster, name: str = "model") -> dict[str, str]:
    """The claimRef of a volume that is kept for a claim, as KServe and we write it."""
    return {"namespace": cluster.namespace, "name": name}


async def test_a_claim_that_names_its_volume_is_bound_to_it(cluster: ContractCluster) -> None:
    volume = await cluster.volume()
    await cluster.claim(volumeName=volume)
    claim = await cluster.bound()
    assert claim["metadata"]["annotations"] == {BIND_COMPLETED: "yes"}
    found = await cluster.volume_phase(volume, "Bound")
    assert found["metadata"]["annotations"] == {BY_CONTROLLER: "yes"}
    reference = found["spec"]["claimRef"]
    assert {key: reference[key] for key in ("apiVersion", "kind", "namespace", "name", "uid")} == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": cluster.namespace,
        "name": "model",
        "uid": claim["metadata"]["uid"],
    }


async def test_a_volume_that_is_kept_for_a_claim_learns_its_uid(cluster: ContractCluster) -> None:
    volume = await cluster.volume(claimRef=kept(cluster))
    claim = await cluster.claim(volumeName=volume)
    found = await cluster.volume_phase(volume, "Bound")
    assert found["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
    assert BY_CONTROLLER not in found["metadata"].get("annotations", {})


async def test_a_kept_volume_is_bound_by_a_claim_that_names_none(cluster: ContractCluster) -> None:
    volume = await cluster.volume(claimRef=kept(cluster))
    await cluster.volume("other")
    await cluster.claim()
    claim = await cluster.bound()
    assert claim["spec"]["volumeName"] == volume
    assert claim["metadata"]["annotations"] == {BIND_COMPLETED: "yes", BY_CONTROLLER: "yes"}


async def test_a_bound_claim_says_what_it_got(cluster: ContractCluster) -> None:
    volume = await cluster.volume(capacity={"storage": "20Gi"}, accessModes=["ReadOnlyMany", "ReadWriteOnce"])
    await cluster.claim(volumeName=volume)
    status = (await cluster.bound())["status"]
    assert status["capacity"] == {"storage": "20Gi"}
    assert sorted(status["accessModes"]) == ["ReadOnlyMany", "ReadWriteOnce"]


async def test_a_claim_gets_the_smallest_volume_that_fits(cluster: ContractCluster) -> None:
    await cluster.volume("huge", capacity={"storage": "100Gi"})
    await cluster.volume("small", capacity={"storage": "1Gi"})
    await cluster.volume("large", capacity={"storage": "20Gi"})
    for name in ("huge", "small", "large"):
        await cluster.volume_phase(cluster.unique(name), "Available")
    await cluster.claim()
    assert (await cluster.bound())["spec"]["volumeName"] == cluster.unique("large")


async def test_a_claim_without_modes_to_spare_leaves_the_versatile_volume(cluster: ContractCluster) -> None:
    await cluster.volume("versatile", accessModes=["ReadOnlyMany", "ReadWriteOnce"])
    plain = await cluster.volume("plain", capacity={"storage": "20Gi"})
    for name in ("versatile", "plain"):
        await cluster.volume_phase(cluster.unique(name), "Available")
    await cluster.claim()
    assert (await cluster.bound())["spec"]["volumeName"] == plain


async def test_a_claim_waits_for_the_volume_that_it_names(cluster: ContractCluster) -> None:
    await cluster.claim(volumeName=cluster.unique("disk"))
    await cluster.volume("other")
    await cluster.volume_phase(cluster.unique("other"), "Available")
    assert (await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))["status"] == {"phase": "Pending"}
    await cluster.volume("disk")
    await cluster.bound()


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"capacity": {"storage": "1Gi"}}, "requested PV is too small"),
        ({"accessModes": ["ReadWriteOnce"]}, "incompatible accessMode"),
        ({"storageClassName": "another"}, "storageClassName does not match"),
        ({"volumeMode": "Block"}, "incompatible volumeMode"),
    ],
    ids=["size", "access-mode", "class", "volume-mode"],
)
async def test_a_volume_that_does_not_fit_is_not_bound(
    cluster: ContractCluster, volume: dict[str, Any], why: str
) -> None:
    name = await cluster.volume(**volume)
    await cluster.claim(volumeName=name)
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "VolumeMismatch")
    assert event["message"] == f'Cannot bind to requested volume "{name}": {why}'
    assert (await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))["status"]["phase"] == "Pending"
    assert (await cluster.volume_phase(name, "Available"))["spec"].get("claimRef") is None


async def test_a_volume_kept_for_a_claim_is_bound_even_if_too_small(cluster: ContractCluster) -> None:
    volume = await cluster.volume(claimRef=kept(cluster), capacity={"storage": "1Gi"})
    await cluster.claim(volumeName=volume)
    assert (await cluster.bound())["status"]["capacity"] == {"storage": "1Gi"}


async def test_a_volume_of_another_claim_leaves_the_claim_pending(cluster: ContractCluster) -> None:
    volume = await cluster.volume(claimRef=kept(cluster, "other"))
    await cluster.claim(volumeName=volume)
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "FailedBinding")
    assert (event["type"], event["message"]) == ("Warning", f'volume "{volume}" already bound to a different claim.')
    assert (await cluster.get(PERSISTENT_VOLUME_CLAIM, "model"))["status"]["phase"] == "Pending"


async def test_a_volume_whose_claim_has_another_one_is_let_go(cluster: ContractCluster) -> None:
    await cluster.claim(volumeName=await cluster.volume())
    uid = (await cluster.bound())["metadata"]["uid"]
    stray = await cluster.volume("stray", claimRef={**kept(cluster), "uid": uid})
    found = await cluster.until(
        PERSISTENT_VOLUME,
        stray,
        lambda found: "uid" not in found["spec"]["claimRef"],
    )
    assert found["spec"]["claimRef"] == kept(cluster)
    await cluster.volume_phase(stray, "Available")


async def test_two_claims_of_one_volume_are_one_too_many(cluster: ContractCluster) -> None:
    volume = await cluster.volume()
    await cluster.claim(volumeName=volume)
    await cluster.bound()
    other = {"namespace": cluster.namespace, "name": "other", "uid": "of-another-time"}
    await cluster.merge(PERSISTENT_VOLUME, volume, {"spec": {"claimRef": other}})
    await cluster.until(PERSISTENT_VOLUME_CLAIM, "model", lambda found: found["status"]["phase"] == "Lost")
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "ClaimMisbound")
    assert event["message"] == "Two claims are bound to the same volume, this one is bound incorrectly"
    await cluster.volume_phase(volume, "Released")


async def test_a_claim_of_a_class_that_nobody_defines_is_not_provisioned(cluster: ContractCluster) -> None:
    await cluster.claim()
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "ProvisioningFailed")
    assert event["message"] == f'storageclass.storage.k8s.io "{cluster.storage_class}" not found'


async def test_a_claim_without_class_waits_for_a_volume(cluster: ContractCluster) -> None:
    await cluster.claim(storageClassName="", accessModes=["ReadWriteOncePod"])
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "FailedBinding")
    assert event["type"] == "Normal"
    assert event["message"] == "no persistent volumes available for this claim and no storage class is set"


async def test_a_claim_is_lost_with_its_volume(cluster: ContractCluster) -> None:
    volume = await cluster.volume()
    await cluster.claim(volumeName=volume)
    await cluster.bound()
    await cluster.delete(PERSISTENT_VOLUME, volume)
    # Somebody who knows no better takes it away by force.
    await cluster.merge(PERSISTENT_VOLUME, volume, {"metadata": {"finalizers": None}})
    lost = await cluster.until(PERSISTENT_VOLUME_CLAIM, "model", lambda found: found["status"]["phase"] == "Lost")
    assert lost["status"] == {"phase": "Lost"}
    event = await cluster.event(PERSISTENT_VOLUME_CLAIM, "model", "ClaimLost")
    assert event["message"] == "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
