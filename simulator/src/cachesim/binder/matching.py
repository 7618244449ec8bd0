"""What a claim gets and why not, and the phase of a volume: as kube-controller-manager decides it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachecore.quantity import quantity_bytes
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim
from cachecore.resources.meta import JsonObject
from cachecore.scheduling import any_term_matches, required_terms
from cachesim.binder.storage_class import ClassOf, class_name, is_delayed

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


class Wait(msgspec.Struct, frozen=True):
    """The claim stays Pending; `reason` and `message` are its event's, "" for none."""

    reason: str = ""
    message: str = ""
    type: str = "Warning"


class Bind(msgspec.Struct, frozen=True):
    """The claim and this volume belong together."""

    volume: PersistentVolume


class Lose(msgspec.Struct, frozen=True):
    """The claim was bound, and its volume is gone or another's."""

    message: str
    reason: str = "ClaimLost"


def decide_claim(
    claim: PersistentVolumeClaim,
    volumes: Sequence[PersistentVolume],
    class_of: ClassOf,
    waiting_pods: Sequence[str] = (),
) -> Bind | Wait | Lose:
    """`volumes`: all of them, sorted by name. `waiting_pods` mount the claim and have no node yet."""
    name = claim.spec.get("volumeName", "")
    if BIND_COMPLETED in claim.metadata.annotations:
        return _decide_bound(claim, next((one for one in volumes if one.name == name), None))
    if not name:
        return _find(claim, volumes, class_of, waiting_pods)
    volume = next((one for one in volumes if one.name == name), None)
    if volume is None:
        return Wait()
    reference = volume.spec.get("claimRef")
    if reference is None:
        mismatch = why_not(volume, claim)
        if mismatch:
            return Wait("VolumeMismatch", f'Cannot bind to requested volume "{name}": {mismatch}')
        return Bind(volume)
    if refers_to(reference, claim):
        # Whoever wrote the reference has decided: nothing is compared any more.
        return Bind(volume)
    return Wait("FailedBinding", f'volume "{name}" already bound to a different claim.')


