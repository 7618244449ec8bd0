"""What admission knows of the cluster, arranged for the questions that a pod raises.

A catalog is a snapshot: made anew when an object in it changes, never altered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from cachecore.names import claim_name, storage_key
from cachecore.resources.core import Node
from cachecore.resources.serving import (
    LocalModelCache,
    LocalModelNamespaceCache,
    LocalModelNodeGroup,
    NodeStatusValue,
)
from cachecore.scheduling import group_selects, schedulable

Cache: TypeAlias = LocalModelCache | LocalModelNamespaceCache

# A node where the copy is in one of these states gives a pod nothing to wait for.
_HOPELESS = (NodeStatusValue.ERROR, NodeStatusValue.INSUFFICIENT_STORAGE)


class Claim(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One cache by way of one of its groups: what a pod mounts. In one namespace its name identifies it."""

    cache: Cache
    group: str

    @property
    def name(self) -> str:
        return claim_name(self.cache.name, self.group)

    @property
    def key(self) -> str:
        return storage_key(self.cache.spec.source_model_uri)

    @property
    def model_path(self) -> str:
        """Where the model lies in the claim's volume."""
        return f"models/{self.key}"


class Catalog:
    """Caches by URI and by claim, and the nodes of each group that can take pods."""

    def __init__(
        self,
        *,
        caches: Iterable[LocalModelCache] = (),
        namespace_caches: Iterable[LocalModelNamespaceCache] = (),
        groups: Iterable[LocalModelNodeGroup] = (),
        nodes: Iterable[Node] = (),
    ) -> None:
        usable_nodes = tuple(sorted((node for node in nodes if schedulable(node)), key=lambda node: node.name))
        # A group that goes is of no use to a new pod.
        self._nodes_of_group = {
            group.name: {node.name: node for node in usable_nodes if group_selects(group, node)}
            for group in groups
            if not group.being_deleted
        }
        self._caches_by_uri: dict[tuple[str, str], list[Cache]] = {}
        self._claims: dict[tuple[str, str], Claim] = {}
        # Caches of a namespace come first, so that their claims win where names clash.
        ordered: list[Cache] = sorted(namespace_caches, key=lambda cache: (cache.namespace, cache.name))
        ordered += sorted(caches, key=lambda cache: cache.name)
        for cache in ordered:
            uri = cache.spec.source_model_uri.rstrip("/")
            self._caches_by_uri.setdefault((cache.namespace, uri), []).append(cache)
            for group in cache.spec.node_groups:
                claim = Claim(cache=cache, group=group)
                self._claims.setdefault((cache.namespace, claim.name), claim)

    def caches_for(self, namespace: str, uri: str) -> Iterator[Cache]:
        """The caches that hold the model at `uri`: those of the namespace first, the nearest parent first."""
        parents = tuple(_uri_and_parents(uri))
        for scope in (namespace, ""):
            for parent in parents:
                for cache in self._caches_by_uri.get((scope, parent), ()):
                    if not cache.being_deleted:
                        yield cache

    def claim(self, namespace: str, name: str) -> Claim | None:
        """The cache and group behind a claim of that namespace; None when the claim is nothing of ours."""
        return self._claims.get((namespace, name)) or self._claims.get(("", name))

    def nodes_of(self, claim: Claim) -> Iterator[Node]:
        """The nodes where a pod can get this copy: of the group, fit for pods, with a copy there or to be expected."""
        status = claim.cache.status.node_status
        for node in self._nodes_of_group.get(claim.group, {}).values():
            if status.get(node.name) not in _HOPELESS:
                yield node

    def offers(self, claim: Claim, node: Node) -> bool:
        """Whether that node is one of them."""
        nodes = self._nodes_of_group.get(claim.group, {})
        return node.name in nodes and claim.cache.status.node_status.get(node.name) not in _HOPELESS

    def has_failed(self, claim: Claim) -> bool:
        """Whether the group has nodes that can take pods, and the copy is without hope on all of them."""
        return bool(self._nodes_of_group.get(claim.group)) and not any(True for _ in self.nodes_of(claim))


def _uri_and_parents(uri: str) -> Iterator[str]:
    scheme, separator, path = uri.rstrip("/").partition("://")
    while path:
        yield f"{scheme}{separator}{path}"
        path = path.rpartition("/")[0].rstrip("/")
