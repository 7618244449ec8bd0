"""What watches over nodes: a silent one becomes NotReady and loses its pods, a deleted one's pods are collected."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from cachecore.controller.controller import Controller, Result
from cachecore.controller.informer import Informer
from cachecore.errors import ApiError, Conflict, NotFound
from cachecore.events import EventRecorder
from cachecore.ports import ClusterClient, Patch, Runtime
from cachecore.resources.core import Lease, Node, Pod, Taint
from cachecore.resources.meta import JsonObject
from cachecore.tasks import TaskGroup
from cachecore.timestamps import format_timestamp, parse_timestamp
from cachesim.node.disruption import Disruption
from cachesim.node.eviction import TaintEviction
from cachesim.node.heartbeats import Heartbeats
from cachesim.node.pod_gc import PodCollector
from cachesim.node.silence import Ears, unknown_conditions
from cachesim.node.taints import eviction_taints, ready_status, scheduling_taints, without_eviction

logger = logging.getLogger(__name__)

_WELL = "True"


class LifecycleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults are Kubernetes' own. `eviction_rate` is how many nodes a second get the taint that evicts."""

    period_seconds: float = 5.0
    lease_grace_seconds: float = 50.0
    startup_grace_seconds: float = 60.0
    eviction_rate: float = 0.1
    orphan_seconds: float = 40.0
    resync_seconds: float = 600.0


