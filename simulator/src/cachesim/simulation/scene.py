"""The world as it is at one moment, looked up once: what checks of a world at rest ask again and again."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from cachecore.names import storage_key
from cachecore.quantity import quantity_bytes
from cachecore.resources.core import Node
from cachecore.resources.meta import from_object
from cachecore.resources.serving import LocalModelNodeGroup
from cachecore.scheduling import group_selects, schedulable
from cachecore.store.layout import published_path
from cachesim.disk import DiskWorld
from cachesim.simulation.world import BOOKKEEPING_BYTES, World, has_ended, keys_of

JsonObject = dict[str, Any]
Identity = tuple[str, str]


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """A cache of either kind. `identity` is its namespace, "" for a cluster's, and its name."""

    identity: Identity
    key: str
    declared_bytes: int
    groups: tuple[str, ...]
    copies: int | None
    going: bool
    item: JsonObject

    @property
    def name(self) -> str:
        return "/".join(part for part in self.identity if part)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A node that is Ready: what it should hold by its LocalModelNode, what pods use, what its disk has."""

    name: str
    node: Node
    disk: DiskWorld
    local: JsonObject | None
    groups: tuple[str, ...]
    takes_copies: bool
    entries: dict[str, list[JsonObject]]
    # The caches that it lists: key and identity.
    listed: frozenset[tuple[str, Identity]]
    used: dict[str, list[JsonObject]]
    # By key: what each published copy takes.
    published: dict[str, int]
    whole: frozenset[str]
    # Less is free for sure; more can't be had.
    limit_bytes: int
    limit_bytes_max: int

    def protected(self, key: str) -> bool:
        """Whether a copy may not be evicted."""
        return key in self.used or any(entry.get("pinned") for entry in self.entries.get(key, ()))

    def priority(self, key: str) -> int:
        return max((entry.get("priority", 0) for entry in self.entries.get(key, ())), default=0)

    def lists(self, cache: Cache) -> bool:
        return (cache.key, cache.identity) in self.listed

    def demands(self, cache: Cache) -> bool:
        """Whether a pod on the node needs the cache, and may have it."""
        namespace = cache.identity[0]
        return any(namespace in ("", pod["metadata"]["namespace"]) for pod in self.used.get(cache.key, ()))


class Scene:
    """Every cache, group and node of a world, as they are now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.groups = {
            item["metadata"]["name"]: from_object(LocalModelNodeGroup, item)
            for item in world.objects("localmodelnodegroups")
        }
        self._limits_bytes = {name: quantity_bytes(group.spec.storage_limit) for name, group in self.groups.items()}
        self.caches = {cache.identity: cache for cache in map(_cache, world.caches())}
        self._used: dict[str, dict[str, list[JsonObject]]] = {}
        for pod in world.objects("pods"):
            self._note_use(pod)
        self.nodes = {item["metadata"]["name"]: from_object(Node, item) for item in world.objects("nodes")}
        self.machines = {
            name: self._machine(node) for name, node in self.nodes.items() if node.ready and name in world.disks
        }

    def model(self, key: str) -> str:
        return self.world.model_name(key)

    def used_anywhere(self, key: str) -> bool:
        return any(key in used for used in self._used.values())

    def fits(self, cache: Cache, machine: Machine) -> bool:
        """Whether the cache may go there: a node of one of its groups, which allows what it says it takes."""
        return any(name in machine.groups and cache.declared_bytes <= self._limits_bytes[name] for name in cache.groups)

    def _note_use(self, pod: JsonObject) -> None:
        if not has_ended(pod):
            used = self._used.setdefault((pod.get("spec") or {}).get("nodeName", ""), {})
            for key in dict.fromkeys(keys_of(pod)):
                used.setdefault(key, []).append(pod)

    def _machine(self, node: Node) -> Machine:
        disk = self.world.disks[node.name]
        groups = tuple(name for name, group in self.groups.items() if group_selects(group, node))
        limit_bytes = max((self._limits_bytes[name] for name in groups), default=self.world.limit_bytes)
        local = self.world.object("localmodelnodes", node.name)
        entries: dict[str, list[JsonObject]] = {}
        for entry in ((local or {}).get("spec") or {}).get("localModels", ()):
            entries.setdefault(storage_key(entry["sourceModelUri"]), []).append(entry)
        copies = {key: dict(disk.files(published_path(key))) for key in self.world.published_keys(node.name)}
        refusing = any(taint.effect in ("NoSchedule", "NoExecute") for taint in node.spec.taints)
        return Machine(
            name=node.name,
            node=node,
            disk=disk,
            local=local,
            groups=groups,
            takes_copies=schedulable(node) and not refusing,
            entries=entries,
            listed=frozenset(
                (key, (entry.get("namespace", ""), entry["modelName"]))
                for key, found in entries.items()
                for entry in found
            ),
            used=self._used.get(node.name, {}),
            published={key: sum(file.size_bytes for file in files.values()) for key, files in copies.items()},
            whole=frozenset(key for key in copies if self.world.whole(node.name, key)),
            limit_bytes=min(limit_bytes, disk.capacity_bytes - disk.foreign_bytes - BOOKKEEPING_BYTES),
            limit_bytes_max=min(limit_bytes, disk.capacity_bytes),
        )


def _cache(item: JsonObject) -> Cache:
    metadata, spec = item["metadata"], item["spec"]
    return Cache(
        identity=(metadata.get("namespace", ""), metadata["name"]),
        key=storage_key(spec["sourceModelUri"]),
        declared_bytes=quantity_bytes(spec["modelSize"]),
        groups=tuple(spec["nodeGroups"]),
        copies=spec.get("copies"),
        going="deletionTimestamp" in metadata,
        item=item,
    )


def status_of(item: JsonObject | None) -> JsonObject:
    """The status of an object; empty when it has none."""
    return (item or {}).get("status") or {}


def condition(item: JsonObject, kind: str) -> JsonObject:
    """A condition of an object; empty when it has none of that type."""
    return next((one for one in status_of(item).get("conditions", ()) if one["type"] == kind), {})


def names(keys: Collection[str], scene: Scene) -> str:
    """Models by their names, as people read them."""
    return ", ".join(scene.model(key) for key in sorted(keys))
