"""A scenario from what was read of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore.errors import InvalidInput
from cachecore.resources.core import Node, NodeStatus
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import (
    Eviction,
    EvictionPolicy,
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelCacheStatus,
    LocalModelNamespaceCache,
    LocalModelNodeGroup,
    LocalModelNodeGroupSpec,
)
from cachecore.testing import VirtualRuntime
from cachesim.apiserver import ApiServer, InMemoryClient
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from cachesim.definitions import load_definitions
from cachesim.faults.plan import Fault
from cachesim.planning.from_cluster import ClusterSeen, cluster_scenario, read
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, ObjectStorage, Scenario, Traffic

GIB = 2**30


def node(name: str, pool: str = "gpu", gpus: str | None = None) -> Node:
    allocatable = {} if gpus is None else {"nvidia.com/gpu": gpus}
    return Node(metadata=ObjectMeta(name=name, labels={"pool": pool}), status=NodeStatus(allocatable=allocatable))


def group(name: str = "workers", pool: str = "gpu", **spec: Any) -> LocalModelNodeGroup:
    made = LocalModelNodeGroupSpec(**{"storage_limit": "100Gi", "node_selector": {"pool": pool}, **spec})
    return LocalModelNodeGroup(metadata=ObjectMeta(name=name), spec=made)


def _spec(uri: str, **spec: Any) -> LocalModelCacheSpec:
    return LocalModelCacheSpec(**{"source_model_uri": uri, "model_size": "10Gi", "node_groups": ("workers",), **spec})


def cache(name: str, uri: str = "", *, resolved: int | None = None, **spec: Any) -> LocalModelCache:
    status = LocalModelCacheStatus(resolved_size=resolved)
    return LocalModelCache(metadata=ObjectMeta(name=name), spec=_spec(uri or f"s3://b/{name}", **spec), status=status)


def namespaced(namespace: str, name: str, uri: str, **spec: Any) -> LocalModelNamespaceCache:
    return LocalModelNamespaceCache(metadata=ObjectMeta(name=name, namespace=namespace), spec=_spec(uri, **spec))


def seen(*caches: Any, nodes: Any = None, groups: Any = None) -> ClusterSeen:
    return ClusterSeen(
        nodes=[node("n1"), node("n2")] if nodes is None else nodes,
        groups=[group()] if groups is None else groups,
        caches=caches or [cache("llama")],
    )


def scenario_of(found: ClusterSeen, base: Scenario | None = None) -> Scenario:
    return cluster_scenario(found, base)[0]


def notes_of(found: ClusterSeen) -> str:
    return "; ".join(cluster_scenario(found, None)[1])


def base() -> Scenario:
    return Scenario(
        name="base",
        description="what no cluster tells",
        duration="30d",
        nodes=Nodes(count=99, disk="9Ti", network="25Gbps", load_rate="32Gbps", zones=3, gpus=2),
        group=NodeGroup(storage_limit="8Ti", policy="LRFU"),
        models=(Model(name="other", size="1Gi"),),
        traffic=Traffic(starts_per_hour=500, zipf=0.9),
        storage=ObjectStorage(bandwidth="400Gbps"),
        faults=(Fault(when="1d", where="node-1", what="node-lost"),),
    )


def test_a_group_becomes_that_of_the_scenario() -> None:
    policy = Eviction(policy=EvictionPolicy.LFU, high_watermark=95, low_watermark=70)
    found = scenario_of(seen(groups=[group(eviction=policy, max_concurrent_downloads=5)]))
    assert found.group == NodeGroup(
        storage_limit="102400Mi", policy="LFU", high_watermark=95, low_watermark=70, max_concurrent_downloads=5
    )
    assert (found.nodes.count, found.nodes.disk) == (2, "102400Mi")


def test_what_a_group_leaves_out_is_as_by_default() -> None:
    assert scenario_of(seen()).group == NodeGroup(storage_limit="102400Mi")


def test_the_group_with_most_nodes_is_planned_for() -> None:
    nodes = [node("n1", "small"), node("n2"), node("n3")]
    found = seen(nodes=nodes, groups=[group("edge", "small"), group("workers")])
    assert scenario_of(found).nodes.count == 2
    assert "planned for the node group workers, which has 2 nodes; left out: the node groups edge" in notes_of(found)


def test_caches_of_other_groups_are_left_out() -> None:
    found = scenario_of(seen(cache("llama"), cache("qwen", node_groups=("edge",))))
    assert [model.name for model in found.models] == ["llama"]


def test_a_cache_becomes_a_model() -> None:
    found = scenario_of(seen(cache("llama", priority=3, pinned=True, copies=2)))
    assert found.models == (Model(name="llama", size="10240Mi", priority=3, pinned=True, copies=2),)


def test_the_size_that_was_found_counts_more_than_the_one_that_was_written() -> None:
    assert scenario_of(seen(cache("llama", resolved=3 * GIB + 1))).models[0].size == "3073Mi"


def test_caches_of_one_uri_share_a_model() -> None:
    uri = "s3://b/llama"
    found = seen(
        cache("llama", uri, copies=2, priority=1),
        namespaced("team-a", "mine", uri, copies=5, pinned=True),
        namespaced("team-b", "ours", uri, copies=1, priority=7),
    )
    assert scenario_of(found).models == (Model(name="llama", size="10240Mi", priority=7, pinned=True, copies=5),)
    assert f"{uri}: 3 caches share one copy, planned as llama" in notes_of(found)


def test_one_that_wants_it_everywhere_has_it_everywhere() -> None:
    uri = "s3://b/llama"
    found = scenario_of(seen(cache("llama", uri, copies=2), namespaced("team-a", "mine", uri)))
    assert found.models[0].copies is None


def test_the_same_name_in_another_namespace_is_another_model() -> None:
    found = scenario_of(seen(cache("llama"), namespaced("team-a", "llama", "s3://b/other")))
    assert [model.name for model in found.models] == ["llama", "team-a-llama"]


def test_a_name_with_dots_is_one_with_dashes() -> None:
    found = scenario_of(seen(cache("llama-3.1-8b")))
    assert [model.name for model in found.models] == ["llama-3-1-8b"]


@pytest.mark.parametrize(
    "gpus, expected", [(["8", "8"], 8), (["8", "4"], 4), ([None, None], None), (["8", None], None)]
)
def test_gpus_are_those_that_every_node_has(gpus: list[str | None], expected: int | None) -> None:
    nodes = [node(f"n{number}", gpus=count) for number, count in enumerate(gpus)]
    assert scenario_of(seen(nodes=nodes)).nodes.gpus == expected


def test_what_no_cluster_tells_is_that_of_the_base() -> None:
    found = scenario_of(seen(nodes=[node("n1", gpus="8"), node("n2", gpus="8")]), base())
    assert (found.duration, found.traffic, found.storage, found.faults) == (
        base().duration,
        base().traffic,
        base().storage,
        base().faults,
    )
    assert found.nodes == Nodes(count=2, disk="102400Mi", network="25Gbps", load_rate="32Gbps", zones=3, gpus=8)


def test_what_a_cluster_tells_is_not_that_of_the_base() -> None:
    found = scenario_of(seen(), base())
    assert found.group == NodeGroup(storage_limit="102400Mi")
    assert [model.name for model in found.models] == ["llama"]


def test_that_a_disk_is_taken_for_the_limit_is_told() -> None:
    assert notes_of(seen()).endswith(
        "a disk of 102400Mi is taken for what storageLimit allows: no cluster tells more of it"
    )


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(seen(groups=[]), id="no group"),
        pytest.param(seen(nodes=[]), id="no node"),
        pytest.param(seen(groups=[group(pool="cpu")]), id="none that it selects"),
    ],
)
def test_without_a_group_of_nodes_there_is_nothing_to_plan_with(found: ClusterSeen) -> None:
    with pytest.raises(InvalidInput, match="no LocalModelNodeGroup there selects a node"):
        cluster_scenario(found, None)


def test_without_a_cache_there_is_nothing_to_plan_for() -> None:
    with pytest.raises(InvalidInput, match="no cache names the node group"):
        cluster_scenario(seen(cache("llama", node_groups=("edge",))), None)


def test_a_cluster_is_read_over_its_api() -> None:
    runtime = VirtualRuntime()
    server = ApiServer(runtime)
    client = InMemoryClient(server)

    async def scene() -> ClusterSeen:
        for definition in load_definitions():
            await server.create(CUSTOM_RESOURCE_DEFINITION, definition)
        await server.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}})
        await client.create(node("n1"))
        volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany"], "local": {"path": "/models"}}
        claim = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}}
        await client.create(group(persistent_volume_spec=volume, persistent_volume_claim_spec=claim))
        await client.create(cache("llama"))
        await client.create(namespaced("team-a", "mine", "s3://b/mine"))
        return await read(client)

    found = scenario_of(runtime.run(scene()))
    assert found.nodes.count == 1
    assert [model.name for model in found.models] == ["llama", "mine"]
