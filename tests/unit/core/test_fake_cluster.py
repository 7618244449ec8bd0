from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cachecore.errors import AlreadyExists, ApiUnavailable, Conflict, Expired, Invalid, NotFound
from cachecore.ports.cluster import Patch, PatchType
from cachecore.resources.core import Namespace, Node, NodeSpec, NodeStatus, Pod, PodSpec
from cachecore.resources.meta import ObjectMeta
from cachecore.testing import FakeCluster, VirtualRuntime

Scenario = Callable[[FakeCluster], Awaitable[Any]]


def run(scenario: Scenario, *resources: Node | Pod | Namespace) -> Any:
    runtime = VirtualRuntime()

    async def main() -> Any:
        return await scenario(FakeCluster(runtime, *resources))

    return runtime.run(main())


def node(name: str = "a", **metadata: Any) -> Node:
    return Node(metadata=ObjectMeta(name=name, **metadata))


def test_a_created_object_gets_what_the_server_sets() -> None:
    created = run(lambda cluster: cluster.create(node()))
    assert created.uid
    assert created.metadata.resource_version == "1"
    assert created.metadata.generation == 1
    assert created.metadata.creation_timestamp == "2023-11-14T22:13:20Z"


def test_a_name_is_taken_once() -> None:
    with pytest.raises(AlreadyExists):
        run(lambda cluster: cluster.create(node()), node())


def test_an_object_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound, match="nodes 'a' not found"):
        run(lambda cluster: cluster.get(Node, "a"))


def test_an_update_from_an_old_version_conflicts() -> None:
    async def scenario(cluster: FakeCluster) -> None:
        old = await cluster.get(Node, "a")
        await cluster.update(node(labels={"zone": "1"}))
        await cluster.update(old)

    with pytest.raises(Conflict):
        run(scenario, node())


def test_an_update_leaves_the_status_and_a_status_update_the_rest() -> None:
    async def scenario(cluster: FakeCluster) -> Node:
        await cluster.update_status(
            Node(metadata=ObjectMeta(name="a", labels={"lost": "x"}), status=NodeStatus(capacity={"cpu": "1"}))
        )
        return await cluster.update(Node(metadata=ObjectMeta(name="a"), spec=NodeSpec(unschedulable=True)))

    updated = run(scenario, node())
    assert updated.spec.unschedulable
    assert updated.status.capacity == {"cpu": "1"}
    assert updated.metadata.labels == {}


def test_the_generation_moves_with_the_spec_alone() -> None:
    async def scenario(cluster: FakeCluster) -> list[int]:
        labelled = await cluster.update(node(labels={"zone": "1"}))
        reported = await cluster.update_status(
            Node(metadata=ObjectMeta(name="a"), status=NodeStatus(capacity={"a": 1}))
        )
        changed = await cluster.update(Node(metadata=ObjectMeta(name="a"), spec=NodeSpec(unschedulable=True)))
        return [version.metadata.generation for version in (labelled, reported, changed)]

    assert run(scenario, node()) == [1, 1, 2]


def test_an_update_that_changes_nothing_is_no_new_version() -> None:
    async def scenario(cluster: FakeCluster) -> bool:
        before = await cluster.get(Node, "a")
        return await cluster.update(before) == before and len(cluster.changes) == 1

    assert run(scenario, node())


@pytest.mark.parametrize(
    ("patch", "labels"),
    [
        (Patch(body={"metadata": {"labels": {"x": None, "y": "2"}}}), {"y": "2"}),
        (
            Patch(type=PatchType.JSON, body=[{"op": "add", "path": "/metadata/labels/a~1b", "value": "3"}]),
            {"x": "1", "a/b": "3"},
        ),
        (Patch(type=PatchType.JSON, body=[{"op": "remove", "path": "/metadata/labels/x"}]), {}),
        (Patch(type=PatchType.APPLY, body={"metadata": {"labels": {"y": "2"}}}), {"x": "1", "y": "2"}),
    ],
)
def test_patches(patch: Patch, labels: dict[str, str]) -> None:
    patched = run(lambda cluster: cluster.patch(Node, "a", patch), node(labels={"x": "1"}))
    assert patched.metadata.labels == labels


def test_a_patch_with_an_old_version_conflicts() -> None:
    patch = Patch(body={"metadata": {"resourceVersion": "999", "labels": {"a": "b"}}})
    with pytest.raises(Conflict):
        run(lambda cluster: cluster.patch(Node, "a", patch), node())


