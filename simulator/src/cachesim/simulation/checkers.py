"""The safety invariants, checked after every event of a simulated world.

- S1: a path that a live pod mounts is never deleted or rewritten.
- S2: resident + reserved <= limit <= disk.
- S3: `Downloaded` means verified and published, on that node incarnation.
- S4: no partial data at a serving path.
- S5: at most one download per (node, key).
- S6: a pinned or in-use copy is never evicted, and nothing is evicted for a model that still would not fit.
- S7: a finalizer goes only when the data or the node has gone.
- S8: namespaces are isolated; no path escapes the root.
- S9: status never claims more than the disk holds; observedGeneration never falls.
- S10: admission is idempotent (checked where admission is called).

Each check reads the world, and costs in proportion to what the event touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cachecore.names import CACHE_FINALIZER, NAMESPACE_CACHE_FINALIZER, storage_key
from cachecore.store.layout import published_path
from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent
from cachesim.simulation.claims import Claims
from cachesim.simulation.isolation import Isolation
from cachesim.simulation.victims import Victims
from cachesim.simulation.world import (
    BOOKKEEPING_BYTES,
    Mount,
    World,
    is_live_on,
    keys_of,
    listed_keys,
    overlaps,
    published_key,
)

JsonObject = dict[str, Any]

# The agent reads the pods once more, then renames: a pod that is bound in between is held by its guard, so only pods
# bound at least this long before an eviction count as "in use" for S6.
BINDING_GRACE_SECONDS = 1.0
# Of what somebody does to its disk an agent learns when it looks there: each half a minute, or when the disk lets it.
LOOK_SECONDS = 180.0


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A broken invariant, at a virtual time."""

    invariant: str
    time: float
    message: str


