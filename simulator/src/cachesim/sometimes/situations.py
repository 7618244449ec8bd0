"""Counts the situations of a run: it reads the world, and never what the code says of itself."""

from __future__ import annotations

from typing import Any

from cachecore.names import (
    MANAGER_LEASE,
    POD_KEY_LABEL,
    STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION,
    storage_key,
)
from cachecore.store.layout import MANIFESTS_PATH, STAGING_PATH, TRASH_PATH, published_path
from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent
from cachesim.faults.plan import Fault
from cachesim.faults.sites import Site
from cachesim.simulation.world import World, published_key
from cachesim.sometimes.moments import MOMENTS, deleting, holds_copies
from cachesim.sometimes.strikes import STRIKES

JsonObject = dict[str, Any]


class Situations:
    """Counts how often each has happened. It is told of strikes, faults, disks, processes and the API's store."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.seen: dict[str, int] = {}
        self._evicted: dict[tuple[str, str], None] = {}
        self._unfinished: dict[tuple[str, str], None] = {}
        self._failed: dict[tuple[str, str], None] = {}
        self._leader = ""
        self._running: dict[str, None] = {}

    def note(self, name: str) -> None:
        self.seen[name] = self.seen.get(name, 0) + 1

    def struck(self, fault: Fault, site: Site) -> None:
        for name, strike in STRIKES.items():
            if strike.matches(fault.what, site):
                self.note(name)
        if fault.what.startswith("crash") and site.process.startswith("manager") and deleting(self._world, ""):
            self.note("manager-crash-during-deletion")

    def begun(self, fault: Fault, target: str) -> None:
        """A fault of a node or of the cluster is about to begin."""
        for name, moment in MOMENTS.items():
            if moment.what == fault.what and moment.holds(self._world, target):
                self.note(name)

    def returned(self, node: str, disk: str) -> None:
        """A machine comes back, with its disk `kept`, `wiped` or `swapped`."""
        if disk == "wiped":
            self.note("node-returned-empty")
        elif holds_copies(self._world, node):
            self.note("node-returned-with-its-disk" if disk == "kept" else "node-returned-with-anothers-disk")

    def process_started(self, name: str, node: str) -> None:
        self._running[name] = None
        if not name.startswith("agent/"):
            return
        disk = self._world.disks[node]
        staged = disk.find(STAGING_PATH)
        for key in staged if isinstance(staged, dict) else ():
            self._unfinished[node, key] = None
        if disk.find(TRASH_PATH):
            self.note("agent-found-trash")
        if holds_copies(self._world, node):
            self.note("retained-through-restart")
        manifests = disk.find(MANIFESTS_PATH)
        for key in manifests if isinstance(manifests, dict) else ():
            if disk.find(published_path(key)) is None:
                self.note("manifest-without-copy")

    def process_stopped(self, name: str) -> None:
        self._running.pop(name, None)

    def disk_changed(self, node: str, event: DiskEvent) -> None:
        if event.verb != "rename":
            return
        gone, come = published_key(event.path), published_key(event.target)
        if gone and not come:
            self._evicted[node, gone] = None
        elif come:
            if self._evicted.pop((node, come), "") is None:
                self.note("evicted-model-returned")
            if self._unfinished.pop((node, come), "") is None:
                self.note("download-resumed")

    def api_changed(self, change: Change) -> None:
        match change.resource_type.plural:
            case "leases":
                self._lease_changed(change.item)
            case "pods":
                self._pod_changed(change)
            case "localmodelnodes":
                self._local_node_changed(change)
            case "localmodelcaches" | "localmodelnamespacecaches":
                self._cache_changed(change)
            case "events":
                if change.item.get("reason") == "CopyDiscarded":
                    self.note("copy-discarded")

    def _lease_changed(self, lease: JsonObject) -> None:
        if lease["metadata"]["name"] != MANAGER_LEASE:
            return
        holder = (lease.get("spec") or {}).get("holderIdentity") or ""
        if not holder or holder == self._leader:
            return
        if self._leader:
            self.note("leader-changed")
            # An identity is the process' name and its incarnation.
            if self._leader in self._running:
                self.note("two-leaders")
        self._leader = holder

    def _pod_changed(self, change: Change) -> None:
        pod, before = change.item, change.previous
        if change.type == "DELETED":
            return
        spec, metadata = pod.get("spec") or {}, pod["metadata"]
        key = (metadata.get("labels") or {}).get(POD_KEY_LABEL, "")
        if before is None and not key and self._is_cached(metadata):
            self.note("pod-left-uncached")
        node = spec.get("nodeName") or ""
        if key and node in self._world.disks and not ((before or {}).get("spec") or {}).get("nodeName"):
            there = self._world.disks[node].find(published_path(key)) is not None
            self.note("pod-after-its-model" if there else "pod-before-its-model")

    def _is_cached(self, metadata: JsonObject) -> bool:
        uri = (metadata.get("annotations") or {}).get(STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION, "")
        return any(cache["spec"]["sourceModelUri"] == uri for cache in self._world.caches())

    def _local_node_changed(self, change: Change) -> None:
        if change.type == "DELETED":
            if self._world.object("nodes", change.item["metadata"]["name"]) is None:
                self.note("local-node-orphaned")
            return
        name = change.item["metadata"]["name"]
        before = _states(change.previous)
        for key, state in _states(change.item).items():
            earlier = before.get(key, "")
            if state == earlier:
                continue
            if state == "InsufficientStorage":
                self.note("insufficient-storage")
            elif state == "DownloadError":
                self.note("download-error")
                self._failed[name, key] = None
            elif state == "Downloaded" and (name, key) in self._failed:
                self.note("download-recovered")
                del self._failed[name, key]
            elif earlier == "Evicting" and state == "Downloaded" and (name, key) not in self._evicted:
                self.note("eviction-aborted")

    def _cache_changed(self, change: Change) -> None:
        reasons = {condition.get("reason") for condition in (change.item.get("status") or {}).get("conditions") or ()}
        if "InsufficientStorage" in reasons:
            self.note("insufficient-storage")
        if not change.item["metadata"].get("deletionTimestamp") or change.type == "DELETED":
            return
        if change.previous is None or change.previous["metadata"].get("deletionTimestamp"):
            return
        key = storage_key(change.item["spec"]["sourceModelUri"])
        if any(disk.find(f"{STAGING_PATH}/{key}") is not None for disk in self._world.disks.values()):
            self.note("cache-deleted-while-downloading")
        if any(mount.path.startswith(key) for mount in self._world.mounts):
            self.note("cache-deleted-while-mounted")


def _states(local_node: JsonObject | None) -> dict[str, str]:
    """The state of each copy that a node's status tells of."""
    models = ((local_node or {}).get("status") or {}).get("models") or ()
    return {copy["key"]: copy["state"] for copy in models}
