"""A small cluster on virtual time: the in-memory API server, and machines that pretend to run containers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import msgspec
import pytest

from cachecore.ports import ClusterClient, Patch
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from cachecore.resources.meta import JsonObject, Resource, from_object
from cachecore.testing import VirtualRuntime
from cachesim.apiserver import ApiServer, InMemoryClient
from cachesim.containers.testing import PretendedMachine

T = TypeVar("T")
R = TypeVar("R", bound=Resource)


class Cluster(Generic[T]):
    """The API server on virtual time, with shorthands for what every test does."""

    def __init__(self) -> None:
        self.runtime = VirtualRuntime()
        self.server = ApiServer(self.runtime)
        self.client: ClusterClient = InMemoryClient(self.server)

    def machine(self) -> PretendedMachine:
        return PretendedMachine(self.runtime)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runtime.run(coroutine)

    async def create(self, kind: type[R], content: JsonObject) -> R:
        return await self.client.create(from_object(kind, content))

    async def node(self, name: str, *, ready: bool = True, **content: Any) -> Node:
        """A node without kubelet; one that is ready has but the taints that are asked for."""
        node = await self.create(Node, {"metadata": {"name": name, **content.get("metadata", {})}, **_spec(content)})
        if ready:
            taints = content.get("spec", {}).get("taints")
            await self.client.patch(Node, node.name, Patch(body={"spec": {"taints": taints}}))
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        status = {"conditions": conditions, "allocatable": {**ALLOCATABLE, **content.get("allocatable", {})}}
        return await self.client.patch(Node, node.name, Patch(body={"status": status}), subresource="status")

    async def pod(self, name: str = "web", *, metadata: JsonObject | None = None, **spec: Any) -> Pod:
        spec = {"containers": [{"name": "main", "image": "server"}], **spec}
        return await self.create(
            Pod, {"metadata": {"name": name, "namespace": "default", **(metadata or {})}, "spec": spec}
        )

    async def volume(self, name: str, **spec: Any) -> PersistentVolume:
        spec = {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadOnlyMany"], "local": {"path": "/data"}, **spec}
        spec.setdefault("nodeAffinity", ANY_NODE)
        return await self.create(PersistentVolume, {"metadata": {"name": name}, "spec": spec})

    async def claim(self, name: str, **spec: Any) -> PersistentVolumeClaim:
        spec = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "10Gi"}}, **spec}
        metadata = {"name": name, "namespace": "default"}
        return await self.create(PersistentVolumeClaim, {"metadata": metadata, "spec": spec})

    async def see(self, kind: type[R], name: str, namespace: str = "default") -> R:
        """The object, once everything that is due now has happened."""
        await self.runtime.settle()
        return await self.client.get(kind, name, "" if not kind.resource_type.namespaced else namespace)

    async def until(self, holds: Callable[[R], bool], kind: type[R], name: str, seconds: float = 60.0) -> R:
        """The object, when it is so; fails after `seconds` of virtual time."""
        deadline = self.runtime.monotonic() + seconds
        while True:
            found = await self.see(kind, name)
            if holds(found):
                return found
            assert self.runtime.monotonic() < deadline, f"still {msgspec.to_builtins(found)}"
            await self.runtime.sleep(0.1)


ALLOCATABLE = {"cpu": "8", "memory": "32Gi", "pods": "110"}
ANY_NODE = {
    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]}
}


def _spec(content: dict[str, Any]) -> JsonObject:
    return {"spec": content["spec"]} if "spec" in content else {}


@pytest.fixture
def cluster() -> Cluster[Any]:
    return Cluster()
