"""How many parts of all downloads of a node move at once: a number that finds its own level.

It climbs while more connections bring more bytes per second, goes back when they don't, and halves when a store asks
for less: additive increase and multiplicative decrease (Chiu and Jain, 1989), with the climb tried by measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from cachecore.ports import Runtime, Signal

Rank: TypeAlias = tuple[Any, ...]

WINDOW_SECONDS = 1.0
# More connections must bring at least this much, or the fewer ones do as well.
GAIN = 1.05
# After a trial that brought nothing the network may change; after a store's complaint it needs its rest.
HOLD_SECONDS = 30.0
REST_SECONDS = 10.0


class _Waiter(msgspec.Struct, frozen=True, eq=False):
    rank: Callable[[], Rank]
    signal: Signal


class _Trial(msgspec.Struct, frozen=True):
    """The level before the climb, and what it had brought."""

    limit: int
    bytes_per_second: float


class Connections:
    """A gate that `limit` parts may have passed at once, the ones that rank lowest first."""

    def __init__(self, runtime: Runtime, *, initial: int, maximum: int) -> None:
        self._runtime = runtime
        self.maximum = maximum
        self.limit = min(initial, maximum)
        self._active = 0
        self._waiters: list[_Waiter] = []
        self._trial: _Trial | None = None
        self._hold_until_seconds = 0.0
        self._halved_at_seconds = -WINDOW_SECONDS
        self._began_seconds = runtime.monotonic()
        self._left_seconds = self._began_seconds
        self._moved_bytes = 0
        self._moved_parts = 0

    async def enter(self, rank: Callable[[], Rank]) -> None:
        """Wait until a part may move. `rank` is asked each time that there is room: it may change meanwhile."""
        if self._active < self.limit and not self._waiters:
            if not self._active and self._runtime.monotonic() - self._left_seconds >= WINDOW_SECONDS:
                self._begin_again()
            self._active += 1
            return
        waiter = _Waiter(rank, self._runtime.signal())
        self._waiters.append(waiter)
        try:
            await waiter.signal.wait()
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            else:
                self._active -= 1
                self._admit()
            raise

    def leave(self, moved_bytes: int = 0) -> None:
        """The part has moved, or failed to (then it brought nothing)."""
        self._active -= 1
        self._left_seconds = self._runtime.monotonic()
        self._moved_bytes += moved_bytes
        self._moved_parts += 1
        self._judge()
        self._admit()

    def slow_down(self) -> None:
        """A store asks for fewer requests. What many parts hear at once is one complaint."""
        now = self._runtime.monotonic()
        if now - self._halved_at_seconds < WINDOW_SECONDS:
            return
        self._halved_at_seconds = now
        self._trial = None
        self._hold_until_seconds = now + REST_SECONDS
        self._go_to(max(self.limit // 2, 1))

    def _judge(self) -> None:
        now = self._runtime.monotonic()
        elapsed = now - self._began_seconds
        if elapsed < WINDOW_SECONDS or self._moved_parts < 2 * self.limit:
            return
        rate = self._moved_bytes / elapsed
        trial = self._trial
        if not self._waiters:
            # Nobody would have used more: that says nothing about the level.
            self._trial = None
            self._go_to(self.limit)
        elif trial is not None and rate < trial.bytes_per_second * GAIN:
            self._trial = None
            self._hold_until_seconds = now + HOLD_SECONDS
            self._go_to(trial.limit)
        elif now >= self._hold_until_seconds and self.limit < self.maximum:
            self._trial = _Trial(self.limit, rate)
            self._go_to(min(self.limit + max(self.limit // 2, 1), self.maximum))
        else:
            self._trial = None
            self._go_to(self.limit)

    def _begin_again(self) -> None:
        """Nothing has moved for a while, which says nothing about a level; a trial is left without a verdict."""
        trial, self._trial = self._trial, None
        self._go_to(trial.limit if trial is not None else self.limit)

    def _go_to(self, limit: int) -> None:
        """Another level, or the same, and a new window to judge it by."""
        self.limit = limit
        self._began_seconds = self._runtime.monotonic()
        self._moved_bytes = 0
        self._moved_parts = 0

    def _admit(self) -> None:
        while self._waiters and self._active < self.limit:
            best = min(self._waiters, key=lambda waiter: waiter.rank())
            self._waiters.remove(best)
            self._active += 1
            best.signal.set()
