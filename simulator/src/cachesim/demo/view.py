"""What the story sees of the cluster: local copies of the objects, and waiting until they are as they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cachecore.controller.informer import Informer
from cachecore.names import CACHE_NAME_LABEL, INFERENCE_SERVICE_LABEL
from cachecore.ports import ClusterClient, Runtime
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from cachecore.resources.meta import Resource
from cachecore.resources.serving import (
    CopyState,
    LocalModelCache,
    LocalModelNode,
    LocalModelNodeGroup,
    ModelCopyStatus,
)
from cachecore.tasks import TaskGroup
from cachesim.demo.outcome import EvictionReport, StepFailed

# A copy of a deleted cache goes at once, or as soon as the last pod with it.
_UNASSIGNED = ("NotAssigned", "InUse")

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


class ClusterView:
    """Informers of what the story is about, no other pods and volumes; `evictions` grows as agents report them."""

    def __init__(self, runtime: Runtime, client: ClusterClient) -> None:
        self._runtime = runtime
        self._changed = runtime.signal()
        self.caches = Informer(runtime, client, LocalModelCache)
        self.groups = Informer(runtime, client, LocalModelNodeGroup)
        self.local_nodes = Informer(runtime, client, LocalModelNode)
        self.nodes = Informer(runtime, client, Node)
        self.pods = Informer(runtime, client, Pod, label_selector=INFERENCE_SERVICE_LABEL)
        self.volumes = Informer(runtime, client, PersistentVolume, label_selector=CACHE_NAME_LABEL)
        self.claims = Informer(runtime, client, PersistentVolumeClaim, label_selector=CACHE_NAME_LABEL)
        self.evictions: list[EvictionReport] = []
        self._tasks = TaskGroup(runtime)

    async def start(self) -> None:
        self.local_nodes.add_listener(self._record_evictions)
        await self._follow(self.caches)
        await self._follow(self.groups)
        await self._follow(self.local_nodes)
        await self._follow(self.nodes)
        await self._follow(self.pods)
        await self._follow(self.volumes)
        await self._follow(self.claims)

    async def _follow(self, informer: Informer[R]) -> None:
        informer.add_listener(self._wake)
        self._tasks.spawn(informer.run(), name=f"view-{informer.kind.resource_type.plural}")
        await informer.wait_synced()

    def stop(self) -> None:
        self._tasks.cancel()

    async def until(self, look: Callable[[], T | None], timeout_seconds: float, otherwise: Callable[[], str]) -> T:
        """What `look` answers when it is not None or False. Raises `StepFailed` with `otherwise()` after the time."""
        deadline = self._runtime.monotonic() + timeout_seconds
        while True:
            self._changed.clear()
            if found := look():
                return found
            left = deadline - self._runtime.monotonic()
            if left <= 0:
                raise StepFailed(otherwise())
            # Woken by each change; the look once a second is for what no object tells, such as files.
            await self._changed.wait(min(left, 1.0))

    def copy(self, node: str, key: str) -> ModelCopyStatus | None:
        """What the agent of that node says of a copy."""
        found = self.local_nodes.get(node)
        return next((one for one in found.status.models if one.key == key), None) if found is not None else None

    def state(self, node: str, key: str) -> CopyState | None:
        copy = self.copy(node, key)
        return None if copy is None else copy.state

    def holders(self, key: str) -> list[str]:
        """The nodes that have a whole copy."""
        names = [node.name for node in self.local_nodes.list()]
        return [name for name in names if self.state(name, key) is CopyState.DOWNLOADED]

    def pods_of(self, namespace: str) -> list[Pod]:
        return [pod for pod in self.pods.list() if pod.namespace == namespace]

    def _wake(self, old: Resource | None, new: Resource | None) -> None:
        self._changed.set()

    def _record_evictions(self, old: LocalModelNode | None, new: LocalModelNode | None) -> None:
        """A copy that goes while it is still assigned was evicted; one that left the spec was only removed."""
        if new is None:
            return
        before = {one.key: one for one in old.status.models} if old is not None else {}
        for one in new.status.models:
            same = before.get(one.key)
            if one.state is not CopyState.EVICTING or one.reason in _UNASSIGNED:
                continue
            if same is None or same.state is not CopyState.EVICTING:
                reason = f"{one.reason}: {one.message}" if one.message else one.reason
                self.evictions.append(EvictionReport(node=new.name, key=one.key, reason=reason))