def test_a_patch_that_gives_no_valid_object_is_refused() -> None:
    with pytest.raises(Invalid):
        run(lambda cluster: cluster.patch(Node, "a", Patch(body={"spec": 5})), node())


def test_a_finalizer_holds_a_deleted_object_until_it_is_taken_off() -> None:
    async def scenario(cluster: FakeCluster) -> tuple[bool, int]:
        await cluster.delete(Node, "a")
        held = (await cluster.get(Node, "a")).being_deleted
        await cluster.patch(Node, "a", Patch(body={"metadata": {"finalizers": None}}))
        return held, len(cluster.all(Node))

    assert run(scenario, node(finalizers=("x/y",))) == (True, 0)


def test_a_deletion_of_another_object_of_that_name_conflicts() -> None:
    with pytest.raises(Conflict):
        run(lambda cluster: cluster.delete(Node, "a", uid="other"), node())


def test_a_list_selects_by_labels_and_fields() -> None:
    def pod(name: str, node_name: str, **labels: str) -> Pod:
        metadata = ObjectMeta(name=name, namespace="team", labels=labels)
        return Pod(metadata=metadata, spec=PodSpec(node_name=node_name))

    async def scenario(cluster: FakeCluster) -> list[str]:
        page = await cluster.list(Pod, label_selector="app in (x, y),!old", field_selector="spec.nodeName=n1")
        return [found.name for found in page.items]

    pods = (pod("a", "n1", app="x"), pod("b", "n1", app="z"), pod("c", "n2", app="x"), pod("d", "n1", app="y", old="1"))
    assert run(scenario, *pods) == ["a"]


def test_a_watch_tells_who_enters_and_leaves_its_selection() -> None:
    async def scenario(cluster: FakeCluster) -> list[tuple[str, str]]:
        watch = await cluster.watch(Node, resource_version="0", label_selector="zone=1")
        for labels in ({}, {"zone": "1"}, {"zone": "1", "x": "y"}, {}):
            cluster.add(node(labels=labels))
        cluster.end_watches()
        seen = []
        while (event := await watch.receive()) is not None:
            seen.append((event.type.value, event.resource_version))
        return seen

    assert run(scenario) == [("ADDED", "2"), ("MODIFIED", "3"), ("DELETED", "4")]


def test_a_watch_ends_after_its_time() -> None:
    async def scenario(cluster: FakeCluster) -> tuple[object, float]:
        watch = await cluster.watch(Node, resource_version="0", timeout_seconds=30)
        return await watch.receive(), cluster.runtime.monotonic()

    assert run(scenario) == (None, 30.0)


def test_a_watch_from_compacted_history_is_expired() -> None:
    async def scenario(cluster: FakeCluster) -> None:
        cluster.compact()
        await cluster.watch(Node, resource_version="0")

    with pytest.raises(Expired):
        run(scenario, node())


def test_a_planned_failure_strikes_as_often_as_planned() -> None:
    async def scenario(cluster: FakeCluster) -> int:
        fault = cluster.faults.fail("get", ApiUnavailable("away"), "Node/a", skip=1, times=1)
        await cluster.get(Node, "a")
        with pytest.raises(ApiUnavailable):
            await cluster.get(Node, "a")
        await cluster.get(Node, "a")
        return fault.struck

    assert run(scenario, node()) == 1


def test_a_write_whose_answer_is_lost_was_applied() -> None:
    async def scenario(cluster: FakeCluster) -> Node | None:
        cluster.faults.fail("create", ApiUnavailable("answer lost"), after=True)
        with pytest.raises(ApiUnavailable):
            await cluster.create(node())
        return cluster.peek(Node, "a")

    assert run(scenario) is not None


def test_a_failed_write_was_not_applied_and_is_counted() -> None:
    async def scenario(cluster: FakeCluster) -> tuple[Node | None, list[tuple[str, str]]]:
        cluster.faults.fail("create", ApiUnavailable("away"))
        with pytest.raises(ApiUnavailable):
            await cluster.create(node())
        return cluster.peek(Node, "a"), cluster.writes

    assert run(scenario) == (None, [("create", "Node/a")])


def test_a_namespaced_kind_needs_a_namespace_and_a_cluster_wide_one_has_none() -> None:
    with pytest.raises(Invalid):
        run(lambda cluster: cluster.create(Pod(metadata=ObjectMeta(name="p"))))
    with pytest.raises(Invalid):
        run(lambda cluster: cluster.create(node(namespace="team")))
