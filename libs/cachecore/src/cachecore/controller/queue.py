"""A work queue: keys wait once, run one at a time each, come back later, back off when they fail."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

import msgspec

from cachecore.ports.runtime import Runtime

K = TypeVar("K", bound=Hashable)


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential delays with jitter: `base * factor ** (attempt - 1)`, at most `max`, times 1 ± `jitter`."""

    base_seconds: float = 0.5
    max_seconds: float = 300.0
    factor: float = 2.0
    jitter: float = 0.2

    def delay_seconds(self, attempt: int, chance: random.Random) -> float:
        """The delay after failure number `attempt`, counted from 1."""
        # Beyond 64 doublings any sensible maximum is reached, and a float would overflow at some point.
        delay = min(self.max_seconds, self.base_seconds * self.factor ** min(max(attempt, 1) - 1, 64))
        return delay * (1.0 + self.jitter * (2.0 * chance.random() - 1.0))


class WorkQueue(Generic[K]):
    """Keys to reconcile, first in first out.

    A key that waits already is not added again. One that is being worked on waits aside until `done`, so that no two
    workers ever hold the same key. A delayed key keeps the earliest of its times.
    """

    def __init__(self, runtime: Runtime, backoff: Backoff = Backoff()) -> None:
        self._runtime = runtime
        self._backoff = backoff
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._delayed: list[tuple[float, int, K]] = []
        self._due_seconds: dict[K, float] = {}
        self._sequence = 0
        self._failures: dict[K, int] = {}
        self._changed = runtime.signal()

    def __len__(self) -> int:
        """How many keys wait to be worked on now; the delayed ones and those in work are not counted."""
        return len(self._waiting)

    def add(self, key: K) -> None:
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._changed.set()

    def add_after(self, key: K, delay_seconds: float) -> None:
        if delay_seconds <= 0:
            self.add(key)
            return
        due = self._runtime.monotonic() + delay_seconds
        if due >= self._due_seconds.get(key, float("inf")):
            return
        self._due_seconds[key] = due
        self._sequence += 1
        heapq.heappush(self._delayed, (due, self._sequence, key))
        self._changed.set()

    def add_failed(self, key: K, *, least_seconds: float = 0.0) -> float:
        """Add after a delay that grows with each failure since the last `forget`; answer the delay."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(least_seconds, self._backoff.delay_seconds(self._failures[key], self._runtime.random))
        self.add_after(key, delay)
        return delay

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """The key has succeeded: its next failure starts from the first delay."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key and take it; `done` must follow."""
        while True:
            timeout_seconds = self._promote_due()
            if self._ready:
                key = self._ready.popleft()
                self._waiting.discard(key)
                self._working.add(key)
                return key
            self._changed.clear()
            await self._changed.wait(timeout_seconds)

    def done(self, key: K) -> None:
        """The work on a key has ended; it is ready again when it was added meanwhile."""
        self._working.discard(key)
        if key in self._waiting:
            self._ready.append(key)
            self._changed.set()

    def _promote_due(self) -> float | None:
        """Move what is due to the ready ones; answer in how many seconds the next one is due."""
        while self._delayed:
            due, _, key = self._delayed[0]
            if self._due_seconds.get(key) != due:
                # An earlier time took its place.
                heapq.heappop(self._delayed)
                continue
            remaining = due - self._runtime.monotonic()
            if remaining > 0:
                return remaining
            heapq.heappop(self._delayed)
            del self._due_seconds[key]
            self.add(key)
        return None
