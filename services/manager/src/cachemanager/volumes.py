"""Which PersistentVolumes and claims a cache has, and what to do about those that are there. Pure functions.

A volume's path is the *view* of one model below the group's path: a namespace sees the model it asked for and nothing
else. Names are KServe's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from cachecore import names
from cachecore.resources.core import PersistentVolume, PersistentVolumeClaim
from cachecore.resources.meta import JsonObject, ObjectMeta, owner_reference
from cachecore.resources.serving import LocalModelNamespaceCache, LocalModelNodeGroup
from cachemanager.groups import group_path, volume_node_affinity
from cachemanager.identity import AnyCache, cache_id, cache_key

CACHE_IDENTITY_ANNOTATION = f"{names.DOMAIN}/cache"
OWNED_SELECTOR = names.CACHE_NAME_LABEL
_LONGEST_LABEL_VALUE = 63


class ClaimName(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class CreateVolume(msgspec.Struct, frozen=True, kw_only=True):
    volume: PersistentVolume
    reason: str


class CreateClaim(msgspec.Struct, frozen=True, kw_only=True):
    claim: PersistentVolumeClaim
    reason: str


class DeleteVolume(msgspec.Struct, frozen=True, kw_only=True):
    volume: PersistentVolume
    reason: str


class DeleteClaim(msgspec.Struct, frozen=True, kw_only=True):
    claim: PersistentVolumeClaim
    reason: str


VolumeAction: TypeAlias = CreateVolume | CreateClaim | DeleteVolume | DeleteClaim


class VolumePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, in order, and what cannot be done now, in words."""

    actions: tuple[VolumeAction, ...] = ()
    problems: tuple[str, ...] = ()


def label_value(name: str) -> str:
    """An object's name as a label's value: shortened with a hash where it is too long for one."""
    if len(name) <= _LONGEST_LABEL_VALUE:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: _LONGEST_LABEL_VALUE - 13]}-{digest}"


def _metadata(cache: AnyCache, group: str, *, name: str, namespace: str = "") -> ObjectMeta:
    # A volume belongs to no namespace, so nothing in a namespace may own it: it is deleted by its annotation.
    owned = bool(namespace) or not isinstance(cache, LocalModelNamespaceCache)
    return ObjectMeta(
        name=name,
        namespace=namespace,
        labels={
            names.CACHE_NAME_LABEL: label_value(cache.name),
            names.CACHE_NAMESPACE_LABEL: cache.namespace,
            names.NODE_GROUP_LABEL: label_value(group),
        },
        annotations={CACHE_IDENTITY_ANNOTATION: str(cache_id(cache))},
        owner_references=(owner_reference(cache),) if owned else (),
    )


def desired_volume(cache: AnyCache, group: LocalModelNodeGroup, namespace: str) -> PersistentVolume:
    """The volume through which `namespace` sees the model on the nodes of `group`."""
    given = group.spec.persistent_volume_spec
    view = f"{group_path(group).rstrip('/')}/{cache_key(cache)}"
    source = "local" if given.get("local") else "hostPath"
    spec: JsonObject = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": group.spec.storage_limit},
        "storageClassName": "",
        "volumeMode": "Filesystem",
        **given,
        source: {**given[source], "path": view},
        "nodeAffinity": volume_node_affinity(group),
        # The data's life is the agent's to decide, never the volume's.
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace,
            "name": names.claim_name(cache.name, group.name),
        },
    }
    if source == "local":
        # Namespaces share the copy, and no access mode keeps a kubelet from mounting it for writing; a host path has no
        # options.
        options = [option for option in given.get("mountOptions") or () if option not in ("ro", "rw")]
        spec["mountOptions"] = [*options, "ro"]
    name = names.volume_name(cache.name, group.name, namespace)
    return PersistentVolume(metadata=_metadata(cache, group.name, name=name), spec=spec)


def desired_claim(cache: AnyCache, group: LocalModelNodeGroup, namespace: str) -> PersistentVolumeClaim:
    """The claim that pods of `namespace` mount."""
    volume = group.spec.persistent_volume_spec
    capacity = (volume.get("capacity") or {}).get("storage", group.spec.storage_limit)
    spec: JsonObject = {
        "accessModes": volume.get("accessModes") or ["ReadWriteOnce"],
        "resources": {"requests": {"storage": capacity}},
        # Left out, a default class would be filled in, which the volume does not have.
        "storageClassName": volume.get("storageClassName", ""),
        "volumeMode": volume.get("volumeMode", "Filesystem"),
        **group.spec.persistent_volume_claim_spec,
        "volumeName": names.volume_name(cache.name, group.name, namespace),
    }
    name = names.claim_name(cache.name, group.name)
    return PersistentVolumeClaim(metadata=_metadata(cache, group.name, name=name, namespace=namespace), spec=spec)


def volume_outdated(present: PersistentVolume, wanted: PersistentVolume) -> str:
    """Why a volume no longer says what it should, in words; "" when it does. Neither field can be changed in place."""
    for source in ("local", "hostPath"):
        if (present.spec.get(source) or {}).get("path") != (wanted.spec.get(source) or {}).get("path"):
            return "its path changed"
    if present.spec.get("nodeAffinity") != wanted.spec.get("nodeAffinity"):
        return "its node affinity changed"
    return owned_by_another(present, wanted)


