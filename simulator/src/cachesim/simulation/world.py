"""The truth about a simulated world, as checkers read it.

Disks, mounts and the API's store: never the code's own claims.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from cachecore.names import NODE_READY_VALUE, POD_KEY_LABEL, POD_KEYS_ANNOTATION, node_ready_label, storage_key
from cachecore.ports import ObjectInfo
from cachecore.store.layout import STAGING_PATH, published_path
from cachesim.apiserver.server import ApiServer
from cachesim.apiserver.store import Change
from cachesim.disk import DiskWorld
from cachesim.source import SourceWorld

# How long models may lie above a limit that was lowered: as long as the news and the evictions take.
LOWERED_LIMIT_SECONDS = 120.0
GROUP_PATH = "/var/lib/localmodel"
# Manifests and the like, which no limit counts.
BOOKKEEPING_BYTES = 16 * 1024 * 1024

_LABEL_PREFIX = node_ready_label("")
_PUBLISHED = re.compile(r"^(?P<key>[0-9a-f]{16})/models/(?P=key)(?:/.*)?$")

JsonObject = dict[str, Any]


class Mount(msgspec.Struct, frozen=True):
    """A path of a node's disk that a running container has mounted."""

    node: str
    pod_uid: str
    path: str


class World:
    """Everything that exists. `limit_bytes` is the node group's storage limit, `low_watermark` a percentage of it."""

    def __init__(
        self,
        now: Callable[[], float],
        server: ApiServer,
        source: SourceWorld,
        *,
        limit_bytes: int,
        low_watermark: int,
    ) -> None:
        self.now = now
        self.source = source
        self.limit_bytes = limit_bytes
        self._lowest_limit_bytes = limit_bytes
        self.low_watermark = low_watermark
        self.disks: dict[str, DiskWorld] = {}
        self.mounts: dict[Mount, None] = {}
        self.bound_at: dict[str, float] = {}
        self._lowered = (0.0, 0)
        self._uris: dict[str, str] = {}
        self._state: dict[str, dict[tuple[str, str], JsonObject]] = {}
        server.store.listen(self._mirror)

    def limit_changes(self, limit_bytes: int) -> None:
        """The group's storage limit is another one from now on; what is held above it has time to go."""
        self._lowered = (self.now() + LOWERED_LIMIT_SECONDS, max(self.limit_bytes, limit_bytes))
        self._lowest_limit_bytes = min(self._lowest_limit_bytes, limit_bytes)
        self.limit_bytes = limit_bytes

    @property
    def lowest_limit_bytes(self) -> int:
        """The lowest that there has ever been: an agent whose news are late may act on it."""
        return min(self._lowest_limit_bytes, self.limit_bytes)

    @property
    def tolerated_bytes(self) -> int:
        """What a node's models may take: the limit, or for a while the one that it had before."""
        until, limit_bytes = self._lowered
        return limit_bytes if self.now() < until else self.limit_bytes

    def objects(self, plural: str) -> Iterator[JsonObject]:
        """Every stored object of a kind, in the order in which they were made."""
        yield from self._state.get(plural, {}).values()

    def object(self, plural: str, name: str, namespace: str = "") -> JsonObject | None:
        return self._state.get(plural, {}).get((namespace, name))

    def model_name(self, key: str) -> str:
        """The last name of the URI with that storage key; the key itself when no source has it."""
        return (self._uri_of(key) or key).rpartition("/")[2]

    def _uri_of(self, key: str) -> str:
        """Of the model with that storage key; "" when no source has it."""
        uri = self._uris.get(key, "")
        if not uri:
            uri = next((uri for uri in self.source.objects if storage_key(uri) == key), "")
            if uri:
                self._uris[key] = uri
        return uri

    def _mirror(self, change: Change) -> None:
        metadata = change.item["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        table = self._state.setdefault(change.resource_type.plural, {})
        if change.type == "DELETED":
            table.pop(key, None)
        else:
            table[key] = change.item
        if change.resource_type.plural == "pods" and change.item.get("spec", {}).get("nodeName"):
            self.bound_at.setdefault(metadata["uid"], self.now())

    def cache(self, namespace: str, name: str) -> JsonObject | None:
        """A cache of either kind: that of a cluster has no namespace."""
        plural = "localmodelnamespacecaches" if namespace else "localmodelcaches"
        return self.object(plural, name, namespace)

    def caches(self) -> Iterator[JsonObject]:
        yield from self.objects("localmodelcaches")
        yield from self.objects("localmodelnamespacecaches")

    def source_objects(self, key: str) -> tuple[ObjectInfo, ...]:
        """What S3 holds of the model with that storage key."""
        return self.source.objects.get(self._uri_of(key), ())

    def size_bytes(self, key: str) -> int:
        """What the source has of a model; 0 when there is none."""
        return sum(item.size_bytes for item in self.source_objects(key))

    def published_keys(self, node: str) -> list[str]:
        disk = self.disks[node]
        return [key for key in sorted(disk.root) if disk.find(published_path(key)) is not None]

    def whole(self, node: str, key: str, path: str = "") -> bool:
        """Whether a published copy is every file of the source as it is or once was, each byte of it written.

        `path` is where the copy is now, when it is no longer published.
        """
        disk, path = self.disks[node], path or published_path(key)
        versions = self.source.versions.get(self._uri_of(key), ())
        return any(disk.holds(path, objects) for objects in reversed(versions))

    def model_bytes(self, node: str) -> int:
        """What published copies and downloads in flight take."""
        disk = self.disks[node]
        published = sum(disk.size_bytes(published_path(key)) for key in self.published_keys(node))
        return published + disk.size_bytes(STAGING_PATH)


def keys_of(pod: JsonObject) -> list[str]:
    """The storage keys that a pod carries."""
    metadata = pod["metadata"]
    keys = [(metadata.get("labels") or {}).get(POD_KEY_LABEL, "")]
    keys += (metadata.get("annotations") or {}).get(POD_KEYS_ANNOTATION, "").split(",")
    return [key for key in keys if key]


def is_live_on(pod: JsonObject, node: str) -> bool:
    """Whether the pod is bound to the node, and has not ended."""
    return (pod.get("spec") or {}).get("nodeName") == node and not has_ended(pod)


def has_ended(pod: JsonObject) -> bool:
    """Whether all containers of the pod have ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def listed_keys(local: JsonObject) -> set[str]:
    """What the spec of a LocalModelNode names."""
    return {storage_key(entry["sourceModelUri"]) for entry in (local.get("spec") or {}).get("localModels", ())}


def labelled_keys(node: JsonObject) -> list[str]:
    """The models that a Node's labels say are there."""
    labels = (node.get("metadata") or {}).get("labels") or {}
    return [
        label.removeprefix(_LABEL_PREFIX)
        for label, value in sorted(labels.items())
        if label.startswith(_LABEL_PREFIX) and value == NODE_READY_VALUE
    ]


def published_key(path: str) -> str:
    """The storage key of a path that is a published copy or lies in one; "" for every other path."""
    match = _PUBLISHED.match(path)
    return match["key"] if match else ""


def overlaps(path: str, other: str) -> bool:
    """Whether one path is the other or an ancestor of it."""
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")
