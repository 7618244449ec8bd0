"""When a cache may go: not before its data, or the node that has it, has gone."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore import names
from cachecore.resources.core import Node, PersistentVolume
from cachecore.resources.meta import ObjectMeta, OwnerReference
from cachecore.resources.serving import (
    CopyState,
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelInfo,
    LocalModelNamespaceCache,
    LocalModelNode,
    LocalModelNodeSpec,
    LocalModelNodeStatus,
    ModelCopyStatus,
)
from cachemanager.deletion import blockers_among
from cachemanager.fleet import Fleet
from cachemanager.identity import CacheId

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


def _fleet(*names: str) -> Fleet:
    """The node, and caches of one model."""
    fleet = Fleet()
    fleet.put_node("n1", Node(metadata=ObjectMeta(name="n1", uid="node-uid")))
    for name in names:
        spec = LocalModelCacheSpec(source_model_uri=URI, model_size="1Gi", node_groups=("workers",))
        fleet.put_cache(CacheId("", name), LocalModelCache(metadata=ObjectMeta(name=name), spec=spec))
    return fleet


def _read(*, listed: bool = False, told: str = "", uid: str = "node-uid", observed: int = 1) -> LocalModelNode:
    """What a read of the nodes answers just before a finalizer goes."""
    owner = OwnerReference(api_version="v1", kind="Node", name="n1", uid=uid)
    entry = LocalModelInfo(model_name="iris", source_model_uri=URI)
    copy = ModelCopyStatus(key=KEY, source_model_uri=URI, state=CopyState(told)) if told else None
    return LocalModelNode(
        metadata=ObjectMeta(name="n1", generation=1, owner_references=(owner,)),
        spec=LocalModelNodeSpec(local_models=(entry,) if listed else ()),
        status=LocalModelNodeStatus(models=(copy,) if copy else (), observed_generation=observed),
    )


@pytest.mark.parametrize(
    ("local", "blockers"),
    [
        (_read(), []),
        (_read(listed=True), ["n1: the model is still on its list"]),
        (_read(told="Downloaded"), ["n1: its copy is Downloaded"]),
        (_read(observed=0), []),
        (_read(listed=True, uid="an earlier node's"), []),
    ],
    ids=["nothing", "listed", "told", "never reported", "of an earlier node"],
)
def test_what_a_read_of_the_nodes_shows_counts(local: LocalModelNode, blockers: list[str]) -> None:
    fleet = _fleet("iris")
    cache = fleet.caches[CacheId("", "iris")]
    assert blockers_among([local], fleet, cache) == blockers
    # Nobody has heard of the node: what is read of it may be of one that has gone.
    assert blockers_among([local], Fleet(), cache) == []


def test_what_a_read_shows_for_another_cache_of_the_same_model_stays() -> None:
    fleet = _fleet("iris", "twin")
    held = _read(listed=True, told="Downloaded")
    assert blockers_among([held], fleet, fleet.caches[CacheId("", "iris")]) == ["n1: the model is still on its list"]
    assert blockers_among([held], fleet, fleet.caches[CacheId("", "twin")]) == []
