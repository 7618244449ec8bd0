"""A simulated world of one node, in which a test does by hand what the services would: for tests of the checkers."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import simpy

from cachecore.names import CACHE_FINALIZER, storage_key
from cachecore.ports import Allocation
from cachecore.store.layout import published_path
from cachesim.apiserver import ApiServer, WriteOptions
from cachesim.apiserver.options import DeleteOptions
from cachesim.apiserver.resources import ResourceType
from cachesim.definitions import load_definitions
from cachesim.disk import DiskWorld, SimulatedDisk
from cachesim.network import Link
from cachesim.runtime import SimpyRuntime
from cachesim.simulation.checkers import Checkers
from cachesim.simulation.world import World
from cachesim.source import SourceWorld
from cachesim.tokens import part_token

URI = "s3://models/iris"
KEY = storage_key(URI)
OTHER_URI = "s3://models/rose"
OTHER_KEY = storage_key(OTHER_URI)
STAGING = f".localmodel/staging/{KEY}"


class Bench:
    """The node is `n1`; S3 holds `iris` and `rose`."""

    def __init__(self) -> None:
        self.runtime = SimpyRuntime(simpy.Environment(), seed=1)
        self.server = ApiServer(self.runtime, track_managed_fields=False)
        source = SourceWorld(link=Link("s3", 1e9), latency_seconds=0.01)
        source.add_model(URI, {"a": 100, "b": 50})
        source.add_model(OTHER_URI, {"c": 60})
        self.world = World(self.runtime.now, self.server, source, limit_bytes=10**9, low_watermark=80)
        self.disk_world = DiskWorld(capacity_bytes=2 * 10**9)
        self.world.disks["n1"] = self.disk_world
        self.disk = SimulatedDisk(self.runtime, self.disk_world)
        self.checkers = Checkers(self.world)
        self.disk_world.observers.append(lambda event: self.checkers.disk_changed("n1", event))
        self.server.store.listen(self.checkers.api_changed)
        for definition in load_definitions():
            self.create("customresourcedefinitions", definition)
        self.node = self.create("nodes", {"metadata": {"name": "n1"}})

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runtime.run(coroutine)

    def type(self, plural: str) -> ResourceType:
        return next(found for found in self.server.registry.all() if found.plural == plural)

    def create(self, plural: str, body: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        kind = self.type(plural)
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        created: dict[str, Any] = self.run(
            self.server.create(kind, body, namespace=namespace, options=WriteOptions())
        ).object
        return created

    def merge(self, plural: str, name: str, body: dict[str, Any], subresource: str = "", namespace: str = "") -> None:
        kind, merge_patch = self.type(plural), "application/merge-patch+json"
        self.run(self.server.patch(kind, name, merge_patch, body, namespace=namespace, subresource=subresource))

    def publish(self, sizes: dict[str, int], uri: str = URI, *, manifest: bool = True) -> None:
        """Write whole files of those sizes in staging, then rename them in."""
        key = storage_key(uri)
        for name, size in sizes.items():
            self.run(self.disk.allocate([Allocation(f".localmodel/staging/{key}/{name}", size)]))
            source = next((item for item in self.world.source_objects(key) if item.path == name), None)
            token = part_token(source, 0, size) if source is not None else "token"
            self.run(self.disk.write_part(f".localmodel/staging/{key}/{name}", 0, size, token))
        self.run(self.disk.make_directory(f"{key}/models"))
        if manifest:
            self.run(self.disk.write(f".localmodel/manifests/{key}", b"{}"))
        self.run(self.disk.rename(f".localmodel/staging/{key}", published_path(key)))

    def evict(self, key: str = KEY) -> None:
        self.run(self.disk.make_directory(".localmodel/trash"))
        self.run(self.disk.rename(published_path(key), f".localmodel/trash/{key}"))

    def wait(self, seconds: float) -> None:
        self.run(self.runtime.sleep(seconds))

    def cache(self, name: str = "iris", uri: str = URI) -> None:
        self.create(
            "localmodelcaches",
            {
                "metadata": {"name": name, "finalizers": [CACHE_FINALIZER]},
                "spec": {"sourceModelUri": uri, "modelSize": "150", "nodeGroups": ["workers"]},
            },
        )

    def local_model_node(self, *entries: dict[str, Any]) -> None:
        owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": self.node["metadata"]["uid"]}
        self.create(
            "localmodelnodes",
            {"metadata": {"name": "n1", "ownerReferences": [owner]}, "spec": {"localModels": list(entries)}},
        )

    def pod(self, key: str = KEY, name: str = "p") -> None:
        """A pod that uses the model, bound to the node."""
        self.create(
            "pods",
            {
                "metadata": {"name": name, "labels": {"localmodel.kserve.io/key": key}},
                "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]},
            },
            namespace="default",
        )

    def delete_pod(self, name: str = "p") -> None:
        at_once = DeleteOptions(grace_period_seconds=0)
        self.run(self.server.delete(self.type("pods"), name, namespace="default", options=at_once))

    @property
    def broken(self) -> list[str]:
        return [violation.invariant for violation in self.checkers.violations]


def entry(uri: str = URI, **fields: Any) -> dict[str, Any]:
    """One of LocalModelNode.spec.localModels."""
    return {"sourceModelUri": uri, "modelName": uri.rpartition("/")[2], **fields}