class NodeLifecycle:
    """A stand-in for the node lifecycle controller, the taint eviction controller and the pod garbage collector."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        options: LifecycleOptions = LifecycleOptions(),
        *,
        heartbeats: Heartbeats | None = None,
    ) -> None:
        """With `heartbeats` it looks around only while something is amiss; without, in each period."""
        self._heartbeats = heartbeats
        self._stirred = runtime.signal()
        if heartbeats is not None:
            heartbeats.observers.append(self._stirred.set)
        self._runtime = runtime
        self._client = client
        self._options = options
        self._nodes = Informer(runtime, client, Node, resync_seconds=options.resync_seconds)
        self._leases = Informer(
            runtime, client, Lease, namespace="kube-node-lease", resync_seconds=options.resync_seconds
        )
        self._pods = Informer(runtime, client, Pod, resync_seconds=options.resync_seconds)
        self._informers = (self._nodes, self._leases, self._pods)
        self._pods.add_index("node", lambda pod: [pod.spec.node_name])
        self._events = EventRecorder(runtime, client, component="node-controller")
        self._ears = Ears(options.lease_grace_seconds, options.startup_grace_seconds)
        self._disruption = Disruption(options.eviction_rate)
        self._eviction = TaintEviction(runtime, client, self._nodes, self._pods, self._events)
        self._collector = PodCollector(runtime, client, self._nodes, self._pods, orphan_seconds=options.orphan_seconds)
        self._tainter: Controller[str] = Controller(runtime, "node-taints", self)
        self._nodes.add_listener(self._node_changed)
        self._pods.add_listener(self._pod_changed)
        self._arrived: list[Pod] = []

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        for informer in self._informers:
            group.spawn(informer.run(), name=f"lifecycle-{informer.kind.resource_type.plural}")
        group.spawn(self._events.run(), name="lifecycle-events")
        group.spawn(self._watch_over(), name="lifecycle")
        await group.join()

    async def _watch_over(self) -> None:
        for informer in self._informers:
            await informer.wait_synced()
        group = TaskGroup(self._runtime)
        group.spawn(self._tainter.run(), name="node-taints")
        group.spawn(self._eviction.run(), name="taint-eviction")
        group.spawn(self._look_around(), name="node-health")
        await group.join()

    async def _look_around(self) -> None:
        while True:
            nodes = self._nodes.list()
            self._ears.forget_all_but({node.uid for node in nodes})
            for node in nodes:
                await self._check(node)
            await self._taint_to_evict(self._nodes.list())
            await self._mark_arrived()
            await self._collector.collect()
            await self._pause()

    async def _pause(self) -> None:
        """One period; as long as nothing can be amiss, until something changes."""
        await self._runtime.sleep(self._options.period_seconds)
        if self._heartbeats is None:
            return
        nodes = self._nodes.list()
        self._heartbeats.forget_all_but({node.name for node in nodes})
        well = all(ready_status(node) == _WELL and without_eviction(node) is None for node in nodes)
        if well and not self._arrived and not self._collector.waiting and self._heartbeats.all_heard():
            await self._stirred.wait()
        self._stirred.clear()

    async def reconcile(self, request: str) -> Result:
        """Keep the taints that say what the node's conditions mean for pods to come: at once, not in the next round."""
        node = self._nodes.get(request)
        if node is None:
            return Result()
        taints = scheduling_taints(node, format_timestamp(self._runtime.now()))
        if taints is not None:
            try:
                await self._write_taints(node, taints)
            except NotFound:
                return Result()
        return Result()

    async def _check(self, node: Node) -> None:
        now = self._runtime.monotonic()
        lease = self._leases.get(node.name, "kube-node-lease")
        silent_seconds = self._heartbeats.silent_seconds(node.name, now) if self._heartbeats is not None else None
        if silent_seconds is None:
            silent = self._ears.is_silent(node, lease, now, age_seconds=self._age_seconds(node))
        else:
            silent = silent_seconds > self._options.lease_grace_seconds
        if not silent:
            return
        if ready_status(node) == "Unknown":
            return
        try:
            conditions = unknown_conditions(node, format_timestamp(self._runtime.now()))
            body = {"metadata": {"uid": node.uid}, "status": {"conditions": conditions}}
            await self._client.patch(Node, node.name, Patch(body=body), subresource="status")
            if ready_status(node) == _WELL:
                self._events.record(
                    node, type="Normal", reason="NodeNotReady", message=f"Node {node.name} status is now: NodeNotReady"
                )
                for pod in self._pods.indexed("node", node.name):
                    await self._mark_not_ready(pod)
        except ApiError as error:
            logger.warning("lifecycle of node %s: %s", node.name, error)

    def _age_seconds(self, node: Node) -> float:
        created = node.metadata.creation_timestamp
        return self._runtime.now() - parse_timestamp(created) if created else 0.0

    async def _taint_to_evict(self, nodes: Sequence[Node]) -> None:
        """Nodes that are not well drive their pods away, one after the other; none does when all are not well."""
        now = self._runtime.monotonic()
        well = [ready_status(node) == _WELL for node in nodes]
        if self._disruption.observe(well, now):
            self._ears.start_anew(now)
        stamp = format_timestamp(self._runtime.now())
        for node, is_well in zip(nodes, well, strict=True):
            if is_well or self._disruption.total:
                taints = without_eviction(node)
            else:
                taints = eviction_taints(node, stamp)
                if taints is not None and not self._disruption.may_evict(now):
                    continue
            if taints is None or not ready_status(node):
                continue
            try:
                await self._write_taints(node, taints)
            except ApiError as error:
                # Seen again in the next round, by then as it is.
                logger.debug("taints of node %s: %s", node.name, error)

    async def _write_taints(self, node: Node, taints: tuple[Taint, ...]) -> None:
        metadata = {"uid": node.uid, "resourceVersion": node.metadata.resource_version}
        body = {"metadata": metadata, "spec": {"taints": [msgspec.to_builtins(taint) for taint in taints] or None}}
        await self._client.patch(Node, node.name, Patch(body=body))

    async def _mark_arrived(self) -> None:
        """Pods that came to a node when it was not well already."""
        arrived, self._arrived = self._arrived, []
        for pod in arrived:
            node = self._nodes.get(pod.spec.node_name)
            if node is not None and ready_status(node) not in (_WELL, ""):
                await self._mark_not_ready(self._pods.get(pod.name, pod.namespace) or pod)

    async def _mark_not_ready(self, pod: Pod) -> None:
        """Nobody else can say that a pod on a silent node does not serve."""
        if not pod.ready:
            return
        conditions = [msgspec.to_builtins(condition) for condition in pod.status.conditions]
        for condition in conditions:
            if condition["type"] == "Ready":
                condition.update(status="False", lastTransitionTime=format_timestamp(self._runtime.now()))
        body: JsonObject = {"metadata": {"uid": pod.uid}, "status": {"conditions": conditions}}
        try:
            await self._client.patch(Pod, pod.name, Patch(body=body), namespace=pod.namespace, subresource="status")
        except (NotFound, Conflict):
            logger.debug("pod %s/%s is gone", pod.namespace, pod.name)
            return
        self._events.record(pod, type="Warning", reason="NodeNotReady", message="Node is not ready")

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is not None:
            self._tainter.enqueue(new.name)
        if old is None or new is None or (ready_status(old), old.spec) != (ready_status(new), new.spec):
            self._stirred.set()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None and new.spec.node_name and (old is None or not old.spec.node_name):
            self._arrived.append(new)
            node = self._nodes.get(new.spec.node_name)
            if node is None or ready_status(node) != _WELL:
                self._stirred.set()
