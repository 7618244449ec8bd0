"""The nodes chosen for the caches that go to some nodes only (`copies`): decided once, kept while they stay good."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cachemanager.fleet import Fleet, Touched
from cachemanager.groups import bytes_or_none
from cachemanager.identity import AnyCache, CacheId, cache_id
from cachemanager.placement import Candidate, Placement, belongs, place_copies, place_everywhere
from cachemanager.placement_decisions import tell_placement

# A copy beyond `copies`, there because a pod needed it, stays so long after the last such pod has gone: pods come back.
LINGER_SECONDS = 300.0


class Placements:
    """Answers where a cache goes. What was assigned stays assigned: a restart reads it back from the nodes' specs."""

    def __init__(self, fleet: Fleet, monotonic: Callable[[], float]) -> None:
        self._fleet = fleet
        self._monotonic = monotonic
        self._chosen: dict[CacheId, Placement] = {}
        self._stale: dict[CacheId, None] = {}
        # Chosen, but not in the node's spec yet: caches that come together must not all choose the same node.
        self._pending_bytes: dict[str, dict[CacheId, int]] = {}
        # Where the answer has changed since the last `refresh`: a look at one node may be what decides anew.
        self._moved: dict[CacheId, dict[str, None]] = {}
        # The nodes where pods need a cache: None while one does, else when the last one left.
        self._left_at_seconds: dict[CacheId, dict[str, float | None]] = {}

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

    def reported(self, touched: Touched) -> None:
        """Agents have news: a copy beyond `copies` may go once enough others are whole."""
        if not touched.nodes and not touched.groups:
            # News of progress alone, which come every other second, choose no other node.
            return
        for identity in touched.caches:
            placement, cache = self._chosen.get(identity), self._fleet.caches.get(identity)
            if placement is not None and cache is not None and len(placement.nodes) > (cache.spec.copies or 0):
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
        if self.settles_in_seconds(identity) == 0.0:
            self._stale[identity] = None
        self._choose(cache)
        return tuple(self._moved.pop(identity, ()))

    def assigned_group(self, cache: AnyCache, node: str, identity: CacheId | None = None) -> str:
        """The group under which the node holds the cache; "" when it does not. `identity` is the cache's."""
        if cache.spec.copies is not None:
            return self._choose(cache, identity).nodes.get(node, "")
        candidate = self._fleet.candidate(cache, node)
        return candidate.group if candidate is not None and belongs(candidate) else ""

    def settles_in_seconds(self, identity: CacheId) -> float | None:
        """When a copy that lingers is due to go; None when none does."""
        left = [moment for moment in self._left_at_seconds.get(identity, {}).values() if moment is not None]
        return max(0.0, min(left) + LINGER_SECONDS - self._monotonic()) if left else None

    def forget(self, identity: CacheId) -> None:
        """The cache goes nowhere any more."""
        self._left_at_seconds.pop(identity, None)
        self._moved.pop(identity, None)
        self._drop(identity)

    def _drop(self, identity: CacheId) -> None:
        placement = self._chosen.pop(identity, None)
        self._stale.pop(identity, None)
        for node in placement.nodes if placement is not None else ():
            self._pending_bytes.get(node, {}).pop(identity, None)

    def _unsettled(self, cache: AnyCache, node: str, placement: Placement) -> bool:
        candidate = self._fleet.candidate(cache, node)
        if node in placement.nodes:
            return candidate is None or candidate.group != placement.nodes[node] or not candidate.demanded
        return candidate is not None and candidate.demanded

    def _choose(self, cache: AnyCache, identity: CacheId | None = None) -> Placement:
        identity = identity or cache_id(cache)
        old = self._chosen.get(identity)
        if old is not None and identity not in self._stale:
            return old
        size = bytes_or_none(cache.spec.model_size) or 0
        present = [self._with_pending(one, identity, old) for one in self._fleet.candidates(cache)]
        candidates = self._lingering(identity, present)
        self._drop(identity)
        placement = place_copies(cache.spec.copies or 0, size, str(identity), candidates)
        self._chosen[identity] = placement
        before = old.nodes if old is not None else {}
        if placement.nodes != before:
            tell_placement(str(identity), cache.spec.copies or 0, size, candidates, placement)
        changed = (node for node in (*before, *placement.nodes) if before.get(node) != placement.nodes.get(node))
        self._moved.setdefault(identity, {}).update(dict.fromkeys(changed))
        for node in placement.nodes:
            if not self._fleet.listed(identity, node):
                self._pending_bytes.setdefault(node, {})[identity] = size
        return placement

    def _with_pending(self, candidate: Candidate, identity: CacheId, old: Placement | None) -> Candidate:
        waiting = self._pending_bytes.get(candidate.node)
        assigned = candidate.assigned or (old is not None and candidate.node in old.nodes)
        if not waiting and assigned == candidate.assigned:
            return candidate
        pending = sum(
            size
            for other, size in (waiting or {}).items()
            if other != identity and not self._fleet.listed(other, candidate.node)
        )
        return msgspec.structs.replace(candidate, assigned=assigned, free_bytes=candidate.free_bytes - pending)

    def _lingering(self, identity: CacheId, candidates: list[Candidate]) -> list[Candidate]:
        """A node that a pod has just left counts as needed for a while."""
        now = self._monotonic()
        before = self._left_at_seconds.pop(identity, {})
        after: dict[str, float | None] = {}
        answer: list[Candidate] = []
        for candidate in candidates:
            if candidate.demanded:
                after[candidate.node] = None
            elif candidate.node in before:
                left = before[candidate.node]
                moment = now if left is None else left
                if now < moment + LINGER_SECONDS:
                    after[candidate.node] = moment
                    answer.append(msgspec.structs.replace(candidate, demanded=True))
                    continue
            answer.append(candidate)
        if after:
            self._left_at_seconds[identity] = after
        return answer
