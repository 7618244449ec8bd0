"""Carries out what `volumes` decided, and tells what could not be done in words."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cachecore.controller.informer import Informer
from cachecore.errors import AlreadyExists, ApiError, ApiUnavailable, Conflict, NotFound, TooManyRequests
from cachecore.ports.cluster import ClusterClient
from cachecore.resources.core import PersistentVolume, PersistentVolumeClaim, Pod
from cachemanager.demand import pod_need
from cachemanager.identity import AnyCache, CacheId
from cachemanager.volumes import (
    CACHE_IDENTITY_ANNOTATION,
    ClaimName,
    CreateClaim,
    CreateVolume,
    DeleteClaim,
    DeleteVolume,
    VolumeAction,
)

INDEX = "cache"

logger = logging.getLogger(__name__)


def identity_of(resource: PersistentVolume | PersistentVolumeClaim) -> tuple[str, ...]:
    """The index of volumes and claims by the cache that they belong to."""
    identity = resource.metadata.annotations.get(CACHE_IDENTITY_ANNOTATION, "")
    return (identity,) if identity else ()


class VolumeWriter:
    def __init__(
        self,
        client: ClusterClient,
        volumes: Informer[PersistentVolume],
        claims: Informer[PersistentVolumeClaim],
    ) -> None:
        self._client = client
        self._volumes = volumes
        self._claims = claims
        volumes.add_index(INDEX, identity_of)
        claims.add_index(INDEX, identity_of)

    def volumes_of(self, identity: CacheId) -> dict[str, PersistentVolume]:
        return {volume.name: volume for volume in self._volumes.indexed(INDEX, str(identity))}

    def claims_of(self, identity: CacheId) -> dict[ClaimName, PersistentVolumeClaim]:
        return {ClaimName(one.namespace, one.name): one for one in self._claims.indexed(INDEX, str(identity))}

    async def apply(self, actions: Iterable[VolumeAction], cache: AnyCache | None = None) -> tuple[str, ...]:
        """Do it; answers what the API server refused. Raises only what a retry may mend."""
        problems: list[str] = []
        made: set[str] = set()
        for action in actions:
            if isinstance(action, CreateClaim) and action.claim.spec.get("volumeName") in made:
                # Kubernetes does not know the volume yet; the event that it does comes.
                continue
            try:
                await self._apply(action, cache)
                if isinstance(action, CreateVolume):
                    made.add(action.volume.name)
            except (ApiUnavailable, TooManyRequests):
                raise
            except (Conflict, NotFound) as error:
                # It changed or went meanwhile, or its namespace is going: the event of that comes, or has come.
                logger.info("%s", error)
            except AlreadyExists as error:
                problem = await self._taken(action, cache)
                if problem:
                    problems.append(f"{problem} ({error})")
            except ApiError as error:
                problems.append(str(error))
        return tuple(problems)

    async def _apply(self, action: VolumeAction, cache: AnyCache | None) -> None:
        match action:
            case CreateVolume(volume=volume):
                await self._client.create(volume)
            case CreateClaim(claim=claim):
                await self._client.create(claim)
            case DeleteVolume(volume=volume):
                await self._client.delete(PersistentVolume, volume.name, uid=volume.uid)
            case DeleteClaim(claim=claim):
                if cache is not None and await self._mounted(claim):
                    logger.info("not deleted: a pod has come", extra={"cache": cache.name, "claim": claim.name})
                    return
                await self._client.delete(PersistentVolumeClaim, claim.name, namespace=claim.namespace, uid=claim.uid)
        logger.info("%s: %s", type(action).__name__, action.reason, extra={"cache": cache.name if cache else ""})

    async def _mounted(self, claim: PersistentVolumeClaim) -> bool:
        """Whether a pod uses the claim, by a quorum read: what the watch has not shown yet counts as well.

        A claim that is deleted under a pod is Terminating until that pod ends, and no other pod can be scheduled.
        """
        token = ""
        while True:
            page = await self._client.list(Pod, namespace=claim.namespace, limit=500, continue_token=token)
            needs = [need for pod in page.items if (need := pod_need(pod)) is not None]
            if any(claim.name in need.claims for need in needs):
                return True
            token = page.continue_token
            if not token:
                return False

    async def _taken(self, action: VolumeAction, cache: AnyCache | None) -> str:
        """What stands in the way of a creation: nothing when it is ours and only not seen yet."""
        if isinstance(action, CreateVolume):
            present: PersistentVolume | PersistentVolumeClaim = await self._client.get(
                PersistentVolume, action.volume.name
            )
            wanted = identity_of(action.volume)
        elif isinstance(action, CreateClaim):
            claim = action.claim
            present = await self._client.get(PersistentVolumeClaim, claim.name, claim.namespace)
            wanted = identity_of(claim)
        else:
            return ""
        if identity_of(present) == wanted or present.being_deleted:
            return ""
        owned = cache is not None and any(one.uid == cache.uid for one in present.metadata.owner_references)
        if owned:
            # KServe's controller made it for this cache: its path is the whole folder, not the view of one model.
            await self._client.delete(type(present), present.name, namespace=present.namespace, uid=present.uid)
            return ""
        return f"the name {present.name} is taken by an object of something else"
