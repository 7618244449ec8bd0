"""A scenario from a running cluster: its nodes, a node group's limit and policy, the caches and their sizes."""

from __future__ import annotations

import asyncio
import collections
import itertools
import pathlib
import re
from collections.abc import Sequence

import msgspec

from cachecore.adapters.kube import connect
from cachecore.errors import ApiError, InvalidInput
from cachecore.ports.cluster import ClusterClient
from cachecore.quantity import quantity_bytes
from cachecore.resources.core import Node
from cachecore.resources.serving import LocalModelCache, LocalModelNamespaceCache, LocalModelNodeGroup
from cachecore.scheduling import group_selects
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario

_GPU = "nvidia.com/gpu"
_DURATION = "7d"
_MIB = 2**20


class ClusterSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a cluster."""

    nodes: Sequence[Node]
    groups: Sequence[LocalModelNodeGroup]
    caches: Sequence[LocalModelCache | LocalModelNamespaceCache]


def read_cluster(kubeconfig: pathlib.Path | None, base: Scenario | None) -> tuple[Scenario, tuple[str, ...]]:
    """The scenario of the cluster, and in words what was noticed.

    Its traffic, networks, disks and object store are those of `base`, which no cluster tells. Raises `InvalidInput`.
    """
    path = str(kubeconfig) if kubeconfig else str(pathlib.Path("~/.kube/config").expanduser())
    try:
        seen = asyncio.run(_read(path))
    except ApiError as error:
        raise InvalidInput(f"--from-cluster: {path}: {error}") from error
    return cluster_scenario(seen, base)


def cluster_scenario(seen: ClusterSeen, base: Scenario | None) -> tuple[Scenario, tuple[str, ...]]:
    """The same from what was read. The group with most nodes is planned for. Raises `InvalidInput`."""
    members = {group.name: [node for node in seen.nodes if group_selects(group, node)] for group in seen.groups}
    if not any(members.values()):
        raise InvalidInput("--from-cluster: no LocalModelNodeGroup there selects a node: there is nothing to plan with")
    group = max(seen.groups, key=lambda one: (len(members[one.name]), one.name))
    notes = [f"planned for the node group {group.name}, which has {len(members[group.name])} nodes"]
    others = sorted(name for name in members if name != group.name)
    if others:
        notes.append(f"left out: the node groups {', '.join(others)}")
    models, more = _models([cache for cache in seen.caches if group.name in cache.spec.node_groups])
    notes += more
    limit = f"{quantity_bytes(group.spec.storage_limit) // _MIB}Mi"
    gpus = min((_gpus(node) for node in members[group.name]), default=0)
    nodes = Nodes(count=len(members[group.name]), disk=limit) if base is None else base.nodes
    nodes = msgspec.structs.replace(nodes, count=len(members[group.name]), disk=limit, gpus=gpus or None)
    scenario = Scenario(
        name="cluster",
        description=f"The node group {group.name} of a cluster, as it was read.",
        duration=_DURATION,
        nodes=nodes,
        group=_group(group, limit),
        models=models,
    )
    if base is not None:
        scenario = msgspec.structs.replace(
            scenario, duration=base.duration, traffic=base.traffic, storage=base.storage, faults=base.faults
        )
    notes.append(f"a disk of {limit} is taken for what storageLimit allows: no cluster tells more of it")
    return scenario, tuple(notes)


async def _read(kubeconfig: str) -> ClusterSeen:
    client = await connect(kubeconfig, user_agent="localmodel-plan")
    try:
        return await read(client)
    finally:
        await client.close()


async def read(client: ClusterClient) -> ClusterSeen:
    """All that a plan needs of a cluster. Raises `ApiError`."""
    clusterwide = (await client.list(LocalModelCache)).items
    namespaced = (await client.list(LocalModelNamespaceCache)).items
    return ClusterSeen(
        nodes=(await client.list(Node)).items,
        groups=(await client.list(LocalModelNodeGroup)).items,
        caches=(*clusterwide, *namespaced),
    )


def _group(group: LocalModelNodeGroup, limit: str) -> NodeGroup:
    eviction = group.spec.eviction
    made = NodeGroup(
        storage_limit=limit,
        policy=eviction.policy.value,
        high_watermark=eviction.high_watermark,
        low_watermark=eviction.low_watermark,
    )
    downloads = group.spec.max_concurrent_downloads
    return made if downloads is None else msgspec.structs.replace(made, max_concurrent_downloads=downloads)


def _models(
    caches: Sequence[LocalModelCache | LocalModelNamespaceCache],
) -> tuple[tuple[Model, ...], list[str]]:
    """A model for each URI; caches of one URI share one copy. Its name is its first cache's."""
    by_uri: dict[str, list[LocalModelCache | LocalModelNamespaceCache]] = collections.defaultdict(list)
    for cache in sorted(caches, key=lambda one: (one.namespace, one.name)):
        by_uri[cache.spec.source_model_uri].append(cache)
    models: dict[str, Model] = {}
    notes = []
    for uri, sharing in by_uri.items():
        first = sharing[0]
        # Names with dots are allowed to caches.
        plain = re.sub(r"[^a-z0-9-]", "-", first.name)
        name = plain if plain not in models or not first.namespace else f"{first.namespace}-{plain}"
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        name = next(one for one in names if one not in models)
        size_bytes = max(cache.status.resolved_size or quantity_bytes(cache.spec.model_size) for cache in sharing)
        models[name] = Model(
            name=name,
            size=f"{-(-size_bytes // _MIB)}Mi",
            priority=max(cache.spec.priority for cache in sharing),
            pinned=any(cache.spec.pinned for cache in sharing),
            copies=None if any(cache.spec.copies is None for cache in sharing) else _most_copies(sharing),
        )
        if len(sharing) > 1:
            notes.append(f"{uri}: {len(sharing)} caches share one copy, planned as {name}")
    if not models:
        raise InvalidInput("--from-cluster: no cache names the node group: there is nothing to plan for")
    return tuple(models.values()), notes


def _most_copies(sharing: Sequence[LocalModelCache | LocalModelNamespaceCache]) -> int:
    return max(cache.spec.copies or 1 for cache in sharing)


def _gpus(node: Node) -> int:
    return int(node.status.allocatable.get(_GPU, "0"))
