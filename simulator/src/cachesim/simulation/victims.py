"""S6, as far as it takes memory: whether a copy had to go at all, and whether it was the one to go.

Both answers give an agent the benefit of every doubt: what it may not have seen yet, or may have forgotten in a crash,
counts in its favour. What is left is wrong for sure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachecore.store import layout
from cachesim.apiserver.store import Change
from cachesim.disk import DiskEvent
from cachesim.simulation.world import BOOKKEEPING_BYTES, World, has_ended, is_live_on, keys_of, listed_keys

JsonObject = dict[str, Any]
Fail = Callable[[str, str], None]

# Watches may be late by so much, and an agent away: what is younger may be unknown to it.
NEWS_SECONDS = 300.0


class Victims:
    """Told of each write to a pod, of each change of a disk, and of each copy that comes or goes."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._world = world
        self._fail = fail
        # By (node, key); a use is the making of a pod that was bound there.
        self._evicted_at: dict[tuple[str, str], float] = {}
        self._unlisted_at: dict[tuple[str, str], float] = {}
        self._came_at: dict[tuple[str, str], float] = {}
        self._used_at: dict[tuple[str, str], float] = {}
        self._ended_at: dict[tuple[str, str], float] = {}
        # What the agent must know by now, since it has written its ledger long after: the last use but the youngest.
        self._known_use: dict[tuple[str, str], float] = {}
        self._made_at: dict[str, float] = {}
        self._replaced_at: dict[str, float] = {}
        self._foreign_at: dict[str, float] = {}

    def pod_changed(self, change: Change) -> None:
        """A pod was made, bound, or has ended."""
        now, uid = self._world.now(), change.item["metadata"]["uid"]
        made_at = self._made_at.setdefault(uid, now)
        node = (change.item.get("spec") or {}).get("nodeName", "")
        over = change.type == "DELETED" or has_ended(change.item)
        for key in keys_of(change.item) if node else ():
            if over:
                self._ended_at[node, key] = now
            else:
                self._used_at[node, key] = max(made_at, self._used_at.get((node, key), 0.0))

    def spec_changed(self, change: Change) -> None:
        """Of a LocalModelNode. What it no longer lists goes, also where news of a later spec that does is late."""
        before = listed_keys(change.previous or {})
        after = listed_keys(change.item) if change.type != "DELETED" else set()
        for key in before - after:
            self._unlisted_at[change.item["metadata"]["name"], key] = self._world.now()

    def disk_changed(self, node: str, event: DiskEvent) -> None:
        now = self._world.now()
        if self._world.disks[node].foreign_bytes:
            self._foreign_at[node] = now
        if event.verb == "wipe":
            # Another disk: what was known of the old one is void, and what is on the new one may have any history.
            self._replaced_at[node] = now
            for known in (self._evicted_at, self._known_use):
                for place in [place for place in known if place[0] == node]:
                    del known[place]
        elif event.verb == "write" and event.path == layout.LEDGER_PATH:
            for (where, key), used_at in self._used_at.items():
                if where == node and used_at + NEWS_SECONDS < now:
                    self._known_use[node, key] = used_at

    def copy_came(self, node: str, key: str) -> None:
        self._came_at[node, key] = self._world.now()
        self._evicted_at.pop((node, key), None)

    def copy_went(self, node: str, key: str, wanted: dict[str, JsonObject]) -> None:
        """A copy that the node's spec names was evicted."""
        if self._world.now() - self._unlisted_at.get((node, key), float("-inf")) >= NEWS_SECONDS:
            self._check_need(node, key, wanted)
            self._check_order(node, key, wanted)
        self._evicted_at[node, key] = self._world.now()

    def _check_need(self, node: str, evicted: str, wanted: dict[str, JsonObject]) -> None:
        """Nothing goes while there is room for the copy, and for all that may be wanted beside it."""
        world, now = self._world, self._world.now()
        if now - self._foreign_at.get(node, float("-inf")) < NEWS_SECONDS:
            return
        here = world.published_keys(node)
        needed_bytes = world.model_bytes(node) + self._world.size_bytes(evicted)
        capacity_bytes = world.disks[node].capacity_bytes
        limit_bytes = min(world.lowest_limit_bytes, capacity_bytes - BOOKKEEPING_BYTES)
        for key in wanted:
            size_bytes = self._world.size_bytes(key)
            # For what can never fit nothing goes.
            can_fit = size_bytes <= min(world.tolerated_bytes, capacity_bytes)
            if can_fit and key != evicted and key not in here and not self._is_out(node, key):
                needed_bytes += size_bytes
        if needed_bytes <= limit_bytes:
            self._fail(
                "S6",
                f"{node}: {evicted} was evicted, though all would have taken {needed_bytes} of {limit_bytes} bytes",
            )

    def _is_out(self, node: str, key: str) -> bool:
        """Whether it was evicted, and the agent can't but know that nobody has used it since."""
        evicted_at = self._evicted_at.get((node, key))
        if evicted_at is None:
            return False
        last = max(self._used_at.get((node, key), 0.0), self._ended_at.get((node, key), 0.0))
        return last + NEWS_SECONDS < evicted_at

    def _check_order(self, node: str, evicted: str, wanted: dict[str, JsonObject]) -> None:
        """Under LRU, of two copies that could have gone the one goes whose last use is longer ago."""
        last_use = self._known_use.get((node, evicted))
        if last_use is None or self._policy(node) != "LRU":
            return
        for key in self._world.published_keys(node):
            entry = wanted.get(key)
            if entry is None or not self._could_go_instead(node, key, evicted, wanted):
                continue
            records = (self._came_at, self._used_at, self._ended_at)
            last_news = max(self._replaced_at.get(node, 0.0), *(record.get((node, key), 0.0) for record in records))
            if last_news + NEWS_SECONDS < last_use:
                self._fail("S6", f"{node}: {evicted} was evicted, though {key} was used longer ago and stays")

    def _could_go_instead(self, node: str, key: str, evicted: str, wanted: dict[str, JsonObject]) -> bool:
        entry, other = wanted[key], wanted[evicted]
        same_rank = entry.get("priority", 0) == other.get("priority", 0) and not entry.get("pinned")
        in_use = any(is_live_on(pod, node) and key in keys_of(pod) for pod in self._world.objects("pods"))
        return same_rank and not in_use and self._world.size_bytes(key) >= self._world.size_bytes(evicted)

    def _policy(self, node: str) -> str:
        spec = (self._world.object("localmodelnodes", node) or {}).get("spec") or {}
        policy: str = ((spec.get("storage") or {}).get("eviction") or {}).get("policy", "LRU")
        return policy
