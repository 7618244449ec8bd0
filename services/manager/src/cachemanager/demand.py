"""What pods need: which models on which nodes, in which namespaces, through which claims."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from cachecore import names
from cachecore.resources.core import Pod
from cachemanager.identity import AnyCache, cache_key
from cachemanager.volumes import ClaimName


class PodNeed(msgspec.Struct, frozen=True, kw_only=True):
    """What one pod that has not ended needs. `node` is "" until it is bound."""

    namespace: str
    node: str
    keys: tuple[str, ...]
    claims: tuple[str, ...]


def pod_need(pod: Pod) -> PodNeed | None:
    """None when the pod needs no model of ours, or has ended for good."""
    keys = names.pod_keys(pod)
    if not keys or pod.terminal:
        return None
    volumes = (volume.persistent_volume_claim for volume in pod.spec.volumes)
    claims = tuple(claim.claim_name for claim in volumes if claim is not None)
    return PodNeed(namespace=pod.namespace, node=pod.spec.node_name, keys=keys, claims=claims)


class PodDemand:
    """The needs of all pods, by storage key and node. Every change answers whether anything is different now."""

    def __init__(self) -> None:
        self._needs: dict[tuple[str, str], PodNeed] = {}
        self._by_key: dict[str, dict[tuple[str, str], PodNeed]] = {}
        self._by_place: dict[tuple[str, str], dict[tuple[str, str], PodNeed]] = {}

    def put(self, namespace: str, name: str, need: PodNeed | None) -> tuple[PodNeed, ...]:
        """Replace what a pod needs; answers the old and the new need where they differ, or nothing."""
        pod = (namespace, name)
        old = self._needs.get(pod)
        if old == need:
            return ()
        for key in old.keys if old is not None else ():
            _take(self._by_key, key, pod)
            _take(self._by_place, (key, old.node if old is not None else ""), pod)
        if need is None:
            self._needs.pop(pod, None)
        else:
            self._needs[pod] = need
            for key in need.keys:
                self._by_key.setdefault(key, {})[pod] = need
                self._by_place.setdefault((key, need.node), {})[pod] = need
        return tuple(one for one in (old, need) if one is not None)

    def on_node(self, cache: AnyCache, key: str, node: str) -> bool:
        """Whether a pod that is bound to the node, and may use the cache, needs it."""
        needs = self._by_place.get((key, node))
        if not needs:
            return False
        return not cache.namespace or any(need.namespace == cache.namespace for need in needs.values())

    def namespaces(self, cache: AnyCache) -> set[str]:
        """The namespaces whose pods need the cache's claims."""
        return {need.namespace for need in self._users(cache)}

    def claims_in_use(self, cache: AnyCache) -> set[ClaimName]:
        """The claims of the cache that pods mount."""
        return {ClaimName(need.namespace, claim) for need in self._users(cache) for claim in need.claims}

    def _users(self, cache: AnyCache) -> Iterator[PodNeed]:
        claims = {names.claim_name(cache.name, group) for group in cache.spec.node_groups}
        for need in self._by_key.get(cache_key(cache), {}).values():
            visible = not cache.namespace or need.namespace == cache.namespace
            if visible and (not need.claims or not claims.isdisjoint(need.claims)):
                yield need


def _take(index: dict, key: object, pod: tuple[str, str]) -> None:  # type: ignore[type-arg]
    members = index.get(key)
    if members is not None:
        members.pop(pod, None)
        if not members:
            del index[key]
