"""A stand-in for the kubelet: registers its node, keeps it alive, and runs the pods that are bound to it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from cachecore.controller.informer import Informer
from cachecore.errors import AlreadyExists, ApiError, NotFound
from cachecore.events import EventRecorder
from cachecore.ports import ClusterClient, Patch, Runtime
from cachecore.resources.core import Lease, LeaseSpec, Namespace, NodeSpec, Pod
from cachecore.resources.core import Node as NodeResource
from cachecore.resources.meta import JsonObject, ObjectMeta, owner_reference
from cachecore.tasks import TaskGroup
from cachecore.timestamps import format_micro_timestamp, format_timestamp
from cachesim.containers.port import ContainerRuntime
from cachesim.node.heartbeats import Heartbeats
from cachesim.node.options import NodeOptions
from cachesim.node.pod_worker import PodWorker

logger = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
_REGISTER_RETRY_SECONDS = 1.0
# What `kubectl get nodes` shows of a machine; the version is the one whose rules the API server follows.
_NODE_INFO = {
    "machineID": "",
    "systemUUID": "",
    "bootID": "",
    "kernelVersion": "stand-in",
    "osImage": "stand-in",
    "containerRuntimeVersion": "stand-in://1",
    "kubeletVersion": "v1.36.3+localmodel",
    "kubeProxyVersion": "",
    "operatingSystem": "linux",
    "architecture": "amd64",
}
_CAPACITY = {"cpu": "8", "memory": "32Gi", "pods": "110"}


class Node:
    """One node. `run()` is its power: cancel it and the node is gone at once, with all that ran on it.

    The Node object stays; it is NotReady when its lease has lapsed. Running again is the machine coming back.
    """

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        name: str,
        containers: ContainerRuntime,
        *,
        labels: Mapping[str, str] | None = None,
        capacity: Mapping[str, str] | None = None,
        options: NodeOptions = NodeOptions(),
        heartbeats: Heartbeats | None = None,
    ) -> None:
        """`heartbeats` is where it is heard of; None: by its lease."""
        self.name = name
        self._runtime = runtime
        self._client = client
        self._containers = containers
        self._options = msgspec.structs.replace(
            options,
            labels={**options.labels, **(labels or {})},
            capacity={**_CAPACITY, **options.capacity, **(capacity or {})},
        )
        self._heartbeats = heartbeats
        self._registered = runtime.signal()
        self._events = EventRecorder(runtime, client, component="kubelet", host=name)
        self._workers: dict[str, PodWorker] = {}
        self._tasks = TaskGroup(runtime)

    async def wait_registered(self) -> None:
        """Until the Node object is there, and says Ready."""
        await self._registered.wait()

    async def run(self) -> None:
        self._registered.clear()
        self._workers = {}
        self._tasks = TaskGroup(self._runtime)
        try:
            uid = await self._register()
            self._registered.set()
            pods = Informer(
                self._runtime,
                self._client,
                Pod,
                field_selector=f"spec.nodeName={self.name}",
                resync_seconds=self._options.resync_seconds,
            )
            pods.add_listener(self._pod_changed)
            self._tasks.spawn(self._events.run(), name=f"events-{self.name}")
            if self._heartbeats is None:
                self._tasks.spawn(self._heartbeat(uid), name=f"heartbeat-{self.name}")
            else:
                self._heartbeats.begin(self.name, self._runtime.monotonic())
            self._tasks.spawn(pods.run(), name=f"pods-{self.name}")
            await self._tasks.join()
        finally:
            # Whoever starts it again waits for it to register again.
            self._registered.clear()
            if self._heartbeats is not None:
                self._heartbeats.end(self.name, self._runtime.monotonic())
            for worker in self._workers.values():
                worker.crash()
            self._tasks.cancel()
            self._containers.kill_all()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            if old is not None and (worker := self._workers.pop(old.uid, None)) is not None:
                worker.vanish()
            return
        worker = self._workers.get(new.uid)
        if worker is not None:
            worker.update(new)
            return
        worker = self._workers[new.uid] = PodWorker(
            self._runtime, self._client, self._containers, self._events, self.name, new, self._options
        )
        self._tasks.spawn(worker.run(), name=f"pod-{new.namespace}/{new.name}")

    async def _register(self) -> str:
        """Make or take over the Node object, Ready; answer its uid."""
        while True:
            try:
                return await self._try_register()
            except ApiError as error:
                logger.warning("node %s is not registered: %s", self.name, error)
                await self._runtime.sleep(_REGISTER_RETRY_SECONDS)

    async def _try_register(self) -> str:
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            **self._options.labels,
        }
        try:
            node = await self._client.create(
                NodeResource(
                    metadata=ObjectMeta(name=self.name, labels=labels), spec=NodeSpec(taints=self._options.taints)
                )
            )
        except AlreadyExists:
            node = await self._client.patch(NodeResource, self.name, Patch(body={"metadata": {"labels": labels}}))
        await self._renew_lease(node)
        await self._write_status(node)
        return node.uid

    async def _heartbeat(self, uid: str) -> None:
        """Renew the lease; say Ready again when something else has been said. A node that was deleted is left alone."""
        while True:
            await self._runtime.sleep(self._options.heartbeat_seconds)
            try:
                node = await self._client.get(NodeResource, self.name)
                if node.uid != uid:
                    continue
                await self._renew_lease(node)
                if not node.ready:
                    await self._write_status(node)
            except NotFound:
                continue
            except ApiError as error:
                logger.warning("heartbeat of node %s: %s", self.name, error)

    async def _renew_lease(self, node: NodeResource) -> None:
        renewed = {"spec": {"renewTime": format_micro_timestamp(self._runtime.now()), "holderIdentity": self.name}}
        try:
            await self._client.patch(Lease, self.name, Patch(body=renewed), namespace=LEASE_NAMESPACE)
        except NotFound:
            await self._create_lease(node)

    async def _create_lease(self, node: NodeResource) -> None:
        lease = Lease(
            metadata=ObjectMeta(
                name=self.name, namespace=LEASE_NAMESPACE, owner_references=(owner_reference(node, controller=False),)
            ),
            spec=LeaseSpec(
                holder_identity=self.name,
                lease_duration_seconds=self._options.lease_duration_seconds,
                renew_time=format_micro_timestamp(self._runtime.now()),
            ),
        )
        try:
            await self._client.create(lease)
        except NotFound:
            try:
                await self._client.create(Namespace(metadata=ObjectMeta(name=LEASE_NAMESPACE)))
            except AlreadyExists:
                logger.debug("namespace %s was made by another node", LEASE_NAMESPACE)
            await self._client.create(lease)
        except AlreadyExists:
            logger.debug("the lease of %s was made meanwhile", self.name)

    async def _write_status(self, node: NodeResource) -> None:
        status = node_status(node, self._options, self._runtime.now())
        await self._client.patch(
            NodeResource,
            self.name,
            Patch(body={"metadata": {"uid": node.uid}, "status": status}),
            subresource="status",
        )


def node_status(node: NodeResource, options: NodeOptions, now: float) -> JsonObject:
    """What a healthy kubelet says of its node."""
    stamp = format_timestamp(now)
    wanted = {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
    }
    before = {one.type: one for one in node.status.conditions}
    conditions = []
    for kind, (status, reason, message) in wanted.items():
        same = before.get(kind)
        kept = same.last_transition_time if same is not None and same.status == status else None
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": stamp,
                "lastTransitionTime": kept or stamp,
            }
        )
    return {
        "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": options.address},
            {"type": "Hostname", "address": node.name},
        ],
        "capacity": dict(options.capacity),
        "allocatable": dict(options.capacity),
        "nodeInfo": _NODE_INFO,
        **({"daemonEndpoints": {"kubeletEndpoint": {"Port": options.kubelet_port}}} if options.kubelet_port else {}),
    }
