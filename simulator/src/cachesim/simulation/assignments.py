"""L7, as far as lists go: what a node shall hold stays on its list while its cache, its group and its node say so.

A manager that forgets a cache for a moment makes every node throw the model away, and fetch it again. So whatever
leaves a list must have had a reason, not long before: news may be late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachecore.names import DOMAIN
from cachecore.quantity import quantity_bytes
from cachecore.resources.core import Node
from cachecore.resources.meta import from_object
from cachecore.resources.serving import LocalModelNodeGroup
from cachecore.scheduling import group_selects
from cachesim.apiserver.store import Change
from cachesim.simulation.world import World

JsonObject = dict[str, Any]
Fail = Callable[[str, str], None]

# Longer than any fault keeps news from a manager.
SETTLED_SECONDS = 150.0
_OUR_LABELS = f"{DOMAIN}/"
_CACHES = ("localmodelcaches", "localmodelnamespacecaches")
_DECIDING = (*_CACHES, "localmodelnodegroups", "nodes")


class Assignments:
    """Told of each write."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._world = world
        self._fail = fail
        # By kind, namespace and name: when that changed which decides about assignments.
        self._changed_at: dict[tuple[str, str, str], float] = {}

    def api_changed(self, change: Change) -> None:
        plural, metadata = change.resource_type.plural, change.item["metadata"]
        if plural == "localmodelnodes":
            self._check_list(change)
        elif plural in _DECIDING and _decided(change):
            place = (_kind(plural), metadata.get("namespace", ""), metadata["name"])
            self._changed_at[place] = self._world.now()

    def _check_list(self, change: Change) -> None:
        if change.type == "DELETED" or change.previous is None:
            return
        if change.previous.get("spec") is change.item.get("spec"):
            return
        node = change.item["metadata"]["name"]
        for namespace, name in sorted(_listed(change.previous) - _listed(change.item)):
            if self._belongs(namespace, name, node):
                cache = "/".join(part for part in (namespace, name) if part)
                self._fail("L7", f"{node}: cache {cache} was taken off the list, though nothing has changed")

    def _belongs(self, namespace: str, name: str, node_name: str) -> bool:
        """Whether the cache has been everybody's for a while, and the node's group its own."""
        cache = self._world.cache(namespace, name)
        item = self._world.object("nodes", node_name)
        if cache is None or item is None or cache["spec"].get("copies") is not None:
            return False
        if "deletionTimestamp" in cache["metadata"] or not cache["metadata"].get("finalizers"):
            return False
        if not self._settled("cache", namespace, name) or not self._settled("nodes", "", node_name):
            return False
        groups = [(one, self._world.object("localmodelnodegroups", one)) for one in cache["spec"]["nodeGroups"]]
        if not all(self._settled("localmodelnodegroups", "", one) for one, _ in groups):
            return False
        node, size_bytes = from_object(Node, item), quantity_bytes(cache["spec"]["modelSize"])
        return any(
            group is not None
            and group_selects(from_object(LocalModelNodeGroup, group), node)
            and size_bytes <= quantity_bytes(group["spec"]["storageLimit"])
            for _, group in groups
        )

    def _settled(self, kind: str, namespace: str, name: str) -> bool:
        return self._world.now() - self._changed_at.get((kind, namespace, name), 0.0) >= SETTLED_SECONDS


def _kind(plural: str) -> str:
    return "cache" if plural in _CACHES else plural


def _decided(change: Change) -> bool:
    """Whether the write changed who is assigned where."""
    if change.type == "DELETED" or change.previous is None:
        return True
    return _deciding(change.previous) != _deciding(change.item)


def _deciding(item: JsonObject) -> object:
    metadata = item["metadata"]
    who = (metadata.get("uid"), metadata.get("deletionTimestamp"), metadata.get("finalizers"))
    if item["kind"] == "Node":
        # Our own labels say what is there, not what shall be.
        labels = metadata.get("labels") or {}
        return who, {key: value for key, value in labels.items() if not key.startswith(_OUR_LABELS)}
    return who, item.get("spec")


def _listed(local: JsonObject) -> set[tuple[str, str]]:
    entries = (local.get("spec") or {}).get("localModels", ())
    return {(entry.get("namespace", ""), entry["modelName"]) for entry in entries}