def owned_by_another(
    present: PersistentVolume | PersistentVolumeClaim, wanted: PersistentVolume | PersistentVolumeClaim
) -> str:
    """Whether its owner is an earlier cache of that name, in words; the garbage collector would take it away."""
    owners = {one.uid for one in present.metadata.owner_references}
    wanted_owners = {one.uid for one in wanted.metadata.owner_references}
    return "" if not owners or wanted_owners <= owners else "it belongs to an earlier cache of that name"


def volume_stranded(present: PersistentVolume, claim: PersistentVolumeClaim | None) -> str:
    """Why a volume can never be bound to the claim that is there now, in words; "" when it can."""
    if present.status.phase in ("Released", "Failed"):
        return f"it is {present.status.phase}"
    bound_uid = (present.spec.get("claimRef") or {}).get("uid", "")
    if claim is not None and bound_uid and bound_uid != claim.uid:
        return "it is bound to an earlier claim of that name"
    return ""


def plan_volumes(
    cache: AnyCache,
    groups: Sequence[LocalModelNodeGroup],
    namespaces: Collection[str],
    volumes: Mapping[str, PersistentVolume],
    claims: Mapping[ClaimName, PersistentVolumeClaim],
    claims_in_use: Collection[ClaimName],
) -> VolumePlan:
    """Compare the volumes and claims that are there, all of them this cache's, with those that should be."""
    actions: list[VolumeAction] = []
    problems: list[str] = []
    wanted_volumes: set[str] = set()
    wanted_claims: set[ClaimName] = set()
    usable = [group for group in groups if group_path(group)]
    for namespace in sorted(namespaces):
        for group in usable:
            volume = desired_volume(cache, group, namespace)
            claim = desired_claim(cache, group, namespace)
            claim_key = ClaimName(namespace, claim.name)
            wanted_volumes.add(volume.name)
            wanted_claims.add(claim_key)
            in_use = claim_key in claims_in_use
            pair = _plan_pair(volume, volumes.get(volume.name), claim, claims.get(claim_key), in_use=in_use)
            actions += pair.actions
            problems += pair.problems
    surplus = _surplus(
        (claims[key] for key in sorted(claims) if key not in wanted_claims),
        (volumes[name] for name in sorted(volumes) if name not in wanted_volumes),
        "nothing uses it any more",
    )
    return VolumePlan(actions=(*actions, *surplus), problems=tuple(problems))


def remove_all(
    volumes: Mapping[str, PersistentVolume], claims: Mapping[ClaimName, PersistentVolumeClaim], reason: str
) -> tuple[VolumeAction, ...]:
    """Delete every volume and claim that is not being deleted yet."""
    return _surplus((claims[key] for key in sorted(claims)), (volumes[name] for name in sorted(volumes)), reason)


def _surplus(
    claims: Iterable[PersistentVolumeClaim], volumes: Iterable[PersistentVolume], reason: str
) -> tuple[VolumeAction, ...]:
    return (
        *(DeleteClaim(claim=claim, reason=reason) for claim in claims if not claim.being_deleted),
        *(DeleteVolume(volume=volume, reason=reason) for volume in volumes if not volume.being_deleted),
    )


def _plan_pair(
    wanted_volume: PersistentVolume,
    volume: PersistentVolume | None,
    wanted_claim: PersistentVolumeClaim,
    claim: PersistentVolumeClaim | None,
    *,
    in_use: bool,
) -> VolumePlan:
    actions: list[VolumeAction] = []
    outdated = volume_outdated(volume, wanted_volume) if volume is not None else ""
    if outdated and in_use:
        problem = f"volume {wanted_volume.name}: {outdated}, and pods still use claim {claim_text(wanted_claim)}"
        return VolumePlan(problems=(problem,))
    settled = volume is None
    if volume is None:
        actions.append(CreateVolume(volume=wanted_volume, reason="a service or pod needs it"))
    elif not volume.being_deleted:
        reason = outdated or volume_stranded(volume, claim)
        if reason:
            actions.append(DeleteVolume(volume=volume, reason=reason))
        else:
            settled = volume.status.phase != "Pending"
    if claim is None:
        # Kubernetes' controller binds a claim when it meets it, if it knows the volume by then; else it comes back to
        # the claim after 15 s, and a pod waits. The volume's phase is that controller's own word. Where the volume is
        # only made now, `VolumeWriter` leaves the claim for later; where its name is taken, the claim's may be too.
        if settled:
            actions.append(CreateClaim(claim=wanted_claim, reason="a service or pod needs it"))
    elif not claim.being_deleted:
        phase = claim.status.get("phase")
        orphaned = owned_by_another(claim, wanted_claim)
        if orphaned:
            actions.insert(0, DeleteClaim(claim=claim, reason=orphaned))
        elif outdated and phase == "Bound":
            actions.insert(0, DeleteClaim(claim=claim, reason=f"its volume: {outdated}"))
        elif phase == "Lost":
            # Its volume went away under it: such a claim is never bound again.
            actions.insert(0, DeleteClaim(claim=claim, reason="its volume was lost"))
    return VolumePlan(actions=tuple(actions))


def claim_text(claim: PersistentVolumeClaim) -> str:
    return str(ClaimName(claim.namespace, claim.name))
