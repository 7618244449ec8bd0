"""The nodes chosen for the caches that go to some nodes only (`copies`): decided once, kept while they stay good."""

from __future__ import annotations

import msgspec

from cachemanager.fleet import Fleet, Touched
from cachemanager.groups import bytes_or_none
from cachemanager.identity import AnyCache, CacheId, cache_id
from cachemanager.placement import Candidate, Placement, belongs, place_copies, place_everywhere


class Placements:
    """Answers where a cache goes. What was assigned stays assigned: a restart reads it back from the nodes' specs."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._chosen: dict[CacheId, Placement] = {}
        self._stale: dict[CacheId, None] = {}
        # Chosen, but not in the node's spec yet: caches that come together must not all choose the same node.
        self._pending_bytes: dict[str, dict[CacheId, int]] = {}

    def invalidate(self, touched: Touched) -> None:
        """A change came: those that it could move are decided anew at their next reconcile."""
        for identity in touched.caches:
            placement = self._chosen.get(identity)
            cache = self._fleet.caches.get(identity)
            if placement is None or cache is None:
                continue
            short = len(placement.nodes) < (cache.spec.copies or 0)
            if short or any(self._unsettled(cache, node, placement) for node in touched.nodes):
                self._stale[identity] = None

    def spec_changed(self, identity: CacheId) -> None:
        if identity in self._chosen:
            self._stale[identity] = None

    def placement(self, cache: AnyCache) -> Placement:
        """Where the cache goes."""
        if cache.spec.copies is None:
            return place_everywhere(self._fleet.candidates(cache))
        return self._choose(cache)

    def refresh(self, cache: AnyCache) -> tuple[str, ...]:
        """Decide anew if that is due; answers the nodes where the answer is another now."""
        identity = cache_id(cache)
        old = self._chosen.get(identity)
        if cache.spec.copies is None:
            self.forget(identity)
            return () if old is None else tuple(old.nodes)
        if old is not None and identity not in self._stale:
            return ()
        new = self._choose(cache)
        before = old.nodes if old is not None else {}
        return tuple(node for node in dict.fromkeys((*before, *new.nodes)) if before.get(node) != new.nodes.get(node))

    def assigned_group(self, cache: AnyCache, node: str) -> str:
        """The group under which the node holds the cache; "" when it does not."""
        if cache.spec.copies is not None:
            return self._choose(cache).nodes.get(node, "")
        candidate = self._fleet.candidate(cache, node)
        return candidate.group if candidate is not None and belongs(candidate) else ""

    def forget(self, identity: CacheId) -> None:
        placement = self._chosen.pop(identity, None)
        self._stale.pop(identity, None)
        for node in placement.nodes if placement is not None else ():
            self._pending_bytes.get(node, {}).pop(identity, None)

    def _unsettled(self, cache: AnyCache, node: str, placement: Placement) -> bool:
        candidate = self._fleet.candidate(cache, node)
        if node in placement.nodes:
            return candidate is None or candidate.group != placement.nodes[node] or not candidate.demanded
        return candidate is not None and candidate.demanded

    def _choose(self, cache: AnyCache) -> Placement:
        identity = cache_id(cache)
        old = self._chosen.get(identity)
        if old is not None and identity not in self._stale:
            return old
        size = bytes_or_none(cache.spec.model_size) or 0
        candidates = [self._with_pending(one, identity, old) for one in self._fleet.candidates(cache)]
        self.forget(identity)
        placement = place_copies(cache.spec.copies or 0, size, str(identity), candidates)
        self._chosen[identity] = placement
        for node in placement.nodes:
            if not self._fleet.listed(identity, node):
                self._pending_bytes.setdefault(node, {})[identity] = size
        return placement

    def _with_pending(self, candidate: Candidate, identity: CacheId, old: Placement | None) -> Candidate:
        pending = sum(
            size
            for other, size in self._pending_bytes.get(candidate.node, {}).items()
            if other != identity and not self._fleet.listed(other, candidate.node)
        )
        assigned = candidate.assigned or (old is not None and candidate.node in old.nodes)
        return msgspec.structs.replace(candidate, assigned=assigned, free_bytes=candidate.free_bytes - pending)
