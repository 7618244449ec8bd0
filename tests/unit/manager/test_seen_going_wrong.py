"""What was seen going wrong with local model controllers in the field, each one a behaviour of ours."""

from __future__ import annotations

from typing import Any

import msgspec

from cachecore import names
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim
from cachecore.resources.serving import (
    CopyState,
    InferenceService,
    LocalModelCache,
    LocalModelNode,
    LocalModelNodeGroup,
    LocalModelNodeStatus,
    ModelStatusValue,
)

URI = "s3://models/iris"
KEY = names.storage_key(URI)


async def ready(cluster: Any, *nodes: str) -> None:
    for name in nodes or ("n1", "n2"):
        await cluster.add_node(name)
    await cluster.add_group()
    await cluster.add_cache()
    await cluster.settle()


def test_a_service_made_again_gets_a_bound_claim(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        for _ in range(2):
            await cluster.add_service()
            await cluster.settle()
            first = await cluster.claim("iris-workers")
            assert first.status["phase"] == "Bound"
            await cluster.client.delete(InferenceService, "classifier", namespace="team-a")
            await cluster.settle()

    cluster.run(test)


def test_a_claim_deleted_by_hand_is_made_again_and_bound(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_service()
        await cluster.settle()
        before = await cluster.claim("iris-workers")
        await cluster.client.delete(PersistentVolumeClaim, "iris-workers", namespace="team-a")
        await cluster.settle()
        after = await cluster.claim("iris-workers")
        assert after.uid != before.uid
        assert after.status["phase"] == "Bound"

    cluster.run(test)


def test_a_volume_that_failed_is_made_again(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_service()
        await cluster.settle()
        volume = await cluster.volume("iris-workers-team-a")
        await cluster.client.delete(PersistentVolumeClaim, "iris-workers", namespace="team-a")
        failed = msgspec.structs.replace(volume.status, phase="Failed")
        await cluster.client.update_status(
            msgspec.structs.replace(await cluster.volume("iris-workers-team-a"), status=failed)
        )
        await cluster.settle()
        assert (await cluster.volume("iris-workers-team-a")).uid != volume.uid
        assert (await cluster.claim("iris-workers")).status["phase"] == "Bound"

    cluster.run(test)


def test_a_status_that_names_no_copy_is_not_believed(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        cluster.agents.down.add("n1")
        await ready(cluster, "n1")
        local = await cluster.client.get(LocalModelNode, "n1")
        claimed = LocalModelNodeStatus(model_status={"iris": ModelStatusValue.DOWNLOADED})
        await cluster.client.update_status(msgspec.structs.replace(local, status=claimed))
        await cluster.settle()
        assert (await cluster.cache()).status.node_status == {"n1": "NodeDownloadPending"}

    cluster.run(test)


def test_a_copy_lost_later_is_no_longer_downloaded(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cluster.agents.states["n1", KEY] = CopyState.PENDING
        cluster.agents.wake("n1")
        await cluster.settle()
        assert (await cluster.cache()).status.node_status["n1"] == "NodeDownloadPending"
        assert (await cluster.condition("Ready"))[0] == "False"
        assert names.node_ready_label(KEY) not in (await cluster.client.get(Node, "n1")).metadata.labels

    cluster.run(test)


def test_a_cache_made_again_with_another_uri_inherits_nothing(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster, "n1")
        cluster.agents.down.add("n1")
        await cluster.client.delete(LocalModelCache, "iris")
        # Somebody takes the finalizer off: the agent is down, and the old copy is still reported.
        await cluster.patch(LocalModelCache, "iris", {"metadata": {"finalizers": None}})
        await cluster.add_cache(uri="s3://models/other")
        await cluster.settle()
        cache = await cluster.cache()
        assert cache.status.node_status == {"n1": "NodeDownloadPending"}
        assert cache.status.copies.available == 0

    cluster.run(test)


def test_a_deleted_node_is_no_longer_counted(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.client.delete(Node, "n2")
        await cluster.settle()
        cache = await cluster.cache()
        assert (cache.status.copies.total, list(cache.status.node_status)) == (1, ["n1"])
        assert not await cluster.exists(LocalModelNode, "n2")

    cluster.run(test)


def test_a_local_model_node_deleted_by_hand_is_made_again(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.client.delete(LocalModelNode, "n1")
        await cluster.settle()
        assert await cluster.listed("n1") == ["iris"]

    cluster.run(test)


def test_a_node_that_joins_by_a_label_gets_the_models(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster, "n1")
        await cluster.add_node("n2", pool="cpu")
        await cluster.settle()
        assert not await cluster.exists(LocalModelNode, "n2")
        await cluster.patch(Node, "n2", {"metadata": {"labels": {"pool": "gpu"}}})
        await cluster.settle()
        assert await cluster.listed("n2") == ["iris"]

    cluster.run(test)


def test_a_node_that_leaves_by_a_label_gives_up_its_models(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.patch(Node, "n2", {"metadata": {"labels": {"pool": "cpu"}}})
        await cluster.settle()
        assert await cluster.listed("n2") == []
        assert list((await cluster.cache()).status.node_status) == ["n1"]

    cluster.run(test)


def test_a_cache_in_deletion_finishes_though_its_group_is_gone(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.client.delete(LocalModelNodeGroup, "workers")
        await cluster.client.delete(LocalModelCache, "iris")
        await cluster.settle()
        assert not await cluster.exists(LocalModelCache, "iris")
        assert (await cluster.client.get(LocalModelNode, "n1")).status.models == ()

    cluster.run(test)


def test_a_changed_path_of_the_group_changes_its_volumes(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_service()
        await cluster.settle()
        body = {"spec": {"persistentVolumeSpec": {"local": {"path": "/data/models"}}}}
        await cluster.patch(LocalModelNodeGroup, "workers", body)
        await cluster.settle()
        assert (await cluster.volume("iris-workers-team-a")).spec["local"]["path"] == f"/data/models/{KEY}"
        assert (await cluster.claim("iris-workers")).status["phase"] == "Bound"
        assert (await cluster.client.get(LocalModelNode, "n1")).spec.storage.path == "/data/models"

    cluster.run(test)


def test_a_volume_that_a_pod_mounts_is_not_replaced(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_service()
        await cluster.add_pod("server", URI, node="n1", claim="iris-workers")
        await cluster.settle()
        before = await cluster.volume("iris-workers-team-a")
        body = {"spec": {"persistentVolumeSpec": {"local": {"path": "/data/models"}}}}
        await cluster.patch(LocalModelNodeGroup, "workers", body)
        await cluster.settle()
        after = await cluster.volume("iris-workers-team-a")
        assert (after.uid, after.being_deleted) == (before.uid, False)
        assert await cluster.condition("Degraded") == ("True", "VolumeProblem")

    cluster.run(test)


def test_a_model_larger_than_the_limit_is_not_assigned_and_says_so(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group(limit="1Gi")
        await cluster.add_cache(size="10Gi")
        await cluster.settle()
        assert await cluster.listed("n1") == []
        assert (await cluster.cache()).status.node_status == {"n1": "NodeInsufficientStorage"}
        assert await cluster.condition("Ready") == ("False", "InsufficientStorage")
        assert await cluster.condition("Degraded") == ("True", "InsufficientStorage")

    cluster.run(test)


def test_the_status_of_a_group_tells_the_fullest_node(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cluster.agents.states["n1", KEY] = CopyState.PENDING
        cluster.agents.wake("n1")
        await cluster.settle()
        status = (await cluster.client.get(LocalModelNodeGroup, "workers")).status
        assert (status.used, status.available, status.nodes, status.ready_nodes) == ("1Gi", "99Gi", 2, 2)

    cluster.run(test)


def test_a_cordoned_node_gets_no_new_models(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_node("n2")
        await cluster.patch(Node, "n2", {"spec": {"unschedulable": True}})
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.settle()
        assert await cluster.listed("n2") == []
        assert await cluster.condition("Ready") == ("True", "AllCopiesReady")
        message = next(one.message for one in (await cluster.cache()).status.conditions if one.type == "Ready")
        assert "n2 (cordoned)" in message

    cluster.run(test)


def test_a_tainted_node_gets_no_new_models(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_node("n2")
        await cluster.patch(Node, "n2", {"spec": {"taints": [{"key": "team", "value": "x", "effect": "NoSchedule"}]}})
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.settle()
        assert await cluster.listed("n2") == []

    cluster.run(test)


def test_a_node_keeps_its_models_when_it_is_cordoned_later(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.patch(Node, "n2", {"spec": {"unschedulable": True}})
        await cluster.settle()
        assert await cluster.listed("n2") == ["iris"]
        assert await cluster.condition("Ready") == ("True", "AllCopiesReady")

    cluster.run(test)


def test_two_groups_over_the_same_nodes_give_one_entry_that_never_flips(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group("zeta")
        await cluster.add_group("alpha")
        await cluster.add_cache(groups=("zeta", "alpha"))
        await cluster.settle()
        local = await cluster.client.get(LocalModelNode, "n1")
        assert [entry.node_group for entry in local.spec.local_models] == ["zeta"]
        await cluster.settle(700)
        assert (await cluster.client.get(LocalModelNode, "n1")).metadata.generation == local.metadata.generation

    cluster.run(test)


def test_the_objects_of_a_group_taken_off_a_cache_go(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_node("n2", pool="cpu")
        await cluster.add_group("gpus")
        await cluster.add_group("cpus", pool="cpu")
        await cluster.add_cache(groups=("gpus", "cpus"))
        await cluster.add_service()
        await cluster.settle()
        assert await cluster.exists(PersistentVolume, "iris-cpus-team-a")
        await cluster.patch(LocalModelCache, "iris", {"spec": {"nodeGroups": ["gpus"]}})
        await cluster.settle()
        assert not await cluster.exists(PersistentVolume, "iris-cpus-team-a")
        assert not await cluster.exists(PersistentVolumeClaim, "iris-cpus", "team-a")
        assert await cluster.listed("n2") == []

    cluster.run(test)
