"""Stand-ins for the nodes of a cluster and for the agents on them, and the objects that a manager works on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from cachecore import names
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.controller.controller import Controller, Result
from cachecore.controller.informer import Informer
from cachecore.controller.queue import Backoff
from cachecore.errors import Conflict, NotFound
from cachecore.ports.cluster import ClusterClient
from cachecore.resources.core import Node, NodeCondition, NodeStatus
from cachecore.resources.meta import ObjectMeta, from_object
from cachecore.resources.serving import (
    MODEL_STATUS_OF_STATE,
    CopyState,
    InferenceService,
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelNode,
    LocalModelNodeGroup,
    LocalModelNodeStatus,
    ModelCopyStatus,
    NodeStorageStatus,
)

GIB = 2**30
SERVICE_DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "inferenceservices.serving.kserve.io"},
    "spec": {
        "group": "serving.kserve.io",
        "scope": "Namespaced",
        "names": {"plural": "inferenceservices", "singular": "inferenceservice", "kind": "InferenceService"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


class StandInFleet:
    """Objects of one test, all with names that begin with `prefix`, so that tests share a control plane."""

    def __init__(self, client: ClusterClient, prefix: str) -> None:
        self._client = client
        self.prefix = prefix
        self.group = f"{prefix}-workers"

    async def add_nodes(self, count: int) -> list[str]:
        found = [f"{self.prefix}-n{number}" for number in range(count)]
        for name in found:
            metadata = ObjectMeta(name=name, labels={"kubernetes.io/hostname": name, "pool": self.prefix})
            status = NodeStatus(conditions=(NodeCondition(type="Ready", status="True"),))
            await self._client.create(Node(metadata=metadata, status=status))
        return found

    async def add_group(self) -> None:
        term = {"matchExpressions": [{"key": "pool", "operator": "In", "values": [self.prefix]}]}
        volume = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "100Gi"},
            "storageClassName": "local-storage",
            "local": {"path": "/var/lib/localmodel"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        }
        claim = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "100Gi"}},
            "storageClassName": "local-storage",
        }
        body = {
            "metadata": {"name": self.group},
            "spec": {
                "storageLimit": "100Gi",
                "persistentVolumeSpec": volume,
                "persistentVolumeClaimSpec": claim,
            },
        }
        await self._client.create(from_object(LocalModelNodeGroup, body))

    def uri(self, cache: str) -> str:
        return f"s3://models/{cache}"

    async def add_cache(self, number: int) -> str:
        name = f"{self.prefix}-m{number}"
        spec = LocalModelCacheSpec(source_model_uri=self.uri(name), model_size="1Gi", node_groups=(self.group,))
        await self._client.create(LocalModelCache(metadata=ObjectMeta(name=name), spec=spec))
        return name

    async def add_service(self, cache: str, namespace: str) -> None:
        spec = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": self.uri(cache)}}}
        metadata = ObjectMeta(name=f"{cache}-service", namespace=namespace)
        await self._client.create(InferenceService(metadata=metadata, spec=spec))

    async def ready_caches(self) -> list[str]:
        """The caches of this fleet whose copies are all there, as their status tells it."""
        caches = (await self._client.list(LocalModelCache)).items
        return [
            cache.name
            for cache in caches
            if cache.name.startswith(f"{self.prefix}-")
            and any(one.type == "Ready" and one.status == "True" for one in cache.status.conditions)
        ]


class StandInAgents:
    """An agent for every LocalModelNode of a fleet: it holds what the spec lists, and says so at once."""

    def __init__(self, client: ClusterClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        runtime = AsyncioRuntime()
        self._informer = Informer(runtime, client, LocalModelNode, resync_seconds=0)
        self._controller: Controller[str] = Controller(
            runtime, "agents", self, workers=2, backoff=Backoff(base_seconds=0.05, max_seconds=1.0)
        )
        self._informer.add_listener(self._on_change)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._informer.run()), asyncio.create_task(self._controller.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def reconcile(self, request: str) -> Result:
        try:
            local = await self._client.get(LocalModelNode, request)
            status = reported(local)
            if status != local.status:
                await self._client.update_status(msgspec.structs.replace(local, status=status))
        except (NotFound, Conflict):
            return Result(requeue_after_seconds=0.05)
        return Result()

    def _on_change(self, old: LocalModelNode | None, new: LocalModelNode | None) -> None:
        if new is not None and new.name.startswith(f"{self._prefix}-") and (old is None or old.spec != new.spec):
            self._controller.enqueue(new.name)


def reported(local: LocalModelNode) -> LocalModelNodeStatus:
    """What an agent says that has done all that it is told."""
    uris = {names.storage_key(entry.source_model_uri): entry.source_model_uri for entry in local.spec.local_models}
    reports = tuple(
        ModelCopyStatus(
            key=key,
            source_model_uri=uris[key],
            state=CopyState.DOWNLOADED,
            bytes_total=GIB,
            bytes_done=GIB,
            digest="blake3:" + "0" * 64,
        )
        for key in sorted(uris)
    )
    used = GIB * len(reports)
    return LocalModelNodeStatus(
        models=reports,
        model_status={
            entry.status_key: MODEL_STATUS_OF_STATE[CopyState.DOWNLOADED] for entry in local.spec.local_models
        },
        observed_generation=local.metadata.generation,
        storage=NodeStorageStatus(limit=100 * GIB, used=used, available=100 * GIB - used),
    )
