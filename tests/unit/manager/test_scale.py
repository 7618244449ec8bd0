"""What keeps a large fleet cheap: one write per node however busy its agent is, few labels, shared memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from cachecore import names
from cachecore.errors import Conflict
from cachecore.ports import Patch
from cachecore.resources.core import Node
from cachecore.resources.meta import ObjectMeta, owner_reference
from cachecore.resources.serving import (
    CopyState,
    LocalModelInfo,
    LocalModelNode,
    LocalModelNodeSpec,
    LocalModelNodeStatus,
    ModelCopyStatus,
    ModelStatusValue,
    Storage,
)
from cachecore.testing import VirtualRuntime
from cachemanager import cache_reconciler
from cachemanager.chosen import Placements
from cachemanager.fleet import Fleet
from cachemanager.manager import Manager
from cachemanager.node_reconciler import NodeReconciler
from cachemanager.options import ManagerOptions
from cachemanager.service_index import ServiceIndex
from cachemanager.sharing import Sharing
from cachesim.apiserver import ApiServer, InMemoryClient
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION
from cachesim.definitions import load_definitions

URI = "s3://models/iris"


class Scene:
    """One LocalModelNode that lists a model, and a reconciler that knows of no cache: it will clear the list."""

    def __init__(self) -> None:
        self.runtime = VirtualRuntime()
        self.server = ApiServer(self.runtime)
        self.client = InMemoryClient(self.server)

    async def start(self) -> NodeReconciler:
        for definition in load_definitions():
            await self.server.create(CUSTOM_RESOURCE_DEFINITION, definition)
        node = await self.client.create(Node(metadata=ObjectMeta(name="n1")))
        metadata = ObjectMeta(name="n1", owner_references=(owner_reference(node),))
        entry = LocalModelInfo(source_model_uri=URI, model_name="iris")
        self.local = await self.client.create(
            LocalModelNode(metadata=metadata, spec=LocalModelNodeSpec(local_models=(entry,)))
        )
        fleet = Fleet()
        fleet.put_node("n1", node)
        fleet.put_local_node("n1", self.local)
        placements = Placements(fleet, self.runtime.monotonic)
        return NodeReconciler(self.client, fleet, placements, ServiceIndex(), ManagerOptions())

    def run(self, test: Callable[[NodeReconciler], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            await test(await self.start())

        self.runtime.run(main())


def test_a_word_of_the_agent_is_no_conflict_for_the_spec_and_is_kept() -> None:
    scene = Scene()

    async def test(reconciler: NodeReconciler) -> None:
        said = msgspec.structs.replace(scene.local, status=LocalModelNodeStatus(agent_version="2"))
        await scene.client.update_status(said)
        await reconciler.reconcile("n1")
        local = await scene.client.get(LocalModelNode, "n1")
        assert (local.spec.local_models, local.status.agent_version) == ((), "2")

    scene.run(test)


def test_a_spec_that_another_leader_has_written_is_not_overwritten() -> None:
    scene = Scene()

    async def test(reconciler: NodeReconciler) -> None:
        other = (LocalModelInfo(source_model_uri=URI, model_name="other"),)
        await scene.client.update(
            msgspec.structs.replace(scene.local, spec=msgspec.structs.replace(scene.local.spec, local_models=other))
        )
        with pytest.raises(Conflict, match="another one by now"):
            await reconciler.reconcile("n1")
        assert (await scene.client.get(LocalModelNode, "n1")).spec.local_models == other

    scene.run(test)


def test_a_node_made_again_with_as_many_specs_is_not_overwritten() -> None:
    scene = Scene()

    async def test(reconciler: NodeReconciler) -> None:
        await scene.client.delete(LocalModelNode, "n1")
        metadata = ObjectMeta(name="n1", owner_references=scene.local.metadata.owner_references)
        await scene.client.create(LocalModelNode(metadata=metadata, spec=scene.local.spec))
        with pytest.raises(Conflict):
            await reconciler.reconcile("n1")

    scene.run(test)


class Recording(InMemoryClient):
    """Remembers the patches that pass through it."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__(server, user_agent="manager")
        self.patched: list[tuple[str, str]] = []

    async def patch(self, kind: Any, name: str, patch: Patch, **options: Any) -> Any:
        self.patched.append((kind.resource_type.kind, name))
        return await super().patch(kind, name, patch, **options)


