"""When a cache may go: not before its data, or the node that has it, has gone."""

from __future__ import annotations

from typing import Any

from cachecore import names
from cachecore.resources.core import Node, PersistentVolume
from cachecore.resources.serving import LocalModelCache, LocalModelNamespaceCache, LocalModelNode

URI = "s3://models/iris"
KEY = names.storage_key(URI)


async def ready(cluster: Any) -> None:
    await cluster.add_node("n1")
    await cluster.add_group()
    await cluster.add_cache()
    await cluster.settle()


def test_it_waits_for_a_copy_that_is_still_there(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cluster.agents.kept.add(("n1", KEY))
        await cluster.client.delete(LocalModelCache, "iris")
        await cluster.settle()
        cache = await cluster.cache()
        assert await cluster.condition("Ready") == ("False", "Deleting")
        assert cache.status.node_status == {"n1": "NodeEvicting"}
        cluster.agents.kept.clear()
        cluster.agents.wake("n1")
        await cluster.settle()
        assert not await cluster.exists(LocalModelCache, "iris")

    cluster.run(test)


def test_it_waits_for_an_agent_that_is_down(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cluster.agents.down.add("n1")
        await cluster.client.delete(LocalModelCache, "iris")
        await cluster.settle(120)
        assert await cluster.exists(LocalModelCache, "iris")

    cluster.run(test)


def test_it_does_not_wait_for_a_node_that_has_gone(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cluster.agents.down.add("n1")
        await cluster.client.delete(LocalModelCache, "iris")
        await cluster.settle()
        await cluster.client.delete(Node, "n1")
        await cluster.settle()
        assert not await cluster.exists(LocalModelCache, "iris")

    cluster.run(test)


def test_it_does_not_wait_for_an_earlier_incarnation_of_the_node(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cluster.agents.down.add("n1")
        await cluster.client.delete(LocalModelCache, "iris")
        await cluster.client.delete(Node, "n1")
        await cluster.add_node("n1")
        await cluster.settle()
        assert not await cluster.exists(LocalModelCache, "iris")

    cluster.run(test)


def test_it_waits_until_the_agent_has_acted_on_the_change(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cluster.agents.down.add("n1")
        # The agent has heard of the second model, or not: nobody can tell until it has reported.
        await cluster.add_cache("rose")
        await cluster.settle()
        await cluster.client.delete(LocalModelCache, "rose")
        await cluster.settle()
        assert await cluster.exists(LocalModelCache, "rose")
        cluster.agents.down.clear()
        cluster.agents.wake("n1")
        await cluster.settle()
        assert not await cluster.exists(LocalModelCache, "rose")

    cluster.run(test)


def test_a_copy_that_another_cache_shares_stays(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_cache("iris-a", uri=URI, namespace="team-a")
        await cluster.settle()
        await cluster.client.delete(LocalModelCache, "iris")
        await cluster.settle()
        assert not await cluster.exists(LocalModelCache, "iris")
        assert [one.key for one in (await cluster.client.get(LocalModelNode, "n1")).status.models] == [KEY]
        assert (await cluster.cache("iris-a", "team-a")).status.node_status == {"n1": "NodeDownloaded"}

    cluster.run(test)


def test_a_namespace_cache_takes_its_volumes_along(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache(namespace="team-a")
        await cluster.add_service()
        await cluster.settle()
        assert (await cluster.volume("iris-workers-team-a")).metadata.owner_references == ()
        await cluster.client.delete(LocalModelNamespaceCache, "iris", namespace="team-a")
        await cluster.settle()
        assert not await cluster.exists(PersistentVolume, "iris-workers-team-a")
        assert not await cluster.exists(LocalModelNamespaceCache, "iris", "team-a")

    cluster.run(test)


def test_volumes_of_a_cache_that_vanished_go(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache(namespace="team-a")
        await cluster.add_service()
        await cluster.settle()
        await cluster.client.delete(LocalModelNamespaceCache, "iris", namespace="team-a")
        await cluster.patch(LocalModelNamespaceCache, "iris", {"metadata": {"finalizers": None}}, "team-a")
        await cluster.settle()
        assert not await cluster.exists(PersistentVolume, "iris-workers-team-a")

    cluster.run(test)
