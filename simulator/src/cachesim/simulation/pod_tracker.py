"""Each pod's way from its creation to its end, as the API server's store shows it."""

from __future__ import annotations

from typing import Any

from cachecore.names import INFERENCE_SERVICE_LABEL
from cachesim.apiserver.store import Change
from cachesim.simulation.copies import CopyTracker
from cachesim.simulation.timeline import PodLife
from cachesim.simulation.words import ModelNames
from cachesim.simulation.world import has_ended, keys_of

JsonObject = dict[str, Any]


class _Pod:
    """One pod so far."""

    __slots__ = ("bound", "created", "ended", "hit", "keys", "model", "name", "node", "ready")

    def __init__(self, name: str, model: str, keys: list[str], created: float) -> None:
        self.name = name
        self.model = model
        self.keys = keys
        self.created = created
        self.node = ""
        self.bound: float | None = None
        self.ready: float | None = None
        self.ended: float | None = None
        self.hit: bool | None = None


class PodTracker:
    """Told of each write to a pod; tells the copies which of them are in use."""

    def __init__(self, names: ModelNames, copies: CopyTracker) -> None:
        self._names = names
        self._copies = copies
        self._pods: dict[str, _Pod] = {}

    def changed(self, seconds: float, change: Change) -> None:
        item = change.item
        uid = item["metadata"]["uid"]
        pod = self._pods.get(uid)
        if pod is None:
            pod = self._pods[uid] = self._new(item, seconds)
        status = item.get("status") or {}
        node = item["spec"].get("nodeName")
        if node and pod.bound is None:
            self._bound(seconds, uid, pod, node)
        if pod.ready is None and _is_ready(status):
            pod.ready = seconds
        over = change.type == "DELETED" or has_ended(change.item)
        if over and pod.ended is None:
            pod.ended = seconds
            for key in pod.keys if pod.node else ():
                self._copies.pod_gone(seconds, pod.node, key, uid)

    def lives(self) -> tuple[PodLife, ...]:
        return tuple(
            PodLife(
                name=pod.name,
                model=pod.model,
                node=pod.node,
                created_seconds=pod.created,
                bound_seconds=pod.bound,
                ready_seconds=pod.ready,
                ended_seconds=pod.ended,
                hit=pod.hit,
            )
            for pod in self._pods.values()
        )

    def _new(self, item: JsonObject, seconds: float) -> _Pod:
        keys = list(dict.fromkeys(keys_of(item)))
        service = (item["metadata"].get("labels") or {}).get(INFERENCE_SERVICE_LABEL, "")
        model = ", ".join(self._names.of_key(key) for key in keys) or service
        return _Pod(item["metadata"]["name"], model, keys, seconds)

    def _bound(self, seconds: float, uid: str, pod: _Pod, node: str) -> None:
        pod.node, pod.bound = node, seconds
        if pod.keys:
            pod.hit = all(self._copies.is_published(node, key) for key in pod.keys)
        for key in pod.keys:
            self._copies.pod_bound(seconds, node, key, uid)


def _is_ready(status: JsonObject) -> bool:
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in status.get("conditions") or ())
