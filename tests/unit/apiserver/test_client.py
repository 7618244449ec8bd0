"""The ClusterClient port on the in-memory server."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator

import msgspec
import pytest
import yaml

from cachecore.errors import AlreadyExists, Conflict, Expired, NotFound
from cachecore.ports import Patch, PatchType, Watch, WatchEvent, WatchEventType
from cachecore.resources.core import Node
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import LocalModelCache, LocalModelCacheSpec, LocalModelCacheStatus
from cachesim.apiserver import InMemoryClient
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION
from cachesim.apiserver.testing import ContractApi
from cachesim.apiserver.testing_cluster import Cluster

CRDS = pathlib.Path(__file__).parents[3] / "crds"
SPEC = LocalModelCacheSpec(source_model_uri="s3://bucket/iris", model_size="1Gi", node_groups=("workers",))


async def client_of(cluster: Cluster) -> InMemoryClient:
    for path in sorted(CRDS.glob("serving.kserve.io_*.yaml")):
        await cluster.server.create(CUSTOM_RESOURCE_DEFINITION, yaml.safe_load(path.read_text()))
    return InMemoryClient(cluster.server, user_agent="test")


def cache(name: str = "iris") -> LocalModelCache:
    return LocalModelCache(metadata=ObjectMeta(name=name), spec=SPEC)


async def events_of(watch: Watch[LocalModelCache]) -> AsyncIterator[WatchEvent[LocalModelCache]]:
    while (event := await watch.receive()) is not None:
        yield event


def test_values_go_in_and_come_out(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        client = await client_of(cluster)
        created = await client.create(cache())
        assert created.spec == SPEC
        assert await client.get(LocalModelCache, "iris") == created
        assert (await client.list(LocalModelCache)).items == (created,)

    cluster.run(test)


def test_a_stored_object_is_decoded_once(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        first, second = await client_of(cluster), InMemoryClient(cluster.server)
        created = await first.create(cache())
        assert await second.get(LocalModelCache, "iris") is created

    cluster.run(test)


def test_a_spec_that_a_status_write_left_is_shared(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        client = await client_of(cluster)
        created = await client.create(cache())
        changed = msgspec.structs.replace(created, status=LocalModelCacheStatus(bytes_done=5))
        written = await client.update_status(changed)
        assert written.status.bytes_done == 5
        assert written.spec is created.spec
        assert written.metadata.generation == 1

    cluster.run(test)


def test_errors_are_those_of_the_tree(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        client = await client_of(cluster)
        created = await client.create(cache())
        with pytest.raises(AlreadyExists):
            await client.create(cache())
        await client.update(msgspec.structs.replace(created, spec=msgspec.structs.replace(SPEC, priority=1)))
        with pytest.raises(Conflict):
            await client.update(msgspec.structs.replace(created, spec=msgspec.structs.replace(SPEC, priority=2)))
        with pytest.raises(Conflict):
            await client.delete(LocalModelCache, "iris", uid="other")
        with pytest.raises(NotFound):
            await client.get(LocalModelCache, "other")

    cluster.run(test)


def test_a_watch_gives_typed_events_and_bookmarks(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        client = await client_of(cluster)
        listed = await client.list(LocalModelCache)
        watch = await client.watch(LocalModelCache, resource_version=listed.resource_version, timeout_seconds=10)
        created = await client.create(cache())
        await client.delete(LocalModelCache, "iris")
        events = [event async for event in events_of(watch)]
        assert [event.type for event in events] == [
            WatchEventType.ADDED,
            WatchEventType.DELETED,
            WatchEventType.BOOKMARK,
        ]
        assert events[0].resource is created
        assert events[2].resource_version == events[1].resource_version

    cluster.run(test)


def test_patches_of_every_type(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        client = await client_of(cluster)
        await client.create(cache())
        merged = await client.patch(LocalModelCache, "iris", Patch(body={"spec": {"priority": 1}}))
        operations = [{"op": "replace", "path": "/spec/priority", "value": 2}]
        changed = await client.patch(LocalModelCache, "iris", Patch(type=PatchType.JSON, body=operations))
        body = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "LocalModelCache", "spec": {"priority": 3}}
        applied = await client.patch(
            LocalModelCache, "iris", Patch(type=PatchType.APPLY, body=body, field_manager="test", force=True)
        )
        assert [each.spec.priority for each in (merged, changed, applied)] == [1, 2, 3]

    cluster.run(test)


def test_a_node_that_carries_labels(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        client = InMemoryClient(cluster.server)
        await client.create(Node(metadata=ObjectMeta(name="n1", labels={"zone": "a"})))
        await client.create(Node(metadata=ObjectMeta(name="n2", labels={"zone": "b"})))
        found = await client.list(Node, label_selector="zone=b")
        assert [node.name for node in found.items] == ["n2"]

    cluster.run(test)


def test_values_of_old_versions_are_forgotten(cluster: Cluster) -> None:
    async def test(api: ContractApi) -> None:
        client = await client_of(cluster)
        current = await client.create(cache())
        for number in range(6000):
            status = LocalModelCacheStatus(bytes_done=number)
            current = await client.update_status(msgspec.structs.replace(current, status=status))
        assert len(cluster.server.decoded) < 5000

    cluster.run(test)


def test_a_watch_from_too_far_back_says_so_when_it_is_read() -> None:
    cluster = Cluster(watch_history_events=1)

    async def test(api: ContractApi) -> None:
        client = await client_of(cluster)
        revision = (await client.list(LocalModelCache)).resource_version
        for name in ("a", "b", "c"):
            await client.create(cache(name))
        watch = await client.watch(LocalModelCache, resource_version=revision)
        with pytest.raises(Expired):
            await watch.receive()
        assert await watch.receive() is None

    cluster.run(test)
