"""What a claim gets and why not, and the phase of a volume: as kube-controller-manager decides it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachecore.quantity import quantity_bytes
from cachecore.resources.core import PersistentVolume, PersistentVolumeClaim
from cachecore.resources.meta import JsonObject


class Wait(msgspec.Struct, frozen=True):
    """The claim stays Pending; `reason` and `message` are its event's."""

    reason: str
    message: str


class Bind(msgspec.Struct, frozen=True):
    """The claim and this volume belong together."""

    volume: PersistentVolume


class Lose(msgspec.Struct, frozen=True):
    """The claim was bound, and its volume is gone or another's."""

    message: str


def decide_claim(claim: PersistentVolumeClaim, volumes: Sequence[PersistentVolume]) -> Bind | Wait | Lose:
    """`volumes`: all of them, sorted by name."""
    name = claim.spec.get("volumeName", "")
    if not name:
        return _find(claim, volumes)
    volume = next((one for one in volumes if one.name == name), None)
    bound_before = claim.status.get("phase") in ("Bound", "Lost")
    if volume is None:
        if bound_before:
            return Lose("Bound claim has lost its PersistentVolume. Data on the volume is lost!")
        return Wait("FailedBinding", f'volume "{name}" not found')
    reference = volume.spec.get("claimRef")
    if reference is not None and not refers_to(reference, claim):
        if bound_before:
            return Lose("Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
        return Wait("FailedBinding", f'volume "{name}" already bound to a different claim.')
    if not bound_before and (mismatch := why_not(volume, claim)):
        return Wait("VolumeMismatch", f'Cannot bind to requested volume "{name}": {mismatch}')
    return Bind(volume)


def refers_to(reference: JsonObject, claim: PersistentVolumeClaim) -> bool:
    """Whether a claimRef means this claim: by name while it has no uid, else this very object."""
    same_name = (reference.get("namespace"), reference.get("name")) == (claim.namespace, claim.name)
    return same_name and reference.get("uid", "") in ("", claim.uid)


def why_not(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why the volume can't serve the claim; "" when it can."""
    if volume.being_deleted:
        return "the volume is being deleted"
    wanted = quantity_bytes(((claim.spec.get("resources") or {}).get("requests") or {}).get("storage"))
    if quantity_bytes((volume.spec.get("capacity") or {}).get("storage")) < wanted:
        return "requested PV is too small"
    if (volume.spec.get("storageClassName") or "") != (claim.spec.get("storageClassName") or ""):
        return "storageClassName does not match"
    if (volume.spec.get("volumeMode") or "Filesystem") != (claim.spec.get("volumeMode") or "Filesystem"):
        return "incompatible volumeMode"
    missing = [
        mode for mode in claim.spec.get("accessModes") or () if mode not in (volume.spec.get("accessModes") or ())
    ]
    return "incompatible accessMode" if missing else ""


def volume_phase(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> tuple[str, str]:
    """The phase and message of a volume; `claim` is the one that its claimRef names, when it exists."""
    reference = volume.spec.get("claimRef")
    if reference is None or not reference.get("uid"):
        return "Available", ""
    if claim is not None and claim.uid == reference["uid"]:
        if claim.spec.get("volumeName"):
            return ("Bound" if claim.spec["volumeName"] == volume.name else "Released"), ""
        # In the middle of a binding: the claim's side says Bound when both agree.
        return volume.status.phase or "Available", ""
    if volume.spec.get("persistentVolumeReclaimPolicy") == "Delete":
        return "Failed", "error getting deleter volume plugin for volume: no volume plugin matched"
    return "Released", ""


def _find(claim: PersistentVolumeClaim, volumes: Sequence[PersistentVolume]) -> Bind | Wait:
    """The smallest volume that will do; one that is kept for this claim comes first."""
    kept = [one for one in volumes if (one.spec.get("claimRef") or {}) and refers_to(one.spec["claimRef"], claim)]
    free = [one for one in volumes if not one.spec.get("claimRef") and one.status.phase in ("", "Available", "Pending")]
    for candidates in (kept, free):
        fitting = [one for one in candidates if not why_not(one, claim)]
        if fitting:
            return Bind(min(fitting, key=lambda one: (quantity_bytes(one.spec["capacity"]["storage"]), one.name)))
    return Wait("FailedBinding", "no persistent volumes available for this claim and no storage class is set")