def _decide_bound(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> Bind | Lose:
    if not claim.spec.get("volumeName"):
        return Lose("Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
    if volume is None:
        return Lose("Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    reference = volume.spec.get("claimRef")
    if reference is not None and reference.get("uid") != claim.uid:
        return Lose("Two claims are bound to the same volume, this one is bound incorrectly", "ClaimMisbound")
    return Bind(volume)


def refers_to(reference: JsonObject, claim: PersistentVolumeClaim) -> bool:
    """Whether a claimRef means this claim: by name while it has no uid, else this very object."""
    same_name = (reference.get("namespace"), reference.get("name")) == (claim.namespace, claim.name)
    return same_name and reference.get("uid", "") in ("", claim.uid)


def claim_reference(claim: PersistentVolumeClaim) -> JsonObject:
    """The claimRef of a volume that is bound to this very claim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": claim.namespace,
        "name": claim.name,
        "uid": claim.uid,
        "resourceVersion": claim.metadata.resource_version,
    }


def why_not(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why the volume can't serve the claim; "" when it can."""
    if volume.being_deleted:
        return f'the volume is marked for deletion "{volume.name}"'
    if _size(volume) < _wanted(claim):
        return "requested PV is too small"
    if (volume.spec.get("storageClassName") or "") != class_name(claim):
        return "storageClassName does not match"
    if _volume_mode(volume) != _volume_mode(claim):
        return "incompatible volumeMode"
    return "" if _has_modes(volume, claim) else "incompatible accessMode"


def volume_phase(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> tuple[str, str]:
    """The phase and message of a volume; `claim` is the one that its claimRef names, when it exists."""
    reference = volume.spec.get("claimRef")
    if reference is None or not reference.get("uid"):
        return "Available", ""
    if claim is not None and claim.uid == reference["uid"]:
        if claim.spec.get("volumeName") == volume.name:
            return "Bound", ""
        # In the middle of a binding (the claim's side says Bound when both agree), or about to be let go.
        return volume.status.phase or "Available", ""
    if volume.spec.get("persistentVolumeReclaimPolicy") == "Delete":
        return (
            "Failed",
            f'error getting deleter volume plugin for volume "{volume.name}": no volume plugin matched',
        )
    return "Released", ""


def is_stray(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> bool:
    """Whether the claim that the volume is bound to has another volume."""
    reference = volume.spec.get("claimRef") or {}
    if claim is None or not reference.get("uid") or claim.uid != reference["uid"]:
        return False
    return claim.spec.get("volumeName", "") not in ("", volume.name)


def find_volume(
    claim: PersistentVolumeClaim,
    volumes: Sequence[PersistentVolume],
    *,
    node: Node | None = None,
    delayed: bool = False,
) -> PersistentVolume | None:
    """The volume that is kept for the claim, or the smallest that will do.

    With `node`, one that the node can reach; without, a `delayed` claim gets none but what is kept for it.
    """
    candidates = [one for one in volumes if _is_candidate(one, claim)]
    for volume in candidates:
        if volume.spec.get("claimRef"):
            return volume if _reachable(volume, node) else None
    if delayed and node is None:
        return None
    free = [
        one
        for one in candidates
        if one.status.phase == "Available" and not why_not(one, claim) and _reachable(one, node)
    ]
    # The controller leaves volumes of many access modes to those who need them; the scheduler takes the smallest.
    return min(
        free,
        key=lambda one: (len(one.spec.get("accessModes") or ()) if node is None else 0, _size(one), one.name),
        default=None,
    )


def _find(
    claim: PersistentVolumeClaim,
    volumes: Sequence[PersistentVolume],
    class_of: ClassOf,
    waiting_pods: Sequence[str],
) -> Bind | Wait:
    delayed = is_delayed(claim, class_of)
    volume = find_volume(claim, volumes, delayed=delayed)
    if volume is not None:
        return Bind(volume)
    if delayed:
        return _wait_for_consumer(waiting_pods)
    name = class_name(claim)
    if not name:
        message = "no persistent volumes available for this claim and no storage class is set"
        return Wait("FailedBinding", message, "Normal")
    found = class_of(name)
    if found is None:
        return Wait("ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
    return Wait("ProvisioningFailed", "no volume plugin matched") if found.built_in else Wait()


def _wait_for_consumer(waiting_pods: Sequence[str]) -> Wait:
    if not waiting_pods:
        return Wait("WaitForFirstConsumer", "waiting for first consumer to be created before binding", "Normal")
    pods = f"{'pods' if len(waiting_pods) > 1 else 'pod'} {','.join(waiting_pods)}"
    return Wait("WaitForPodScheduled", f"waiting for {pods} to be scheduled", "Normal")


def _is_candidate(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    reference = volume.spec.get("claimRef")
    if reference and not refers_to(reference, claim):
        return False
    fits = _size(volume) >= _wanted(claim) and _volume_mode(volume) == _volume_mode(claim)
    return fits and _has_modes(volume, claim) and not volume.being_deleted


def _reachable(volume: PersistentVolume, node: Node | None) -> bool:
    terms = required_terms(volume.spec.get("nodeAffinity"))
    return node is None or terms is None or any_term_matches(terms, node)


def _has_modes(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return set(claim.spec.get("accessModes") or ()) <= set(volume.spec.get("accessModes") or ())


def _wanted(claim: PersistentVolumeClaim) -> int:
    return quantity_bytes(((claim.spec.get("resources") or {}).get("requests") or {}).get("storage"))


def _size(volume: PersistentVolume) -> int:
    return quantity_bytes((volume.spec.get("capacity") or {}).get("storage"))


def _volume_mode(resource: PersistentVolume | PersistentVolumeClaim) -> str:
    return str(resource.spec.get("volumeMode") or "Filesystem")
