"""What the claims of a pod mean for its node: where bound volumes are, and which free volumes could be bound. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from cachecore.scheduling import any_term_matches, required_terms
from cachesim.binder import BIND_COMPLETED, StorageClass, find_volume, is_delayed


class UnusableClaim(Exception):
    """A claim of the pod can't be used on any node."""


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that waits for its first consumer, and the volume that it is to get."""

    claim: PersistentVolumeClaim
    volume: PersistentVolume


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """The claims, volumes and classes of the cluster, as the scheduler asks for them."""

    claim_of: Callable[[str], PersistentVolumeClaim | None]
    volume_of: Callable[[str], PersistentVolume | None]
    volumes: Callable[[], Sequence[PersistentVolume]]
    class_of: Callable[[str], StorageClass | None]


class PodClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of one pod: the volumes of the bound ones, and those that wait for the pod's node."""

    bound: tuple[PersistentVolume | None, ...] = ()
    delayed: tuple[PersistentVolumeClaim, ...] = ()

    def refusal(self, node: Node, storage: Storage) -> str:
        """Why the node will not do; "" when it will."""
        if not self.bound and not self.delayed:
            return ""
        if any(volume is not None and not _is_reachable(volume, node) for volume in self.bound):
            return "node(s) didn't match PersistentVolume's node affinity"
        if self.delayed and self.bindings(node, storage) is None:
            return "node(s) didn't find available persistent volumes to bind"
        if None in self.bound:
            return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
        return ""

    def bindings(self, node: Node, storage: Storage) -> tuple[Binding, ...] | None:
        """A volume that the node can reach for each claim that waits; None when one finds none."""
        chosen: list[Binding] = []
        for claim in self.delayed:
            taken = {binding.volume.name for binding in chosen}
            free = [volume for volume in storage.volumes() if volume.name not in taken]
            volume = find_volume(claim, free, node=node)
            if volume is None:
                return None
            chosen.append(Binding(claim=claim, volume=volume))
        return tuple(chosen)


def claims_of(pod: Pod, storage: Storage) -> PodClaims:
    """Raises `UnusableClaim`."""
    names = [
        volume.persistent_volume_claim.claim_name
        for volume in pod.spec.volumes
        if volume.persistent_volume_claim is not None
    ]
    claims = [_usable(name, storage.claim_of(name)) for name in names]
    unbound = [claim for claim in claims if BIND_COMPLETED not in claim.metadata.annotations]
    if any(claim.spec.get("volumeName") or not is_delayed(claim, storage.class_of) for claim in unbound):
        raise UnusableClaim("pod has unbound immediate PersistentVolumeClaims")
    bound = [claim for claim in claims if claim not in unbound]
    return PodClaims(
        bound=tuple(storage.volume_of(claim.spec.get("volumeName", "")) for claim in bound), delayed=tuple(unbound)
    )


def _usable(name: str, claim: PersistentVolumeClaim | None) -> PersistentVolumeClaim:
    if claim is None:
        raise UnusableClaim(f'persistentvolumeclaim "{name}" not found')
    if claim.status.get("phase") == "Lost":
        volume = claim.spec.get("volumeName", "")
        raise UnusableClaim(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"')
    if claim.being_deleted:
        raise UnusableClaim(f'persistentvolumeclaim "{name}" is being deleted')
    return claim


def _is_reachable(volume: PersistentVolume, node: Node) -> bool:
    terms = required_terms(volume.spec.get("nodeAffinity"))
    return terms is None or any_term_matches(terms, node)
