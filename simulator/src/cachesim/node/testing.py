"""What the contract suite of the controllers makes in a cluster: nodes with power, volumes, claims and pods."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from cachecore.errors import ApiError, TaskCancelled
from cachecore.ports import ClusterClient, Runtime, Task
from cachecore.tasks import within
from cachesim.apiserver.builtin import EVENT, NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.testing import ContractObjects
from cachesim.apiserver.verbs import RawVerbs
from cachesim.containers.testing import PretendedMachine
from cachesim.node.node import Node
from cachesim.node.options import NodeOptions

# Nodes of one test are told from others by this label; its value is the test's namespace.
OWNER = "contract.localmodel.test/owner"
VOLUME_PATH = "/models"
_REGISTER_SECONDS = 30.0


class StandInNode:
    """A kubelet stand-in that a test powers off and on again."""

    def __init__(self, runtime: Runtime, client: ClusterClient, name: str, options: NodeOptions) -> None:
        self.name = name
        self.machine = PretendedMachine(runtime, directories={VOLUME_PATH})
        self._runtime = runtime
        self._kubelet = Node(runtime, client, name, self.machine, options=options)
        self._power: Task[None] | None = None

    async def power_on(self) -> None:
        """The Node object says Ready when this returns."""
        self._power = self._runtime.spawn(self._kubelet.run(), name=f"node {self.name}")
        await within(self._runtime, _REGISTER_SECONDS, self._kubelet.wait_registered())

    async def power_off(self) -> None:
        """At once, without a word to anybody."""
        if self._power is not None:
            self._power.cancel()
            with contextlib.suppress(TaskCancelled):
                await self._power.join()
            self._power = None


class ContractCluster(ContractObjects):
    """The objects of a test in a cluster whose controllers are at work. `close` it: the next test shares the cluster.

    Pods go to the nodes of their test alone; volumes and claims have a storage class that is the test's own.
    """

    def __init__(self, verbs: RawVerbs, runtime: Runtime, client: ClusterClient, *, namespace: str) -> None:
        super().__init__(verbs, runtime, namespace=namespace)
        self._client = client
        self._nodes: list[StandInNode] = []

    @property
    def storage_class(self) -> str:
        return self.unique("class")

    async def node(self, name: str = "node", *, labels: Mapping[str, str] | None = None, **options: Any) -> StandInNode:
        """A node that is powered on and has no taint any more; `options` are those of `NodeOptions`."""
        named = NodeOptions(labels={OWNER: self.namespace, **(labels or {})}, heartbeat_seconds=1.0, **options)
        node = StandInNode(self.runtime, self._client, self.unique(name), named)
        self._nodes.append(node)
        await node.power_on()
        await self.until(NODE, node.name, lambda found: not taints_of(found, "node.kubernetes.io/not-ready"))
        return node

    async def bare_node(self, name: str = "node", *, ready: str = "False", **spec: Any) -> str:
        """A Node object that no machine stands behind, made as a kubelet makes its own; answer its name."""
        metadata = {"name": self.unique(name), "labels": {OWNER: self.namespace}}
        conditions = [{"type": "Ready", "status": ready, "reason": "Test", "message": "said by the test"}]
        resources = {"cpu": "8", "memory": "1Gi", "pods": "10"}
        status = {"conditions": conditions, "allocatable": resources, "capacity": resources}
        created = await self.create(NODE, {"metadata": metadata, "spec": spec, "status": status})
        return str(created["metadata"]["name"])

    async def pod(self, name: str = "web", *, claim: str = "", **spec: Any) -> JsonObject:
        """A pod for the test's nodes; `claim` is mounted."""
        body: JsonObject = {
            "containers": [{"name": "main", "image": "server"}],
            # Its volume would be of a kind that the stand-in nodes need no knowledge of.
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": {OWNER: self.namespace},
            **({"volumes": [{"name": "model", "persistentVolumeClaim": {"claimName": claim}}]} if claim else {}),
            **spec,
        }
        return await self.create(POD, {"metadata": {"name": name}, "spec": body})

    async def volume(self, name: str = "disk", **spec: Any) -> str:
        """A local volume of 10Gi; answer its name. A field that is None is left out."""
        body = {
            "accessModes": ["ReadOnlyMany"],
            "capacity": {"storage": "10Gi"},
            "local": {"path": VOLUME_PATH},
            "nodeAffinity": affinity(key=OWNER, operator="In", values=[self.namespace]),
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": self.storage_class,
            **spec,
        }
        metadata = {"name": self.unique(name), "labels": {OWNER: self.namespace}}
        await self.create(PERSISTENT_VOLUME, {"metadata": metadata, "spec": _present(body)})
        return self.unique(name)

    async def claim(self, name: str = "model", **spec: Any) -> JsonObject:
        """A claim for 10Gi of the test's storage class."""
        body = {
            "accessModes": ["ReadOnlyMany"],
            "resources": {"requests": {"storage": "10Gi"}},
            "storageClassName": self.storage_class,
            **spec,
        }
        return await self.create(PERSISTENT_VOLUME_CLAIM, {"metadata": {"name": name}, "spec": _present(body)})

    async def bound(self, claim: str = "model") -> JsonObject:
        """The claim, once it is bound."""
        return await self.until(PERSISTENT_VOLUME_CLAIM, claim, lambda found: found["status"]["phase"] == "Bound")

    async def volume_phase(self, volume: str, phase: str) -> JsonObject:
        """The volume, once it is in that phase."""
        return await self.until(PERSISTENT_VOLUME, volume, lambda found: found["status"].get("phase") == phase)

    async def scheduled(self, pod: str = "web") -> str:
        """The node that the pod is given to."""
        found = await self.until(POD, pod, lambda found: bool(found["spec"].get("nodeName")))
        return str(found["spec"]["nodeName"])

    async def refused(self, pod: str = "web", saying: str = "") -> str:
        """Why the scheduler finds no node for the pod, once it says so (in these words)."""

        def told(found: JsonObject) -> bool:
            said = condition_of(found, "PodScheduled")
            return said.get("status") == "False" and saying in said.get("message", "")

        found = await self.until(POD, pod, told)
        return str(condition_of(found, "PodScheduled")["message"])

    async def event(self, kind: ResourceType, name: str, reason: str) -> JsonObject:
        """The first event of that reason on the object, once there is one."""
        found: list[JsonObject] = []
        query = f"involvedObject.name={name},reason={reason}"

        async def told() -> bool:
            listed = await self.verbs.list(EVENT, namespace=self.scope(kind) or "default", field_selector=query)
            found[:] = listed["items"]
            return bool(found)

        await self.eventually(told)
        return found[0]

    async def until(self, kind: ResourceType, name: str, holds: Callable[[JsonObject], bool]) -> JsonObject:
        """The object, once it is so."""
        last: JsonObject = {}

        async def so() -> bool:
            nonlocal last
            last = await self.get(kind, name)
            return holds(last)

        try:
            await self.eventually(so)
        except AssertionError as error:
            error.add_note(f"{kind.kind} {name} is {last.get('spec')} {last.get('status')}")
            raise
        return last

    async def close(self) -> None:
        """Leave no node, pod or volume that the scheduler would count in the next test."""
        for node in self._nodes:
            await node.power_off()
        for kind in (POD, NODE, PERSISTENT_VOLUME):
            selector = "" if kind.namespaced else f"{OWNER}={self.namespace}"
            for name in await self.names(kind, label_selector=selector):
                with contextlib.suppress(ApiError):
                    await self.delete(kind, name, grace_period_seconds=0)


def affinity(*, field: str = "matchExpressions", **requirement: Any) -> JsonObject:
    """A volume's node affinity of one requirement."""
    return {"required": {"nodeSelectorTerms": [{field: [requirement]}]}}


def required(*, field: str = "matchExpressions", **requirement: Any) -> JsonObject:
    """A pod's required node affinity of one requirement."""
    terms = {"nodeSelectorTerms": [{field: [requirement]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def condition_of(item: JsonObject, type_: str) -> JsonObject:
    """That condition of a pod or node; empty when it has none."""
    conditions: list[JsonObject] = (item.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == type_), {})


def taints_of(node: JsonObject, key: str) -> list[str]:
    """The effects of the node's taints of that key."""
    return sorted(taint["effect"] for taint in node["spec"].get("taints") or () if taint["key"] == key)


def _present(body: JsonObject) -> JsonObject:
    return {key: value for key, value in body.items() if value is not None}
