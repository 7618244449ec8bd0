"""Deletes pods that do not, or no longer, tolerate a taint of their node: as the taint eviction controller."""

from __future__ import annotations

import logging

import msgspec

from cachecore.controller.controller import Controller, Result
from cachecore.controller.informer import Informer
from cachecore.errors import Conflict, NotFound
from cachecore.events import EventRecorder
from cachecore.ports import ClusterClient, Patch, Runtime
from cachecore.resources.core import Node, Pod
from cachecore.resources.meta import JsonObject
from cachecore.timestamps import format_timestamp
from cachesim.node.taints import evicting_taints, patience_seconds

logger = logging.getLogger(__name__)

PodName = tuple[str, str]


class TaintEviction:
    """A controller over pods; each is looked at again when its node's taints change, and when its patience ends."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        nodes: Informer[Node],
        pods: Informer[Pod],
        events: EventRecorder,
    ) -> None:
        self._runtime = runtime
        self._client = client
        self._nodes = nodes
        self._pods = pods
        self._events = events
        self._controller: Controller[PodName] = Controller(runtime, "taint-eviction", self)
        self._since: dict[str, float] = {}
        nodes.add_listener(self._node_changed)
        pods.add_listener(self._pod_changed)

    async def run(self) -> None:
        await self._controller.run()

    async def reconcile(self, request: PodName) -> Result:
        namespace, name = request
        pod = self._pods.get(name, namespace)
        if pod is None or pod.being_deleted or not pod.spec.node_name:
            return Result()
        node = self._nodes.get(pod.spec.node_name)
        taints = evicting_taints(node) if node is not None else []
        patience = patience_seconds(pod.spec.tolerations, taints) if taints else None
        if patience is None:
            self._since.pop(pod.uid, None)
            return Result()
        now = self._runtime.monotonic()
        left = self._since.setdefault(pod.uid, now) + patience - now
        if left > 0:
            return Result(requeue_after_seconds=left)
        await self._evict(pod)
        return Result()

    async def _evict(self, pod: Pod) -> None:
        message = f"Marking for deletion Pod {pod.namespace}/{pod.name}"
        self._events.record(pod, type="Normal", reason="TaintManagerEviction", message=message)
        try:
            await mark_disrupted(
                self._runtime,
                self._client,
                pod,
                reason="DeletionByTaintManager",
                message="Taint manager: deleting due to NoExecute taint",
            )
            await self._client.delete(Pod, pod.name, namespace=pod.namespace, uid=pod.uid)
        except (NotFound, Conflict):
            logger.debug("pod %s/%s is gone", pod.namespace, pod.name)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        before = evicting_taints(old) if old is not None else []
        after = evicting_taints(new) if new is not None else []
        changed = new if new is not None else old
        if before == after or changed is None:
            return
        for pod in self._pods.indexed("node", changed.name):
            self._controller.enqueue((pod.namespace, pod.name))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            if old is not None:
                self._since.pop(old.uid, None)
            return
        if old is None or _bearing(old) != _bearing(new):
            self._controller.enqueue((new.namespace, new.name))


async def mark_disrupted(
    runtime: Runtime, client: ClusterClient, pod: Pod, *, reason: str, message: str, phase: str = ""
) -> None:
    """Say on the pod why it is about to be deleted. Raises `NotFound` and `Conflict` when it is another one now."""
    conditions = [msgspec.to_builtins(one) for one in pod.status.conditions if one.type != "DisruptionTarget"]
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": format_timestamp(runtime.now()),
    }
    status: JsonObject = {"conditions": [*conditions, condition], **({"phase": phase} if phase else {})}
    body = {"metadata": {"uid": pod.uid}, "status": status}
    await client.patch(Pod, pod.name, Patch(body=body), namespace=pod.namespace, subresource="status")


def _bearing(pod: Pod) -> tuple[object, ...]:
    return (pod.spec.node_name, pod.spec.tolerations)
