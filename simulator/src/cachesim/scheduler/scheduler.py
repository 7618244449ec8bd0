"""The scheduler: a controller over pods, nodes, claims and volumes."""

from __future__ import annotations

import logging
from collections.abc import Hashable

from cachecore.controller.controller import Controller, Result
from cachecore.controller.informer import Informer
from cachecore.errors import Conflict, NotFound
from cachecore.events import EventRecorder
from cachecore.ports import ClusterClient, Patch, Runtime
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from cachecore.resources.meta import JsonObject, Resource
from cachecore.tasks import TaskGroup
from cachecore.timestamps import format_timestamp
from cachesim.binder import BOUND_BY_CONTROLLER, StorageClass, claim_reference
from cachesim.scheduler.claims import Binding, Storage
from cachesim.scheduler.loads import LoadBook
from cachesim.scheduler.selection import Choice, choose_node

logger = logging.getLogger(__name__)

PodName = tuple[str, str]
NAME = "default-scheduler"


class Scheduler:
    """Gives each pending pod to the best node; says on the pod why there is none.

    A pod is given to its node by a patch of spec.nodeName, which the in-memory server allows and a real one does not.
    """

    def __init__(self, runtime: Runtime, client: ClusterClient, *, resync_seconds: float = 600.0) -> None:
        self._runtime = runtime
        self._client = client
        self._pods = Informer(runtime, client, Pod, resync_seconds=resync_seconds)
        self._nodes = Informer(runtime, client, Node, resync_seconds=resync_seconds)
        self._claims = Informer(runtime, client, PersistentVolumeClaim, resync_seconds=resync_seconds)
        self._volumes = Informer(runtime, client, PersistentVolume, resync_seconds=resync_seconds)
        self._classes = Informer(runtime, client, StorageClass, resync_seconds=resync_seconds)
        self._informers = (self._pods, self._nodes, self._claims, self._volumes, self._classes)
        self._events = EventRecorder(runtime, client, component=NAME)
        self._controller: Controller[PodName] = Controller(runtime, "scheduler", self)
        # A pod counts as its node's load from the decision on, before the informer has seen it bound.
        self._loads = LoadBook()
        self._pods.add_index("node", lambda pod: [pod.spec.node_name])
        self._pods.add_listener(self._pod_changed)
        for informer in self._informers[1:]:
            informer.add_listener(self._surroundings_changed)

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        for informer in self._informers:
            group.spawn(informer.run(), name=f"scheduler-{informer.kind.resource_type.plural}")
        group.spawn(self._events.run(), name="scheduler-events")
        group.spawn(self._schedule(), name="scheduler")
        await group.join()

    async def _schedule(self) -> None:
        for informer in self._informers:
            await informer.wait_synced()
        await self._controller.run()

    async def reconcile(self, request: PodName) -> Result:
        namespace, name = request
        pod = self._pods.get(name, namespace)
        if pod is None or not is_pending(pod) or pod.uid in self._loads:
            return Result()
        choice = choose_node(pod, self._nodes.list(), self._loads.load, self._storage(namespace))
        if not choice.node:
            await self._refuse(pod, choice)
            return Result()
        if choice.bindings:
            # The pod comes here again when its claims are bound, and then has no choice any more.
            await self._bind_volumes(choice.bindings)
            return Result()
        self._loads.put(pod, choice.node)
        try:
            await self._bind(pod, choice.node)
        except (NotFound, Conflict):
            # Deleted, or changed since: its next event brings it back here.
            self._loads.remove(pod.uid)
            return Result(requeue_after_seconds=1.0)
        except Exception:
            self._loads.remove(pod.uid)
            raise
        return Result()

    def _storage(self, namespace: str) -> Storage:
        return Storage(
            claim_of=lambda claim: self._claims.get(claim, namespace),
            volume_of=self._volumes.get,
            volumes=self._volumes.list,
            class_of=self._classes.get,
        )

    async def _bind_volumes(self, bindings: tuple[Binding, ...]) -> None:
        """Say on each volume whose it is: the volume controller does the rest."""
        for binding in bindings:
            volume, claim = binding.volume, binding.claim
            reference = volume.spec.get("claimRef") or {}
            if reference.get("uid") == claim.uid:
                continue
            metadata: JsonObject = {"uid": volume.uid, "resourceVersion": volume.metadata.resource_version}
            if not reference:
                metadata["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
            body = {"metadata": metadata, "spec": {"claimRef": claim_reference(claim)}}
            await self._client.patch(PersistentVolume, volume.name, Patch(body=body))

    async def _bind(self, pod: Pod, node: str) -> None:
        metadata = {"uid": pod.uid, "resourceVersion": pod.metadata.resource_version}
        body = {"metadata": metadata, "spec": {"nodeName": node}}
        await self._client.patch(Pod, pod.name, Patch(body=body), namespace=pod.namespace)
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
        self._events.record(pod, type="Normal", reason="Scheduled", message=message)

    async def _refuse(self, pod: Pod, choice: Choice) -> None:
        """Say why on the pod, once for each reason."""
        before = next((one for one in pod.status.conditions if one.type == "PodScheduled"), None)
        if before is not None and before.status == "False" and before.message == choice.message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": choice.message,
            "lastTransitionTime": format_timestamp(self._runtime.now()),
        }
        body = {"metadata": {"uid": pod.uid}, "status": {"phase": "Pending", "conditions": [condition]}}
        try:
            await self._client.patch(Pod, pod.name, Patch(body=body), namespace=pod.namespace, subresource="status")
        except (NotFound, Conflict):
            return
        self._events.record(pod, type="Warning", reason="FailedScheduling", message=choice.message)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None and is_pending(new):
            self._controller.enqueue((new.namespace, new.name))
            return
        changed = new if new is not None else old
        if changed is None:
            return
        if new is not None and new.spec.node_name and not new.terminal:
            self._loads.put(new, new.spec.node_name)
            return
        if changed.uid in self._loads:
            self._loads.remove(changed.uid)
            # A place has become free.
            self._surroundings_changed(None, None)

    def _surroundings_changed(self, old: Resource | None, new: Resource | None) -> None:
        if isinstance(old, Node) and isinstance(new, Node) and _looks_the_same(old, new):
            return
        for pod in self._pods.indexed("node", ""):
            if is_pending(pod):
                self._controller.enqueue((pod.namespace, pod.name))


def is_pending(pod: Pod) -> bool:
    """Whether the pod waits for this scheduler to give it a node."""
    ours = pod.spec.scheduler_name in ("", NAME) and not pod.spec.scheduling_gates
    return ours and not pod.spec.node_name and not pod.being_deleted and not pod.terminal


def _looks_the_same(old: Node, new: Node) -> bool:
    """Heartbeats change nodes all the time, and nothing for the pods."""

    def seen(node: Node) -> tuple[Hashable | object, ...]:
        return (node.ready, node.spec, node.metadata.labels, node.status.allocatable, node.being_deleted)

    return seen(old) == seen(new)
