"""Gathers keys until what changes them has settled, so that many changes become one reconcile of each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from cachecore.ports.runtime import Runtime

K = TypeVar("K", bound=Hashable)


class Gatherer(Generic[K]):
    """Passes keys on when nothing was added for the settle time, at the latest the longest time after the first.

    `settling` answers both, in seconds; it is asked at the first key of each gathering.
    """

    def __init__(
        self, runtime: Runtime, pass_on: Callable[[K], None], settling: Callable[[], tuple[float, float]]
    ) -> None:
        self._runtime = runtime
        self._pass_on = pass_on
        self._settling = settling
        self._gathered: dict[K, None] = {}
        self._added = runtime.signal()

    def add(self, keys: Iterable[K]) -> None:
        self._gathered.update(dict.fromkeys(keys))
        if self._gathered:
            self._added.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._added.wait()
            settle_seconds, longest_seconds = self._settling()
            latest = self._runtime.monotonic() + longest_seconds
            more = True
            while more and self._runtime.monotonic() < latest:
                self._added.clear()
                more = await self._added.wait(settle_seconds)
            self._added.clear()
            gathered, self._gathered = self._gathered, {}
            for key in gathered:
                self._pass_on(key)
