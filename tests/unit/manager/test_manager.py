"""The manager's main job, end to end: caches become ready, services get volumes, deletions finish, then silence."""

from __future__ import annotations

from typing import Any

from cachecore import names
from cachecore.errors import NotFound
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim
from cachecore.resources.serving import InferenceService, LocalModelCache, LocalModelNode

KEY = names.storage_key("s3://models/iris")


async def ready(cluster: Any) -> None:
    await cluster.add_node("n1")
    await cluster.add_node("n2")
    await cluster.add_group()
    await cluster.add_cache()
    await cluster.settle()


def test_a_cache_becomes_ready_on_every_node_of_its_group(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cache = await cluster.cache()
        assert cache.status.node_status == {"n1": "NodeDownloaded", "n2": "NodeDownloaded"}
        assert (cache.status.copies.available, cache.status.copies.total) == (2, 2)
        assert await cluster.condition("Ready") == ("True", "AllCopiesReady")
        assert cache.status.observed_generation == cache.metadata.generation

    cluster.run(test)


def test_nodes_that_hold_the_model_are_labelled(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        node = await cluster.client.get(Node, "n1")
        assert node.metadata.labels[names.node_ready_label(KEY)] == "ready"

    cluster.run(test)


def test_a_service_gets_a_bound_claim_to_the_view_of_its_model(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_service()
        await cluster.settle()
        volume = await cluster.volume("iris-workers-team-a")
        assert volume.spec["local"]["path"] == f"/var/lib/localmodel/{KEY}"
        assert (await cluster.claim("iris-workers")).status["phase"] == "Bound"
        assert [one.name for one in (await cluster.cache()).status.inference_services] == ["classifier"]

    cluster.run(test)


def test_a_converged_system_writes_nothing(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_service()
        await cluster.settle(60)
        writes, revision = cluster.manager.client.writes, cluster.server.revision
        await cluster.settle(600)
        assert cluster.manager.client.writes == writes
        # The lease is renewed, and nothing else: its writes are the test's only company.
        assert cluster.server.revision - revision <= 600

    cluster.run(test)


def test_deleting_a_cache_takes_all_that_was_made_for_it(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        service = await cluster.add_service()
        await cluster.settle()
        await cluster.client.delete(InferenceService, service.name, namespace="team-a")
        await cluster.client.delete(LocalModelCache, "iris")
        await cluster.settle()
        assert not await cluster.exists(LocalModelCache, "iris")
        assert not await cluster.exists(PersistentVolume, "iris-workers-team-a")
        assert not await cluster.exists(PersistentVolumeClaim, "iris-workers", "team-a")
        assert await cluster.listed("n1") == []
        assert names.node_ready_label(KEY) not in (await cluster.client.get(Node, "n1")).metadata.labels

    cluster.run(test)


def test_a_local_model_node_is_owned_by_its_node(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        node = await cluster.client.get(Node, "n1")
        local = await cluster.client.get(LocalModelNode, "n1")
        assert [one.uid for one in local.metadata.owner_references] == [node.uid]

    cluster.run(test)


def test_it_works_without_kserve(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        assert await cluster.condition("Ready") == ("True", "AllCopiesReady")
        try:
            await cluster.client.list(InferenceService)
        except NotFound:
            return
        raise AssertionError("the kind was there")

    cluster.run(test, services=False)
