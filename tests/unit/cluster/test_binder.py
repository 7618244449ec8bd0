from __future__ import annotations

from typing import Any

from cachecore.errors import NotFound
from cachecore.ports import Patch
from cachecore.resources.core import PersistentVolume, PersistentVolumeClaim, Pod
from cachesim.binder import VolumeBinder

KEPT = {"claimRef": {"namespace": "default", "name": "model"}}


def start(cluster: Any) -> None:
    cluster.runtime.spawn(VolumeBinder(cluster.runtime, cluster.client).run(), name="binder")


async def phases(cluster: Any, volume: str = "disk", claim: str = "model") -> tuple[str, str]:
    await cluster.runtime.sleep(5)
    found_volume = await cluster.see(PersistentVolume, volume)
    found_claim = await cluster.see(PersistentVolumeClaim, claim)
    return found_volume.status.phase, found_claim.status["phase"]


def test_a_claim_that_names_its_volume_is_bound(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.volume("disk", **KEPT)
        claim = await cluster.claim("model", volumeName="disk")
        assert await phases(cluster) == ("Bound", "Bound")
        volume = await cluster.see(PersistentVolume, "disk")
        assert volume.spec["claimRef"]["uid"] == claim.uid

    cluster.run(scene())


def test_a_claim_without_a_volume_name_gets_the_smallest_that_fits(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.volume("huge", capacity={"storage": "100Gi"})
        await cluster.volume("small", capacity={"storage": "1Gi"})
        await cluster.volume("disk", capacity={"storage": "20Gi"})
        await cluster.claim("model")
        assert await phases(cluster) == ("Bound", "Bound")

    cluster.run(scene())


def test_a_claim_that_waits_is_bound_when_its_volume_comes(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.claim("model", volumeName="disk")
        await cluster.runtime.sleep(5)
        assert (await cluster.see(PersistentVolumeClaim, "model")).status["phase"] == "Pending"
        await cluster.volume("disk", **KEPT)
        assert await phases(cluster) == ("Bound", "Bound")

    cluster.run(scene())


def test_a_volume_outlives_its_claim_and_refuses_the_next_of_its_name(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.volume("disk", **KEPT)
        await cluster.claim("model", volumeName="disk")
        await phases(cluster)
        await cluster.client.delete(PersistentVolumeClaim, "model", namespace="default")
        await cluster.runtime.sleep(5)
        assert (await cluster.see(PersistentVolume, "disk")).status.phase == "Released"
        await cluster.claim("model", volumeName="disk")
        assert await phases(cluster) == ("Released", "Pending")

    cluster.run(scene())


def test_a_released_volume_serves_again_when_the_uid_is_taken_off(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.volume("disk", claimRef={"namespace": "default", "name": "model", "uid": "of-another-time"})
        await cluster.claim("model", volumeName="disk")
        assert await phases(cluster) == ("Released", "Pending")
        freed = {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
        await cluster.client.patch(PersistentVolume, "disk", Patch(body=freed))
        assert await phases(cluster) == ("Bound", "Bound")

    cluster.run(scene())


def test_a_claim_is_lost_with_its_volume(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.volume("disk", **KEPT)
        await cluster.claim("model", volumeName="disk")
        await phases(cluster)
        await cluster.client.patch(PersistentVolume, "disk", Patch(body={"metadata": {"finalizers": None}}))
        await cluster.client.delete(PersistentVolume, "disk")
        await cluster.runtime.sleep(5)
        assert (await cluster.see(PersistentVolumeClaim, "model")).status["phase"] == "Lost"

    cluster.run(scene())


def test_a_volume_that_is_too_small_is_not_bound(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.volume("disk", capacity={"storage": "1Gi"})
        await cluster.claim("model", volumeName="disk")
        assert await phases(cluster) == ("Available", "Pending")

    cluster.run(scene())


def test_a_claim_stays_while_a_pod_uses_it(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.claim("model", volumeName="disk")
        volumes = [{"name": "model", "persistentVolumeClaim": {"claimName": "model"}}]
        await cluster.pod("user", nodeName="node-1", volumes=volumes)
        await cluster.client.delete(PersistentVolumeClaim, "model", namespace="default")
        await cluster.runtime.sleep(5)
        assert (await cluster.see(PersistentVolumeClaim, "model")).being_deleted
        await cluster.client.delete(Pod, "user", namespace="default", grace_period_seconds=0)
        await cluster.runtime.sleep(5)
        assert await gone(cluster, PersistentVolumeClaim, "model")

    cluster.run(scene())


def test_a_bound_volume_stays_until_its_claim_has_gone(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.volume("disk", **KEPT)
        await cluster.claim("model", volumeName="disk")
        await phases(cluster)
        await cluster.client.delete(PersistentVolume, "disk")
        await cluster.runtime.sleep(5)
        assert (await cluster.see(PersistentVolume, "disk")).being_deleted
        await cluster.client.delete(PersistentVolumeClaim, "model", namespace="default")
        await cluster.runtime.sleep(5)
        assert await gone(cluster, PersistentVolume, "disk")

    cluster.run(scene())


def test_what_is_bound_is_not_written_again(cluster: Any) -> None:
    async def scene() -> None:
        start(cluster)
        await cluster.volume("disk", **KEPT)
        await cluster.claim("model", volumeName="disk")
        await phases(cluster)
        before = cluster.server.revision
        await cluster.runtime.sleep(3600)
        assert cluster.server.revision == before

    cluster.run(scene())


async def gone(cluster: Any, kind: Any, name: str) -> bool:
    try:
        await cluster.see(kind, name)
    except NotFound:
        return True
    return False
