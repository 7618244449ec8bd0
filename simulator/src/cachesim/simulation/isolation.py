"""S8: namespaces are isolated, no path escapes the root: what is mounted, what volumes show, what pods are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachecore.names import CACHE_NAME_LABEL, storage_key
from cachecore.store.layout import is_key
from cachesim.apiserver.store import Change
from cachesim.simulation.world import GROUP_PATH, Mount, World, keys_of

JsonObject = dict[str, Any]
Fail = Callable[[str, str], None]


class Isolation:
    """Told of each mount, and of each write to caches, volumes and pods."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._world = world
        self._fail = fail
        # By storage key: the namespaces that ever had a cache of it, "" for all. Admission may know of an earlier time.
        self._owners: dict[str, dict[str, None]] = {}

    def mounted(self, mount: Mount, namespace: str) -> None:
        """A pod sees views of models that its namespace may use, and nothing above them."""
        key = mount.path.partition("/")[0]
        owners = [
            cache["metadata"].get("namespace", "")
            for cache in self._world.caches()
            if storage_key(cache["spec"]["sourceModelUri"]) == key
        ]
        if ".." in mount.path.split("/") or not is_key(key):
            self._fail("S8", f"{mount.node}: pod {mount.pod_uid} mounts {mount.path!r}, above the views")
        elif owners and "" not in owners and namespace not in owners:
            self._fail("S8", f"{mount.node}: namespace {namespace} mounts {key}, which belongs to {', '.join(owners)}")

    def api_changed(self, change: Change) -> None:
        metadata = change.item["metadata"]
        match change.resource_type.plural:
            case "localmodelcaches" | "localmodelnamespacecaches":
                key = storage_key(change.item["spec"]["sourceModelUri"])
                self._owners.setdefault(key, {})[metadata.get("namespace", "")] = None
            case "persistentvolumes" if change.type == "ADDED" and CACHE_NAME_LABEL in (metadata.get("labels") or {}):
                self._check_volume(change.item)
            case "pods" if change.type == "ADDED":
                self._check_pod(change.item)

    def _check_volume(self, volume: JsonObject) -> None:
        spec = volume["spec"]
        path = (spec.get("local") or spec.get("hostPath") or {}).get("path", "")
        folder, _, key = path.rpartition("/")
        if folder != GROUP_PATH or not is_key(key):
            self._fail("S8", f"volume {volume['metadata']['name']} shows {path}, which is no view of one model")

    def _check_pod(self, pod: JsonObject) -> None:
        namespace = pod["metadata"]["namespace"]
        for key in keys_of(pod):
            owners = self._owners.get(key, {})
            if owners and "" not in owners and namespace not in owners:
                name = f"{namespace}/{pod['metadata']['name']}"
                self._fail("S8", f"pod {name} was given {key}, which belongs to {', '.join(sorted(owners))}")
