"""Collects the pods of nodes that are gone: as the pod garbage collector."""

from __future__ import annotations

import logging

from cachecore.controller.informer import Informer
from cachecore.errors import ApiError
from cachecore.ports import ClusterClient, Runtime
from cachecore.resources.core import Node, Pod
from cachesim.node.eviction import mark_disrupted

logger = logging.getLogger(__name__)


class PodCollector:
    """Takes orphans away after a quarantine: the node may be about to register again."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        nodes: Informer[Node],
        pods: Informer[Pod],
        *,
        orphan_seconds: float,
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._nodes = nodes
        self._pods = pods
        self._orphan_seconds = orphan_seconds
        self._since: dict[str, float] = {}

    @property
    def waiting(self) -> bool:
        """Whether there are orphans whose time has not come."""
        return bool(self._since)

    async def collect(self) -> None:
        now = self._runtime.monotonic()
        known = {node.name for node in self._nodes.list()}
        orphans = [pod for pod in self._pods.list() if pod.spec.node_name and pod.spec.node_name not in known]
        self._since = {pod.uid: self._since.get(pod.uid, now) for pod in orphans}
        for pod in orphans:
            if now - self._since[pod.uid] >= self._orphan_seconds:
                await self._delete(pod)

    async def _delete(self, pod: Pod) -> None:
        try:
            await mark_disrupted(
                self._runtime,
                self._client,
                pod,
                reason="DeletionByPodGC",
                message="PodGC: node no longer exists",
                phase="" if pod.terminal else "Failed",
            )
            await self._client.delete(Pod, pod.name, namespace=pod.namespace, uid=pod.uid, grace_period_seconds=0)
        except ApiError as error:
            logger.warning("pod %s/%s, whose node is gone: %s", pod.namespace, pod.name, error)
