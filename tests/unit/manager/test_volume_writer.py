"""What was decided about volumes is looked at once more before a claim goes."""

from __future__ import annotations

import msgspec
import pytest

from cachecore.controller.informer import Informer
from cachecore.errors import NotFound
from cachecore.names import POD_KEY_LABEL, storage_key
from cachecore.resources.core import (
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimVolume,
    Pod,
    PodSpec,
    PodStatus,
    Volume,
)
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import LocalModelCache, LocalModelCacheSpec
from cachecore.testing import FakeCluster, VirtualRuntime
from cachemanager.volume_writer import VolumeWriter
from cachemanager.volumes import CreateClaim, CreateVolume, DeleteClaim

URI = "s3://models/iris"
CACHE = LocalModelCache(
    metadata=ObjectMeta(name="iris"),
    spec=LocalModelCacheSpec(source_model_uri=URI, model_size="1Gi", node_groups=("workers",)),
)


class _Desk:
    def __init__(self) -> None:
        self.runtime = VirtualRuntime()
        self.cluster = FakeCluster(self.runtime)
        self.writer = VolumeWriter(
            self.cluster,
            Informer(self.runtime, self.cluster, PersistentVolume),
            Informer(self.runtime, self.cluster, PersistentVolumeClaim),
        )
        self.claim = self.runtime.run(
            self.cluster.create(PersistentVolumeClaim(metadata=ObjectMeta(name="iris-workers", namespace="team-a")))
        )

    def start_pod(self, phase: str = "Running") -> None:
        """A pod of the model, which the manager's watch has not shown."""
        mounted = PersistentVolumeClaimVolume(claim_name=self.claim.name)
        pod = Pod(
            metadata=ObjectMeta(name="p", namespace="team-a", labels={POD_KEY_LABEL: storage_key(URI)}),
            spec=PodSpec(volumes=(Volume(name="model", persistent_volume_claim=mounted),)),
        )
        made = self.runtime.run(self.cluster.create(pod))
        told = msgspec.structs.replace(made, status=PodStatus(phase=phase))
        self.runtime.run(self.cluster.update_status(told))

    def delete_claim(self, cache: LocalModelCache | None = CACHE) -> None:
        action = DeleteClaim(claim=self.claim, reason="nothing uses it")
        self.runtime.run(self.writer.apply([action], cache))

    def claim_is_there(self) -> bool:
        try:
            self.runtime.run(self.cluster.get(PersistentVolumeClaim, self.claim.name, "team-a"))
        except NotFound:
            return False
        return True


@pytest.fixture
def desk() -> _Desk:
    return _Desk()


def test_a_claim_that_nothing_mounts_goes(desk: _Desk) -> None:
    desk.delete_claim()
    assert not desk.claim_is_there()


def test_a_claim_stays_when_a_pod_has_come_that_the_watch_has_not_shown(desk: _Desk) -> None:
    desk.start_pod()
    desk.delete_claim()
    assert desk.claim_is_there()


def test_a_pod_that_has_ended_keeps_no_claim(desk: _Desk) -> None:
    desk.start_pod(phase="Succeeded")
    desk.delete_claim()
    assert not desk.claim_is_there()


def test_with_its_cache_a_claim_goes_in_any_case(desk: _Desk) -> None:
    desk.start_pod()
    desk.delete_claim(cache=None)
    assert not desk.claim_is_there()


@pytest.mark.parametrize("taken", [False, True])
def test_a_claim_is_made_with_its_volume_only_where_that_name_is_taken(desk: _Desk, taken: bool) -> None:
    """Kubernetes binds a claim at once if it knows the volume by then; one that is taken has to be told of."""
    volume = PersistentVolume(metadata=ObjectMeta(name="iris-workers-team-b"))
    if taken:
        desk.runtime.run(desk.cluster.create(volume))
    metadata = ObjectMeta(name="iris-workers", namespace="team-b")
    claim = PersistentVolumeClaim(metadata=metadata, spec={"volumeName": volume.name})
    reason = "a service needs it"
    actions = (CreateVolume(volume=volume, reason=reason), CreateClaim(claim=claim, reason=reason))
    desk.runtime.run(desk.writer.apply(actions, CACHE))
    assert (desk.cluster.peek(PersistentVolumeClaim, "iris-workers", "team-b") is not None) is taken
