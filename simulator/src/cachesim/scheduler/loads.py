"""What the pods of each node ask for, kept up to date pod by pod: counting anew for each decision would be slow."""

from __future__ import annotations

import collections
from collections.abc import Mapping

from cachecore.resources.core import Node, Pod
from cachesim.scheduler.selection import NodeLoad, requests


class LoadBook:
    """Which pod counts as whose load. A pod counts once, on the node that it was put on last."""

    def __init__(self) -> None:
        self._pods: dict[str, tuple[str, dict[str, float]]] = {}
        self._counts: collections.Counter[str] = collections.Counter()
        self._requested: dict[str, collections.Counter[str]] = {}
        # As they were asked for last: most nodes are as they were.
        self._loads: dict[str, NodeLoad] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def put(self, pod: Pod, node: str) -> None:
        before = self._pods.get(pod.uid)
        if before is not None and before[0] == node:
            # What a pod asks for does not change while it lives.
            return
        self.remove(pod.uid)
        wanted = requests(pod)
        self._pods[pod.uid] = (node, wanted)
        self._loads.pop(node, None)
        self._counts[node] += 1
        self._requested.setdefault(node, collections.Counter()).update(wanted)

    def remove(self, uid: str) -> None:
        node, wanted = self._pods.pop(uid, ("", {}))
        if node:
            self._loads.pop(node, None)
            self._counts[node] -= 1
            self._requested[node].subtract(wanted)

    def load(self, node: Node) -> NodeLoad:
        name = node.name
        load = self._loads.get(name)
        if load is None or load.node is not node:
            requested: Mapping[str, float] = self._requested.get(name, {})
            load = self._loads[name] = NodeLoad(node=node, pods=self._counts[name], requested=requested)
        return load
