"""The volumes and claims of a cache."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachecore import names
from cachecore.resources.core import PersistentVolume, VolumeStatus
from cachecore.resources.meta import JsonObject, ObjectMeta
from cachecore.resources.serving import (
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelNamespaceCache,
    LocalModelNodeGroup,
    LocalModelNodeGroupSpec,
)
from cachemanager.volumes import (
    ClaimName,
    CreateClaim,
    CreateVolume,
    DeleteClaim,
    DeleteVolume,
    desired_claim,
    desired_volume,
    label_value,
    plan_volumes,
)

URI = "s3://models/iris"
SPEC = LocalModelCacheSpec(source_model_uri=URI, model_size="1Gi", node_groups=("workers",))
CACHE = LocalModelCache(metadata=ObjectMeta(name="iris", uid="cache-uid"), spec=SPEC)
CLAIM = ClaimName("team-a", "iris-workers")


def group(volume: JsonObject | None = None, **spec: Any) -> LocalModelNodeGroup:
    source = volume if volume is not None else {"local": {"path": "/data/"}}
    made = LocalModelNodeGroupSpec(storage_limit="10Gi", persistent_volume_spec=source, **spec)
    return LocalModelNodeGroup(metadata=ObjectMeta(name="workers"), spec=made)


def plan(volume: PersistentVolume | None, *, claim: bool = True, in_use: bool = False) -> list[type]:
    made = desired_claim(CACHE, group(), "team-a")
    present = msgspec.structs.replace(made, status={"phase": "Bound"})
    actions = plan_volumes(
        CACHE,
        [group()],
        ["team-a"],
        {volume.name: volume} if volume is not None else {},
        {CLAIM: present} if claim else {},
        [CLAIM] if in_use else [],
    ).actions
    return [type(action) for action in actions]


def test_the_volume_is_the_view_of_one_model() -> None:
    volume = desired_volume(CACHE, group(), "team-a")
    assert volume.name == "iris-workers-team-a"
    assert volume.spec["local"] == {"path": f"/data/{names.storage_key(URI)}"}
    assert volume.spec["persistentVolumeReclaimPolicy"] == "Retain"
    assert (volume.spec["claimRef"]["namespace"], volume.spec["claimRef"]["name"]) == CLAIM


def test_a_host_path_is_a_view_too() -> None:
    volume = desired_volume(CACHE, group({"hostPath": {"path": "/data", "type": "Directory"}}), "team-a")
    assert volume.spec["hostPath"] == {"path": f"/data/{names.storage_key(URI)}", "type": "Directory"}
    assert "local" not in volume.spec
    # The kubelet mounts no host path that has any.
    assert "mountOptions" not in volume.spec


@pytest.mark.parametrize(
    ("given", "wanted"),
    [([], ["ro"]), (["noatime"], ["noatime", "ro"]), (["rw"], ["ro"]), (["ro", "noatime"], ["noatime", "ro"])],
)
def test_a_volume_is_mounted_read_only_whatever_a_pod_asks_for(given: list[str], wanted: list[str]) -> None:
    volume = desired_volume(CACHE, group({"local": {"path": "/data"}, "mountOptions": given}), "team-a")
    assert volume.spec["mountOptions"] == wanted


def test_the_claim_names_its_volume_and_takes_its_class() -> None:
    claim = desired_claim(CACHE, group({"local": {"path": "/data"}, "storageClassName": "fast"}), "team-a")
    assert (claim.namespace, claim.name) == CLAIM
    assert claim.spec["volumeName"] == "iris-workers-team-a"
    assert claim.spec["storageClassName"] == "fast"


def test_the_affinity_of_the_volume_has_the_node_selector() -> None:
    term = {"matchExpressions": [{"key": "pool", "operator": "Exists"}]}
    affinity = {"required": {"nodeSelectorTerms": [term]}}
    volume = desired_volume(
        CACHE, group({"local": {"path": "/data"}, "nodeAffinity": affinity}, node_selector={"disk": "nvme"}), "team-a"
    )
    expressions = volume.spec["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"]
    assert [one["key"] for one in expressions] == ["pool", "disk"]


def test_nothing_in_a_namespace_owns_a_volume() -> None:
    cache = LocalModelNamespaceCache(metadata=ObjectMeta(name="iris", namespace="team-a", uid="uid"), spec=SPEC)
    assert desired_volume(cache, group(), "team-a").metadata.owner_references == ()
    assert desired_claim(cache, group(), "team-a").metadata.owner_references[0].uid == "uid"


def test_a_cluster_cache_owns_both() -> None:
    for made in (desired_volume(CACHE, group(), "team-a"), desired_claim(CACHE, group(), "team-a")):
        assert [one.uid for one in made.metadata.owner_references] == ["cache-uid"]


@pytest.mark.parametrize(
    ("phase", "made"),
    [(None, [CreateVolume, CreateClaim]), ("Pending", []), ("Available", [CreateClaim]), ("Released", [DeleteVolume])],
)
def test_a_claim_is_made_once_kubernetes_knows_its_volume(phase: str | None, made: list[type]) -> None:
    volume = desired_volume(CACHE, group(), "team-a")
    present = None if phase is None else msgspec.structs.replace(volume, status=VolumeStatus(phase=phase))
    assert plan(present, claim=False) == made


def test_what_is_right_is_left_alone() -> None:
    assert plan(desired_volume(CACHE, group(), "team-a")) == []


@pytest.mark.parametrize("phase", ["Released", "Failed"])
def test_a_stranded_volume_is_replaced(phase: str) -> None:
    volume = desired_volume(CACHE, group(), "team-a")
    stranded = msgspec.structs.replace(volume, status=VolumeStatus(phase=phase))
    assert plan(stranded) == [DeleteVolume]


def test_an_outdated_volume_is_replaced_with_its_claim() -> None:
    outdated = desired_volume(CACHE, group({"local": {"path": "/old"}}), "team-a")
    assert plan(outdated) == [DeleteClaim, DeleteVolume]


def test_an_outdated_volume_in_use_is_left_alone() -> None:
    outdated = desired_volume(CACHE, group({"local": {"path": "/old"}}), "team-a")
    assert plan(outdated, in_use=True) == []


def test_a_volume_of_an_earlier_cache_of_that_name_is_replaced() -> None:
    earlier = msgspec.structs.replace(CACHE, metadata=ObjectMeta(name="iris", uid="earlier-uid"))
    assert DeleteVolume in plan(desired_volume(earlier, group(), "team-a"))


def test_what_nobody_needs_goes() -> None:
    volume, claim = desired_volume(CACHE, group(), "team-a"), desired_claim(CACHE, group(), "team-a")
    actions = plan_volumes(CACHE, [group()], [], {volume.name: volume}, {CLAIM: claim}, []).actions
    assert [type(action) for action in actions] == [DeleteClaim, DeleteVolume]


def test_a_long_name_still_makes_a_label() -> None:
    first, second = label_value("a" * 200), label_value("a" * 201)
    assert len(first) <= 63
    assert first != second
