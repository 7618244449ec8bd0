"""What watches over nodes: a silent one becomes NotReady and loses its pods, a deleted one's pods are collected."""

from __future__ import annotations

import logging

import msgspec

from cachecore.controller.informer import Informer
from cachecore.errors import ApiError, Conflict, NotFound
from cachecore.ports import ClusterClient, Patch, Runtime
from cachecore.resources.core import Lease, Node, Pod, Taint, Toleration
from cachecore.resources.meta import JsonObject
from cachecore.tasks import TaskGroup
from cachecore.timestamps import format_timestamp, parse_timestamp

logger = logging.getLogger(__name__)

UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
_EFFECTS = ("NoSchedule", "NoExecute")


class LifecycleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults are Kubernetes' own."""

    period_seconds: float = 5.0
    lease_grace_seconds: float = 40.0
    eviction_seconds: float = 300.0
    orphan_seconds: float = 40.0


class NodeLifecycle:
    """A stand-in for the node lifecycle controller and the pod garbage collector."""

    def __init__(self, runtime: Runtime, client: ClusterClient, options: LifecycleOptions = LifecycleOptions()) -> None:
        self._runtime = runtime
        self._client = client
        self._options = options
        self._nodes = Informer(runtime, client, Node)
        self._leases = Informer(runtime, client, Lease, namespace="kube-node-lease")
        self._pods = Informer(runtime, client, Pod)
        self._silent_since: dict[str, float] = {}
        self._orphan_since: dict[str, float] = {}

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        for informer in (self._nodes, self._leases, self._pods):
            group.spawn(informer.run(), name=f"lifecycle-{informer.kind.resource_type.plural}")
        group.spawn(self._watch_over(), name="lifecycle")
        await group.join()

    async def _watch_over(self) -> None:
        for informer in (self._nodes, self._leases, self._pods):
            await informer.wait_synced()
        while True:
            for node in self._nodes.list():
                await self._check(node)
            await self._collect_orphans()
            await self._runtime.sleep(self._options.period_seconds)

    async def _check(self, node: Node) -> None:
        lease = self._leases.get(node.name, "kube-node-lease")
        renewal = lease.spec.renew_time if lease else node.metadata.creation_timestamp
        renewed = parse_timestamp(renewal) if renewal else 0.0
        silent = self._runtime.now() - renewed > self._options.lease_grace_seconds
        try:
            if silent:
                await self._mark_silent(node)
                await self._evict_from(node)
            else:
                self._silent_since.pop(node.uid, None)
                await self._mark_heard(node)
        except ApiError as error:
            logger.warning("lifecycle of node %s: %s", node.name, error)

    async def _mark_silent(self, node: Node) -> None:
        self._silent_since.setdefault(node.uid, self._runtime.now())
        if any(condition.type == "Ready" and condition.status == "Unknown" for condition in node.status.conditions):
            return
        await self._client.patch(
            Node,
            node.name,
            Patch(body={"metadata": {"uid": node.uid}, "status": {"conditions": unknown(node, self._runtime.now())}}),
            subresource="status",
        )
        taints = [taint for taint in node.spec.taints if taint.key != UNREACHABLE_TAINT]
        await self._write_taints(node, taints + [Taint(key=UNREACHABLE_TAINT, effect=effect) for effect in _EFFECTS])
        for pod in self._pods_of(node):
            await self._mark_not_ready(pod)

    async def _mark_heard(self, node: Node) -> None:
        kept = [taint for taint in node.spec.taints if taint.key != UNREACHABLE_TAINT]
        if node.ready and len(kept) != len(node.spec.taints):
            await self._write_taints(node, kept)

    async def _write_taints(self, node: Node, taints: list[Taint]) -> None:
        body = {"metadata": {"uid": node.uid}, "spec": {"taints": [msgspec.to_builtins(taint) for taint in taints]}}
        await self._client.patch(Node, node.name, Patch(body=body))

    async def _mark_not_ready(self, pod: Pod) -> None:
        """Nobody else can say that a pod on a silent node does not serve."""
        if not pod.ready:
            return
        conditions = [msgspec.to_builtins(condition) for condition in pod.status.conditions]
        for condition in conditions:
            if condition["type"] == "Ready":
                condition.update(
                    status="False", reason="NodeNotReady", lastTransitionTime=format_timestamp(self._runtime.now())
                )
        body = {"metadata": {"uid": pod.uid}, "status": {"conditions": conditions}}
        await self._patch_pod(pod, body)

    async def _patch_pod(self, pod: Pod, body: JsonObject) -> None:
        try:
            await self._client.patch(Pod, pod.name, Patch(body=body), namespace=pod.namespace, subresource="status")
        except (NotFound, Conflict):
            logger.debug("pod %s/%s is gone", pod.namespace, pod.name)

    async def _evict_from(self, node: Node) -> None:
        silent_seconds = self._runtime.now() - self._silent_since[node.uid]
        for pod in self._pods_of(node):
            patience = tolerated_seconds(pod.spec.tolerations, self._options.eviction_seconds)
            if not pod.being_deleted and patience is not None and silent_seconds >= patience:
                await self._delete(pod, grace_seconds=None)

    async def _collect_orphans(self) -> None:
        """Pods of nodes that are gone, after a while: the node may be about to register again."""
        now = self._runtime.now()
        known = {node.name for node in self._nodes.list()}
        orphans = [pod for pod in self._pods.list() if pod.spec.node_name and pod.spec.node_name not in known]
        self._orphan_since = {pod.uid: self._orphan_since.get(pod.uid, now) for pod in orphans}
        for pod in orphans:
            if now - self._orphan_since[pod.uid] >= self._options.orphan_seconds:
                await self._delete(pod, grace_seconds=0)

    async def _delete(self, pod: Pod, grace_seconds: int | None) -> None:
        try:
            await self._client.delete(
                Pod, pod.name, namespace=pod.namespace, uid=pod.uid, grace_period_seconds=grace_seconds
            )
        except ApiError as error:
            logger.warning("eviction of pod %s/%s: %s", pod.namespace, pod.name, error)

    def _pods_of(self, node: Node) -> list[Pod]:
        return [pod for pod in self._pods.list() if pod.spec.node_name == node.name and not pod.terminal]


def unknown(node: Node, now: float) -> list[JsonObject]:
    """The node's conditions, when nobody knows them any more."""
    stamp = format_timestamp(now)
    return [
        {
            "type": condition.type,
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastHeartbeatTime": condition.last_heartbeat_time,
            "lastTransitionTime": condition.last_transition_time if condition.status == "Unknown" else stamp,
        }
        for condition in node.status.conditions
    ]


def tolerated_seconds(tolerations: tuple[Toleration, ...], default_seconds: float) -> float | None:
    """How long a pod stays on an unreachable node; None for ever."""
    matching = [
        toleration
        for toleration in tolerations
        if toleration.key in ("", UNREACHABLE_TAINT) and toleration.effect in ("", "NoExecute")
    ]
    if not matching:
        return default_seconds
    limits = [toleration.toleration_seconds for toleration in matching if toleration.toleration_seconds is not None]
    return float(min(limits)) if limits else None
