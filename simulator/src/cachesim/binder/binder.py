"""The binder: binds claims to volumes, keeps their phases true, and holds back their deletion while they are used."""

from __future__ import annotations

import msgspec

from cachecore.controller.controller import Controller, Result
from cachecore.controller.informer import Informer
from cachecore.errors import Conflict, NotFound
from cachecore.events import EventRecorder
from cachecore.ports import ClusterClient, Patch, Runtime
from cachecore.resources.core import PersistentVolume, PersistentVolumeClaim, Pod
from cachecore.resources.meta import JsonObject
from cachecore.tasks import TaskGroup
from cachesim.binder.matching import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    Bind,
    Lose,
    Wait,
    claim_reference,
    decide_claim,
    is_stray,
    volume_phase,
)
from cachesim.binder.storage_class import StorageClass

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


# A claim without volume has none of these; None takes away what an earlier phase said.
_NOTHING = {"accessModes": None, "capacity": None}


class _Request(msgspec.Struct, frozen=True):
    """A claim, or (namespace "") a volume."""

    name: str
    namespace: str = ""


class VolumeBinder:
    """One controller over claims and volumes: each change of one makes the other of the pair be looked at again."""

    def __init__(self, runtime: Runtime, client: ClusterClient, *, resync_seconds: float = 600.0) -> None:
        self._runtime = runtime
        self._client = client
        self._claims = Informer(runtime, client, PersistentVolumeClaim, resync_seconds=resync_seconds)
        self._volumes = Informer(runtime, client, PersistentVolume, resync_seconds=resync_seconds)
        self._pods = Informer(runtime, client, Pod, resync_seconds=resync_seconds)
        self._classes = Informer(runtime, client, StorageClass, resync_seconds=resync_seconds)
        self._events = EventRecorder(runtime, client, component="persistentvolume-controller")
        self._controller: Controller[_Request] = Controller(runtime, "volume-binder", self)
        self._informers = (self._claims, self._volumes, self._pods, self._classes)
        self._pods.add_index("claim", _claims_used_by)
        self._pods.add_index("waiting", _claims_awaited_by)
        self._claims.add_listener(self._claim_changed)
        self._volumes.add_listener(self._volume_changed)
        self._pods.add_listener(self._pod_changed)
        self._classes.add_listener(self._class_changed)

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        for informer in self._informers:
            group.spawn(informer.run(), name=f"binder-{informer.kind.resource_type.plural}")
        group.spawn(self._events.run(), name="binder-events")
        group.spawn(self._bind_all(), name="binder")
        await group.join()

    async def _bind_all(self) -> None:
        for informer in self._informers:
            await informer.wait_synced()
        await self._controller.run()

    async def reconcile(self, request: _Request) -> Result:
        try:
            if request.namespace:
                await self._reconcile_claim(request)
            else:
                await self._reconcile_volume(request)
        except NotFound:
            # Gone since: its event brings here what is left to do.
            return Result()
        except Conflict:
            return Result(requeue_after_seconds=0.1)
        return Result()

    async def _reconcile_claim(self, request: _Request) -> None:
        claim = self._claims.get(request.name, request.namespace)
        if claim is None:
            return
        if claim.being_deleted:
            used = self._pods.indexed("claim", f"{claim.namespace}/{claim.name}")
            if not used:
                await self._take_finalizer(claim, CLAIM_FINALIZER)
            return
        waiting = [pod.name for pod in self._pods.indexed("waiting", f"{claim.namespace}/{claim.name}")]
        decision = decide_claim(claim, self._volumes.list(), self._classes.get, waiting)
        if isinstance(decision, Bind):
            await self._bind(claim, decision.volume)
        elif isinstance(decision, Lose):
            await self._lose(claim, decision)
        else:
            await self._wait(claim, decision)

    async def _lose(self, claim: PersistentVolumeClaim, decision: Lose) -> None:
        if claim.status.get("phase") == "Lost":
            return
        await self._write_claim_status(claim, {"phase": "Lost", **_NOTHING})
        self._events.record(claim, type="Warning", reason=decision.reason, message=decision.message)

    async def _wait(self, claim: PersistentVolumeClaim, decision: Wait) -> None:
        await self._write_claim_status(claim, {"phase": "Pending", **_NOTHING})
        if decision.reason:
            self._events.record(claim, type=decision.type, reason=decision.reason, message=decision.message)

    async def _bind(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        """The four writes of a binding, each left out when it is done: volume, its status, claim, its status."""
        reference = volume.spec.get("claimRef") or {}
        if reference.get("uid") != claim.uid:
            volume = await self._claim_volume(claim, volume, by_controller=not reference)
        if volume.status.phase != "Bound":
            await self._write_volume_status(volume, "Bound", "")
        annotations = {BIND_COMPLETED: "yes", **({} if claim.spec.get("volumeName") else {BOUND_BY_CONTROLLER: "yes"})}
        if claim.spec.get("volumeName") != volume.name or BIND_COMPLETED not in claim.metadata.annotations:
            body = {
                "metadata": {**_precondition(claim), "annotations": annotations},
                "spec": {"volumeName": volume.name},
            }
            claim = await self._client.patch(
                PersistentVolumeClaim, claim.name, Patch(body=body), namespace=claim.namespace
            )
        if claim.status.get("phase") != "Bound":
            status = {
                "phase": "Bound",
                "accessModes": list(volume.spec.get("accessModes") or ()),
                "capacity": dict(volume.spec.get("capacity") or {}),
            }
            await self._write_claim_status(claim, status)

    async def _claim_volume(
        self, claim: PersistentVolumeClaim, volume: PersistentVolume, *, by_controller: bool
    ) -> PersistentVolume:
        metadata = {**_precondition(volume), **({"annotations": {BOUND_BY_CONTROLLER: "yes"}} if by_controller else {})}
        body = {"metadata": metadata, "spec": {"claimRef": claim_reference(claim)}}
        return await self._client.patch(PersistentVolume, volume.name, Patch(body=body))

    async def _reconcile_volume(self, request: _Request) -> None:
        volume = self._volumes.get(request.name)
        if volume is None:
            return
        reference = volume.spec.get("claimRef") or {}
        claim = self._claims.get(reference.get("name", ""), reference.get("namespace", ""))
        if is_stray(volume, claim):
            await self._unbind(volume)
            return
        phase, message = volume_phase(volume, claim)
        if phase in ("Released", "Failed") and phase != volume.status.phase:
            # The claims' informer may be behind: only the API's own word releases a volume.
            phase, message = volume_phase(volume, await self._find_claim(reference))
        if volume.being_deleted and phase != "Bound":
            await self._take_finalizer(volume, VOLUME_FINALIZER)
        elif volume.status.phase != phase:
            await self._write_volume_status(volume, phase, message)

    async def _unbind(self, volume: PersistentVolume) -> None:
        """What we bound is free again; what was kept for the claim by somebody else stays kept for it."""
        body: JsonObject = {"metadata": _precondition(volume), "spec": {"claimRef": {"uid": None}}}
        if BOUND_BY_CONTROLLER in volume.metadata.annotations:
            body["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: None}
            body["spec"] = {"claimRef": None}
        await self._client.patch(PersistentVolume, volume.name, Patch(body=body))

    async def _find_claim(self, reference: JsonObject) -> PersistentVolumeClaim | None:
        try:
            return await self._client.get(
                PersistentVolumeClaim, reference.get("name", ""), reference.get("namespace", "")
            )
        except NotFound:
            return None

    async def _write_volume_status(self, volume: PersistentVolume, phase: str, message: str) -> None:
        # None takes a message of an earlier phase away.
        status = {"phase": phase, "message": message or None}
        body = {"metadata": {"uid": volume.uid}, "status": status}
        await self._client.patch(PersistentVolume, volume.name, Patch(body=body), subresource="status")
        if phase == "Failed":
            self._events.record(volume, type="Warning", reason="VolumeFailedDelete", message=message)

    async def _write_claim_status(self, claim: PersistentVolumeClaim, status: JsonObject) -> None:
        if claim.status.get("phase") == status["phase"]:
            return
        body = {"metadata": {"uid": claim.uid}, "status": status}
        await self._client.patch(
            PersistentVolumeClaim, claim.name, Patch(body=body), namespace=claim.namespace, subresource="status"
        )

    async def _take_finalizer(self, resource: PersistentVolume | PersistentVolumeClaim, finalizer: str) -> None:
        if finalizer not in resource.metadata.finalizers:
            return
        kept = [one for one in resource.metadata.finalizers if one != finalizer]
        body = {"metadata": {**_precondition(resource), "finalizers": kept}}
        await self._client.patch(type(resource), resource.name, Patch(body=body), namespace=resource.namespace)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        claim = new if new is not None else old
        if claim is None:
            return
        self._controller.enqueue(_Request(claim.name, claim.namespace))
        if claim.spec.get("volumeName"):
            self._controller.enqueue(_Request(claim.spec["volumeName"]))
        if new is None:
            # A volume that is kept for this claim learns that it is gone, whatever the claim said of it.
            for volume in self._volumes.list():
                if (volume.spec.get("claimRef") or {}).get("uid") == claim.uid:
                    self._controller.enqueue(_Request(volume.name))

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        volume = new if new is not None else old
        if volume is None:
            return
        self._controller.enqueue(_Request(volume.name))
        for claim in self._claims.list():
            if claim.spec.get("volumeName") == volume.name or claim.status.get("phase") != "Bound":
                self._controller.enqueue(_Request(claim.name, claim.namespace))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is None:
            self._enqueue_claims(_claims_used_by(old))
        elif old is None and new is not None:
            self._enqueue_claims(_claims_awaited_by(new))

    def _enqueue_claims(self, keys: list[str]) -> None:
        for key in keys:
            namespace, _, name = key.partition("/")
            self._controller.enqueue(_Request(name, namespace))

    def _class_changed(self, old: StorageClass | None, new: StorageClass | None) -> None:
        for claim in self._claims.list():
            if claim.status.get("phase") == "Pending":
                self._controller.enqueue(_Request(claim.name, claim.namespace))


def _claims_used_by(pod: Pod) -> list[str]:
    """The claims that a pod uses; one that has no node yet uses none."""
    return _claims_of(pod) if pod.spec.node_name else []


def _claims_awaited_by(pod: Pod) -> list[str]:
    """The claims that a pod without node would use."""
    return [] if pod.spec.node_name else _claims_of(pod)


def _claims_of(pod: Pod) -> list[str]:
    return [
        f"{pod.namespace}/{volume.persistent_volume_claim.claim_name}"
        for volume in pod.spec.volumes
        if volume.persistent_volume_claim is not None
    ]


def _precondition(resource: PersistentVolume | PersistentVolumeClaim) -> JsonObject:
    return {"uid": resource.uid, "resourceVersion": resource.metadata.resource_version}