class Checkers:
    """Told of every event; keeps what it found in `violations` (the first of each kind and message)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[tuple[str, str], None] = {}
        self._moving: dict[tuple[str, str, int], None] = {}
        self._harmed_at: dict[str, float] = {}
        self._generations: dict[str, int] = {}
        self.violations: list[Violation] = []
        self.observers: list[Callable[[Violation], None]] = []
        self.part_observers: list[Callable[[str, str, int], None]] = []
        self.checks = 0
        # (uid of a Node, key): the models that have ever been on its list.
        self._given: dict[tuple[str, str], None] = {}
        self._claims = Claims(world, self.fail)
        self._victims = Victims(world, self.fail)
        self._isolation = Isolation(world, self.fail)

    def fail(self, invariant: str, message: str) -> None:
        if (invariant, message) not in self._seen:
            self._seen[invariant, message] = None
            violation = Violation(invariant=invariant, time=self._world.now(), message=message)
            self.violations.append(violation)
            for observer in self.observers:
                observer(violation)

    # Events of a disk.

    def disk_changed(self, node: str, event: DiskEvent) -> None:
        self.checks += 1
        self._check_mounts_untouched(node, event)
        if event.verb in ("write", "allocate"):
            self._check_limit(node)
        for path in (event.path, event.target):
            key = published_key(path)
            if key:
                self._check_serving_path(node, key, event)
        if event.verb == "harm":
            self._harmed_at[node] = self._world.now()
        if event.verb == "power":
            self._check_after_power_loss(node)
        self._victims.disk_changed(node, event)
        if event.verb == "rename":
            self._check_rename(node, event)

    def _check_rename(self, node: str, event: DiskEvent) -> None:
        went, came = published_key(event.path), published_key(event.target)
        if went and event.path == published_path(went):
            was_whole = self._world.whole(node, went, event.target)
            self._check_eviction(node, went, was_whole=was_whole)
            self._claims.copy_went(node, went, was_whole=was_whole)
        if came and event.target == published_path(came):
            self._claims.copy_came(node, came)
            self._victims.copy_came(node, came)

    def _check_mounts_untouched(self, node: str, event: DiskEvent) -> None:
        """S1. A rename that publishes creates its target, which no one can have mounted before."""
        if event.verb == "make":
            return
        for mount in self._world.mounts:
            touched = overlaps(event.path, mount.path) and event.verb != "wipe"
            if mount.node == node and touched and published_key(mount.path):
                self.fail("S1", f"{node}: {event.verb} of {event.path} while pod {mount.pod_uid} mounts {mount.path}")

    def _check_limit(self, node: str) -> None:
        disk = self._world.disks[node]
        model_bytes = self._world.model_bytes(node)
        if model_bytes > self._world.tolerated_bytes + BOOKKEEPING_BYTES:
            self.fail("S2", f"{node}: models and downloads take {model_bytes} bytes of {self._world.limit_bytes}")
        if disk.used_bytes > disk.capacity_bytes:
            self.fail("S2", f"{node}: {disk.used_bytes} bytes on a disk of {disk.capacity_bytes}")

    def _check_serving_path(self, node: str, key: str, event: DiskEvent) -> None:
        """S4. A copy appears and disappears by one rename, whole."""
        if event.verb != "rename":
            self.fail("S4", f"{node}: {event.verb} of {event.path} inside a serving path")
        elif self._world.disks[node].find(published_path(key)) is not None and not self._world.whole(node, key):
            self.fail("S4", f"{node}: {published_path(key)} is not the whole model")

    def _check_after_power_loss(self, node: str) -> None:
        """S4. What had its name was durable before it got it."""
        for key in self._world.published_keys(node):
            if not self._world.whole(node, key):
                self.fail("S4", f"{node}: {published_path(key)} is not whole after a power loss")

    def _check_eviction(self, node: str, key: str, *, was_whole: bool) -> None:
        """S6. Not what is in use or pinned, and never for nothing; a damaged copy has to go in any case."""
        now = self._world.now()
        for pod in self._pods_with_key(node, key):
            if now - self._world.bound_at.get(pod["metadata"]["uid"], now) >= BINDING_GRACE_SECONDS:
                self.fail("S6", f"{node}: {key} was evicted while pod {pod['metadata']['name']} uses it")
        wanted = self._wanted(node)
        entry = wanted.get(key)
        if entry is None or not was_whole:
            return
        if entry.get("pinned"):
            self.fail("S6", f"{node}: {key} was evicted though it is pinned")
        self._victims.copy_went(node, key, wanted)

    # Downloads and mounts.

    def part_started(self, node: str, path: str, offset_bytes: int) -> None:
        self.checks += 1
        if (node, path, offset_bytes) in self._moving:
            self.fail("S5", f"{node}: {path} at {offset_bytes} is being downloaded twice at once")
        self._moving[node, path, offset_bytes] = None
        for observer in self.part_observers:
            observer(node, path, offset_bytes)

    def part_ended(self, node: str, path: str, offset_bytes: int) -> None:
        self._moving.pop((node, path, offset_bytes), None)

    def mounted(self, mount: Mount, namespace: str) -> None:
        """S8. A pod sees views of models that its namespace may use, and nothing above them."""
        self.checks += 1
        self._isolation.mounted(mount, namespace)

    # Writes to the API.

    def api_changed(self, change: Change) -> None:
        self.checks += 1
        plural = change.resource_type.plural
        self._check_generation(change)
        self._claims.api_changed(change)
        self._isolation.api_changed(change)
        if plural == "pods":
            self._victims.pod_changed(change)
        if plural == "localmodelnodes":
            self._victims.spec_changed(change)
        if plural == "localmodelnodes" and change.type != "DELETED":
            self._note_given(change)
            self._check_node_status(change)
        if plural in ("localmodelcaches", "localmodelnamespacecaches"):
            self._check_finalizer(change)

    def _check_generation(self, change: Change) -> None:
        uid = change.item["metadata"].get("uid", "")
        generation = (change.item.get("status") or {}).get("observedGeneration")
        if not isinstance(generation, int) or not uid:
            return
        if generation < self._generations.get(uid, 0):
            self.fail("S9", f"{change.item['metadata']['name']}: observedGeneration fell to {generation}")
        self._generations[uid] = generation

    def _note_given(self, change: Change) -> None:
        if change.item.get("spec") is not (change.previous or {}).get("spec"):
            for owner in change.item["metadata"].get("ownerReferences", ()):
                self._given.update(dict.fromkeys((owner["uid"], key) for key in listed_keys(change.item)))

    def _check_node_status(self, change: Change) -> None:
        """S3 and S9, for the incarnation of the node that exists."""
        name = change.item["metadata"]["name"]
        node = self._world.object("nodes", name)
        owners = [owner["uid"] for owner in change.item["metadata"].get("ownerReferences", ())]
        status = change.item.get("status") or {}
        if node is None or node["metadata"]["uid"] not in owners or status == (change.previous or {}).get("status"):
            return
        if self._world.now() - self._harmed_at.get(name, -LOOK_SECONDS) < LOOK_SECONDS:
            return
        for copy in status.get("models", ()):
            if copy["state"] == "Downloaded" and not self._world.whole(name, copy["key"]):
                self.fail("S3", f"{name}: {copy['key']} is said to be Downloaded and is not whole on the disk")
        used = (status.get("storage") or {}).get("used", 0)
        if used > self._world.disks[name].used_bytes:
            self.fail("S9", f"{name}: status claims {used} bytes, the disk holds {self._world.disks[name].used_bytes}")

    def _check_finalizer(self, change: Change) -> None:
        """S7. When our finalizer goes, no node that exists holds the copy, unless another cache shares the URI.

        A node that came back with its disk, and has not been given the model since, clears that with or without the
        cache (L3).
        """
        ours = {CACHE_FINALIZER, NAMESPACE_CACHE_FINALIZER}
        before = ours & set((change.previous or {}).get("metadata", {}).get("finalizers", ()))
        after = ours & set(change.item["metadata"].get("finalizers", ())) if change.type != "DELETED" else set()
        if not before or after:
            return
        uri = change.item["spec"]["sourceModelUri"]
        uid = change.item["metadata"]["uid"]
        sharing = [cache for cache in self._world.caches() if cache["spec"]["sourceModelUri"] == uri]
        if any(cache["metadata"]["uid"] != uid for cache in sharing):
            return
        key = storage_key(uri)
        for node in self._world.objects("nodes"):
            name = node["metadata"]["name"]
            given = (node["metadata"]["uid"], key) in self._given
            if given and self._world.disks[name].find(published_path(key)) is not None:
                self.fail("S7", f"the finalizer of {change.item['metadata']['name']} went while {name} holds {key}")

    def _pods_with_key(self, node: str, key: str) -> list[JsonObject]:
        return [pod for pod in self._world.objects("pods") if is_live_on(pod, node) and key in keys_of(pod)]

    def _wanted(self, node: str) -> dict[str, JsonObject]:
        """The entries of the node's spec, by storage key."""
        found = self._world.object("localmodelnodes", node) or {}
        entries = (found.get("spec") or {}).get("localModels", ())
        return {storage_key(entry["sourceModelUri"]): entry for entry in entries}
