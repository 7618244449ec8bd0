"""Nodes as they come, go, return, fall silent; and what pods on them need."""

from __future__ import annotations

from typing import Any

from cachecore import names
from cachecore.resources.core import Node, PersistentVolumeClaim, Pod
from cachecore.resources.serving import CopyState, LocalModelCache, LocalModelNode

URI = "s3://models/iris"
KEY = names.storage_key(URI)
LABEL = names.node_ready_label(KEY)


async def ready(cluster: Any, *nodes: str) -> None:
    for name in nodes or ("n1", "n2"):
        await cluster.add_node(name)
    await cluster.add_group()
    await cluster.add_cache()
    await cluster.settle()


def test_a_node_that_returns_under_its_name_starts_from_nothing(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        old = await cluster.client.get(LocalModelNode, "n1")
        cluster.agents.down.add("n1")
        await cluster.client.delete(Node, "n1")
        node = await cluster.add_node("n1")
        await cluster.settle()
        local = await cluster.client.get(LocalModelNode, "n1")
        assert local.uid != old.uid
        assert [one.uid for one in local.metadata.owner_references] == [node.uid]
        assert (await cluster.cache()).status.node_status["n1"] == "NodeDownloadPending"
        assert LABEL not in (await cluster.client.get(Node, "n1")).metadata.labels

    cluster.run(test)


def test_a_silent_node_keeps_its_copy_and_its_assignment(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.set_ready("n2", False)
        await cluster.settle()
        assert await cluster.listed("n2") == ["iris"]
        assert (await cluster.cache()).status.node_status["n2"] == "NodeDownloaded"

    cluster.run(test)


def test_a_silent_node_without_a_copy_is_not_ready(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        cluster.agents.states["n2", KEY] = CopyState.DOWNLOADING
        await ready(cluster)
        await cluster.set_ready("n2", False)
        await cluster.settle()
        assert (await cluster.cache()).status.node_status["n2"] == "NodeNotReady"
        assert await cluster.condition("Degraded") == ("True", "NodeNotReady")

    cluster.run(test)


def test_a_node_that_is_not_ready_gets_no_new_models_until_it_is(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n3", ready=False)
        await ready(cluster)
        assert await cluster.listed("n3") == []
        await cluster.set_ready("n3", True)
        await cluster.settle()
        assert await cluster.listed("n3") == ["iris"]

    cluster.run(test)


def test_the_label_goes_when_the_copy_starts_to_go(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        cluster.agents.states["n1", KEY] = CopyState.EVICTING
        cluster.agents.wake("n1")
        await cluster.settle(1)
        assert LABEL not in (await cluster.client.get(Node, "n1")).metadata.labels

    cluster.run(test)


def test_the_label_goes_before_the_entry_does(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster, "n1")
        await cluster.client.delete(LocalModelCache, "iris")
        while await cluster.listed("n1"):
            await cluster.settle(0.01)
        assert LABEL not in (await cluster.client.get(Node, "n1")).metadata.labels

    cluster.run(test)


def test_a_label_of_no_model_is_taken_off(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.patch(Node, "n1", {"metadata": {"labels": {names.node_ready_label("0" * 16): "ready"}}})
        await cluster.settle()
        labels = (await cluster.client.get(Node, "n1")).metadata.labels
        assert names.node_ready_label("0" * 16) not in labels
        assert LABEL in labels

    cluster.run(test)


def test_a_pod_that_carries_the_key_makes_its_node_hold_the_model(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster, "n1")
        await cluster.add_node("n2")
        await cluster.patch(LocalModelCache, "iris", {"spec": {"copies": 1}})
        await cluster.settle()
        held = [name for name in ("n1", "n2") if await cluster.listed(name)]
        assert held == ["n1"]
        await cluster.add_pod("server", URI, node="n2")
        await cluster.settle()
        local = await cluster.client.get(LocalModelNode, "n2")
        assert [(entry.model_name, entry.referenced) for entry in local.spec.local_models] == [("iris", True)]

    cluster.run(test)


def test_a_pod_in_another_namespace_is_no_demand_for_a_namespace_cache(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.patch(Node, "n1", {"spec": {"unschedulable": True}})
        await cluster.add_group()
        await cluster.add_cache(namespace="team-b")
        await cluster.add_pod("server", URI, node="n1", namespace="team-a")
        await cluster.settle()
        assert await cluster.listed("n1") == []

    cluster.run(test)


def test_a_pod_is_given_its_claims(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_pod("server", URI, claim="iris-workers")
        await cluster.settle()
        assert (await cluster.claim("iris-workers")).status["phase"] == "Bound"
        await cluster.client.delete(Pod, "server", namespace="team-a", grace_period_seconds=0)
        await cluster.settle()
        assert not await cluster.exists(PersistentVolumeClaim, "iris-workers", "team-a")

    cluster.run(test)


def test_a_service_makes_its_model_referenced_on_every_node(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await ready(cluster)
        await cluster.add_service()
        await cluster.settle()
        local = await cluster.client.get(LocalModelNode, "n2")
        assert [entry.referenced for entry in local.spec.local_models] == [True]

    cluster.run(test)


def test_a_lost_node_moves_only_its_copies(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        for number in range(6):
            await cluster.add_node(f"n{number}")
        await cluster.add_group()
        for number in range(6):
            await cluster.add_cache(f"m{number}", copies=2)
        await cluster.settle()
        before = {f"m{n}": set((await cluster.cache(f"m{n}")).status.node_status) for n in range(6)}
        await cluster.client.delete(Node, "n0")
        await cluster.settle()
        for name, nodes in before.items():
            after = set((await cluster.cache(name)).status.node_status)
            assert len(after) == 2
            assert nodes - {"n0"} <= after

    cluster.run(test)


def test_copies_spread_over_the_nodes_with_most_room(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        for number in range(4):
            await cluster.add_node(f"n{number}")
        await cluster.add_group()
        for number in range(8):
            await cluster.add_cache(f"m{number}", copies=1)
        await cluster.settle()
        assert [len(await cluster.listed(f"n{number}")) for number in range(4)] == [2, 2, 2, 2]

    cluster.run(test)


def test_a_cache_with_more_copies_than_nodes_says_so(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache(copies=3)
        await cluster.settle()
        assert await cluster.condition("Ready") == ("False", "TooFewNodes")
        assert (await cluster.cache()).status.copies.total == 3

    cluster.run(test)


def test_a_copy_moves_to_the_pod_and_the_old_one_goes_when_the_new_one_is_whole(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache(copies=1)
        await cluster.settle()
        await cluster.add_node("n2")
        cluster.agents.states["n2", KEY] = CopyState.DOWNLOADING
        await cluster.add_pod("server", URI, node="n2")
        await cluster.settle()
        assert [await cluster.listed(name) for name in ("n1", "n2")] == [["iris"], ["iris"]]
        cluster.agents.states.clear()
        cluster.agents.wake("n2")
        await cluster.settle()
        assert [await cluster.listed(name) for name in ("n1", "n2")] == [[], ["iris"]]

    cluster.run(test)


def test_a_copy_beyond_the_wanted_ones_stays_for_a_while_after_its_pod(cluster: Any) -> None:
    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_node("n2")
        await cluster.add_group()
        await cluster.add_cache(copies=1)
        for name in ("n1", "n2"):
            await cluster.add_pod(f"server-{name}", URI, node=name)
        await cluster.settle()
        await cluster.client.delete(Pod, "server-n2", namespace="team-a", grace_period_seconds=0)
        await cluster.settle(240)
        assert await cluster.listed("n2") == ["iris"]
        await cluster.settle(120)
        assert [await cluster.listed(name) for name in ("n1", "n2")] == [["iris"], []]

    cluster.run(test)


def test_a_node_that_comes_back_is_told_nothing_until_it_is_told_its_models(cluster: Any) -> None:
    """A new Node is NotReady at first; an empty spec would make its agent clear the disk that it came back with."""

    async def test(cluster: Any) -> None:
        await cluster.add_node("n1")
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.add_node("n2", ready=False)
        await cluster.settle()
        assert not await cluster.exists(LocalModelNode, "n2")
        await cluster.set_ready("n2", True)
        await cluster.settle()
        local = await cluster.client.get(LocalModelNode, "n2")
        assert [entry.model_name for entry in local.spec.local_models] == ["iris"]
        assert local.metadata.generation == 1

    cluster.run(test)