def test_caches_that_come_together_get_their_finalizers_first_and_each_node_one_spec(cluster: Any) -> None:
    client = Recording(cluster.server)
    cluster.manager = Manager(cluster.runtime, client, cluster.options)

    async def test(cluster: Any) -> None:
        await cluster.add_group()
        for number in range(3):
            await cluster.add_node(f"n{number}")
        await cluster.settle()
        for number in range(12):
            await cluster.add_cache(f"m{number}")
        await cluster.settle()
        kinds = [kind for kind, _ in client.patched if kind != "Node"]
        assert kinds == ["LocalModelCache"] * 12 + ["LocalModelNode"] * 3

    cluster.run(test)


def test_a_model_that_many_nodes_shall_hold_is_labelled_on_none_of_them(cluster: Any) -> None:
    options = ManagerOptions(label_unused_up_to_nodes=2)
    cluster.manager = Manager(cluster.runtime, cluster.client, options)

    async def test(cluster: Any) -> None:
        await cluster.add_group()
        for number in range(3):
            await cluster.add_node(f"n{number}")
        await cluster.add_cache("everywhere")
        await cluster.add_cache("twice", copies=2)
        await cluster.settle()
        nodes = [await cluster.client.get(Node, f"n{number}") for number in range(3)]
        labels = [label for node in nodes for label in node.metadata.labels if label.startswith(names.DOMAIN)]
        assert labels == [names.node_ready_label(names.storage_key("s3://models/twice"))] * 2

    cluster.run(test)


def test_progress_of_many_copies_waits_but_not_the_number_of_nodes(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if there were very many.
    monkeypatch.setattr(cache_reconciler, "_PROGRESS_COPIES_PER_SECOND", 0.001)
    key = names.storage_key(URI)

    async def test(cluster: Any) -> None:
        for node in ("n1", "n2", "n3"):
            cluster.agents.states[node, key] = CopyState.DOWNLOADING
            await cluster.add_node(node)
        await cluster.add_group()
        await cluster.add_cache()
        await cluster.settle(60)
        shown = (await cluster.cache()).status.copies
        cluster.agents.states[("n1", key)] = CopyState.DOWNLOADED
        cluster.agents.wake("n1")
        await cluster.settle(60)
        assert (await cluster.cache()).status.copies == shown
        await cluster.client.delete(Node, "n3")
        await cluster.settle()
        copies = (await cluster.cache()).status.copies
        assert (copies.available, copies.total) == (1, 2)

    cluster.run(test)


def local(node: str, *, size: str = "1Gi", used: str = "2026-01-01T00:00:00Z", digest: str = "a") -> LocalModelNode:
    entry = LocalModelInfo(source_model_uri=URI, model_name="iris", size=size, storage=Storage(parameters={"a": "b"}))
    report = ModelCopyStatus(
        key="1" * 16, source_model_uri=URI, state=CopyState.DOWNLOADED, digest=digest, last_used_time=used
    )
    status = LocalModelNodeStatus(models=(report,), model_status={"iris": ModelStatusValue.DOWNLOADED})
    # Through JSON, so that nothing is shared by chance.
    made = LocalModelNode(metadata=ObjectMeta(name=node), spec=LocalModelNodeSpec(local_models=(entry,)), status=status)
    return msgspec.json.decode(msgspec.json.encode(made), type=LocalModelNode)


def test_what_is_the_same_on_two_nodes_is_one_object() -> None:
    sharing = Sharing()
    one, two = sharing(local("n1")), sharing(local("n2", used="2026-02-02T00:00:00Z"))
    assert one.spec.local_models[0] is two.spec.local_models[0]
    assert one.status.models[0] is two.status.models[0]


def test_what_differs_stays_different() -> None:
    sharing = Sharing()
    one, two = sharing(local("n1")), sharing(local("n2", size="2Gi", digest="b"))
    assert [entry.size for entry in (*one.spec.local_models, *two.spec.local_models)] == ["1Gi", "2Gi"]
    assert [report.digest for report in (*one.status.models, *two.status.models)] == ["a", "b"]


def test_shared_objects_say_what_the_manager_reads() -> None:
    shared, whole = Sharing()(local("n1")), local("n1")
    assert (shared.metadata, shared.spec) == (whole.metadata, whole.spec)
    assert shared.status.models[0] == msgspec.structs.replace(whole.status.models[0], last_used_time=None)
