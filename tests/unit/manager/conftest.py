"""A cluster on virtual time for the manager: the API server with the real CRDs, a volume binder, agents that answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from cachecore import names
from cachecore.controller.informer import Informer
from cachecore.errors import Conflict, NotFound
from cachecore.ports import Patch
from cachecore.resources.core import (
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
)
from cachecore.resources.meta import ObjectMeta, from_object
from cachecore.resources.serving import (
    MODEL_STATUS_OF_STATE,
    CopyState,
    InferenceService,
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelNamespaceCache,
    LocalModelNode,
    LocalModelNodeGroup,
    LocalModelNodeStatus,
    ModelCopyStatus,
    NodeStorageStatus,
)
from cachecore.tasks import TaskGroup
from cachecore.testing import VirtualRuntime
from cachemanager.manager import Manager
from cachemanager.options import ManagerOptions
from cachesim.apiserver import ApiServer, InMemoryClient
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from cachesim.binder.binder import VolumeBinder
from cachesim.definitions import load_definitions

GIB = 2**30
SERVICE_DEFINITION = {
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


class Agents:
    """One agent for all nodes that are `up`: holds what the spec lists, drops the rest, and says so at once."""

    def __init__(self, runtime: VirtualRuntime, client: InMemoryClient) -> None:
        self._runtime = runtime
        self._client = client
        self._changed = runtime.signal()
        self._dirty: dict[str, None] = {}
        self.down: set[str] = set()
        self.states: dict[tuple[str, str], CopyState] = {}
        self.kept: set[tuple[str, str]] = set()
        self.informer = Informer(runtime, client, LocalModelNode, resync_seconds=0)
        self.informer.add_listener(self._on_change)

    def _on_change(self, old: LocalModelNode | None, new: LocalModelNode | None) -> None:
        if new is not None and (old is None or old.spec != new.spec or old.uid != new.uid):
            self.wake(new.name)

    def wake(self, node: str) -> None:
        self._dirty[node] = None
        self._changed.set()

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        group.spawn(self.informer.run(), name="agents-informer")
        group.spawn(self._answer(), name="agents-answer")
        await group.join()

    async def _answer(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            for name in list(self._dirty):
                if name in self.down:
                    continue
                del self._dirty[name]
                await self._report(name)

    async def _report(self, name: str) -> None:
        try:
            local = await self._client.get(LocalModelNode, name)
            status = self._status(local)
            if status != local.status:
                await self._client.update_status(msgspec.structs.replace(local, status=status))
        except (NotFound, Conflict):
            self.wake(name)
            await self._runtime.sleep(0.05)

    def _status(self, local: LocalModelNode) -> LocalModelNodeStatus:
        reports: dict[str, ModelCopyStatus] = {}
        for entry in local.spec.local_models:
            key = names.storage_key(entry.source_model_uri)
            state = self.states.get((local.name, key), CopyState.DOWNLOADED)
            reports[key] = ModelCopyStatus(
                key=key,
                source_model_uri=entry.source_model_uri,
                state=state,
                bytes_total=GIB,
                bytes_done=GIB if state is CopyState.DOWNLOADED else 0,
                digest="blake3:" + "0" * 64 if state is CopyState.DOWNLOADED else "",
            )
        for report in local.status.models:
            if report.key not in reports and (local.name, report.key) in self.kept:
                reports[report.key] = msgspec.structs.replace(report, state=CopyState.EVICTING)
        used = sum(report.bytes_done for report in reports.values())
        limit = 100 * GIB
        return LocalModelNodeStatus(
            models=tuple(reports[key] for key in sorted(reports)),
            model_status={
                entry.status_key: MODEL_STATUS_OF_STATE[reports[names.storage_key(entry.source_model_uri)].state]
                for entry in local.spec.local_models
            },
            observed_generation=local.metadata.generation,
            storage=NodeStorageStatus(limit=limit, used=used, available=max(0, limit - used)),
        )


class Cluster:
    """What a test arranges and sees."""

    def __init__(self, options: ManagerOptions) -> None:
        self.runtime = VirtualRuntime()
        self.server = ApiServer(self.runtime)
        self.client = InMemoryClient(self.server, user_agent="test")
        self.options = options
        self.registry = CollectorRegistry()
        client = InMemoryClient(self.server, user_agent="manager-0")
        self.manager = Manager(
            self.runtime, client, msgspec.structs.replace(options, identity="manager-0"), self.registry
        )
        self.agents = Agents(self.runtime, self.client)

    def new_manager(self, identity: str, **changes: Any) -> Manager:
        options = msgspec.structs.replace(self.options, identity=identity, **changes)
        return Manager(self.runtime, InMemoryClient(self.server, user_agent=identity), options)

    def run(self, test: Callable[[Cluster], Coroutine[Any, Any, None]], *, services: bool = True) -> None:
        """Run the test's coroutine beside the manager, the agents and the binder."""

        async def main() -> None:
            self.server.spawn_controllers()
            for definition in [*load_definitions(), *([SERVICE_DEFINITION] if services else [])]:
                await self.server.create(CUSTOM_RESOURCE_DEFINITION, definition)
            for namespace in ("team-a", "team-b", names.SYSTEM_NAMESPACE):
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
                await self.server.create(NAMESPACE, body)
            group = TaskGroup(self.runtime)
            self.leader = group.spawn(self.manager.run(), name="manager")
            group.spawn(self.agents.run(), name="agents")
            group.spawn(VolumeBinder(self.runtime, self.client).run(), name="binder")
            await test(self)
            group.cancel()

        self.runtime.run(main())

    async def settle(self, seconds: float = 15.0) -> None:
        await self.runtime.sleep(seconds)

    # What a test arranges.

    async def add_node(self, name: str, *, ready: bool = True, spec: NodeSpec = NodeSpec(), **labels: str) -> Node:
        metadata = ObjectMeta(name=name, labels={"kubernetes.io/hostname": name, "pool": "gpu", **labels})
        node = await self.client.create(Node(metadata=metadata, spec=spec))
        return await self.set_ready(node.name, ready)

    async def set_ready(self, name: str, ready: bool) -> Node:
        condition = NodeCondition(type="Ready", status="True" if ready else "Unknown")
        node = await self.client.get(Node, name)
        node = await self.client.update_status(
            msgspec.structs.replace(node, status=NodeStatus(conditions=(condition,)))
        )
        # Admission gives each new node this taint; Kubernetes' controller, which these tests don't run, takes it off.
        taints = tuple(taint for taint in node.spec.taints if taint.key != "node.kubernetes.io/not-ready")
        if not ready or taints == node.spec.taints:
            return node
        return await self.client.update(
            msgspec.structs.replace(node, spec=msgspec.structs.replace(node.spec, taints=taints))
        )

    async def patch(self, kind: type[Any], name: str, body: dict[str, Any], namespace: str = "") -> None:
        await self.client.patch(kind, name, Patch(body=body), namespace=namespace)

    async def add_group(
        self, name: str = "workers", *, limit: str = "100Gi", pool: str = "gpu", path: str = "/var/lib/localmodel"
    ) -> LocalModelNodeGroup:
        body = group_body(name, limit=limit, pool=pool, path=path)
        return await self.client.create(from_object(LocalModelNodeGroup, body))

    async def add_cache(
        self,
        name: str = "iris",
        *,
        uri: str = "",
        size: str = "1Gi",
        groups: tuple[str, ...] = ("workers",),
        namespace: str = "",
        **spec: Any,
    ) -> LocalModelCache | LocalModelNamespaceCache:
        kind = LocalModelNamespaceCache if namespace else LocalModelCache
        made = LocalModelCacheSpec(
            source_model_uri=uri or f"s3://models/{name}", model_size=size, node_groups=groups, **spec
        )
        return await self.client.create(kind(metadata=ObjectMeta(name=name, namespace=namespace), spec=made))

    async def add_service(
        self, name: str = "classifier", namespace: str = "team-a", uri: str = "s3://models/iris", **annotations: str
    ) -> InferenceService:
        spec = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": uri}}}
        metadata = ObjectMeta(
            name=name,
            namespace=namespace,
            annotations={key.replace("__", "/"): text for key, text in annotations.items()},
        )
        return await self.client.create(InferenceService(metadata=metadata, spec=spec))

    async def add_pod(self, name: str, uri: str, *, node: str = "", namespace: str = "team-a", claim: str = "") -> Pod:
        volumes = [{"name": "model", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
        body = {
            "metadata": {"name": name, "namespace": namespace, "labels": {names.POD_KEY_LABEL: names.storage_key(uri)}},
            "spec": {"containers": [{"name": "main", "image": "model-server"}], "volumes": volumes, "nodeName": node},
        }
        return await self.client.create(from_object(Pod, body))

    # What a test sees.

    async def cache(self, name: str = "iris", namespace: str = "") -> LocalModelCache:
        kind: Any = LocalModelNamespaceCache if namespace else LocalModelCache
        found: LocalModelCache = await self.client.get(kind, name, namespace)
        return found

    async def condition(self, type: str, cache: str = "iris") -> tuple[str, str]:
        found = await self.cache(cache)
        return next((one.status, one.reason) for one in found.status.conditions if one.type == type)

    async def listed(self, node: str) -> list[str]:
        """The models that a node is told to hold: none as well while it is told nothing."""
        if not await self.exists(LocalModelNode, node):
            return []
        local = await self.client.get(LocalModelNode, node)
        return [entry.model_name for entry in local.spec.local_models]

    async def exists(self, kind: type[Any], name: str, namespace: str = "") -> bool:
        try:
            await self.client.get(kind, name, namespace)
        except NotFound:
            return False
        return True

    async def volume(self, name: str) -> PersistentVolume:
        return await self.client.get(PersistentVolume, name)

    async def claim(self, name: str, namespace: str = "team-a") -> PersistentVolumeClaim:
        return await self.client.get(PersistentVolumeClaim, name, namespace)


def group_body(
    name: str, *, limit: str = "100Gi", pool: str = "gpu", path: str = "/var/lib/localmodel"
) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "pool", "operator": "In", "values": [pool]}]}
    return {
        "metadata": {"name": name},
        "spec": {
            "storageLimit": limit,
            "persistentVolumeSpec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": limit},
                "storageClassName": "local-storage",
                "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            },
            "persistentVolumeClaimSpec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": limit}},
                "storageClassName": "local-storage",
            },
        },
    }


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(ManagerOptions())
