"""Emptying the trash, beside everything else: a huge file goes step by step, and downloads come first.

To unlink a file of 20 GiB takes seconds, in which the file system's journal has much to write, and whoever waits for
room sees none of it. Cut down in steps, its room comes back as it goes, and the disk has time for others between them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from cacheagent.store import Store
from cachecore.errors import DiskError, PathMissing
from cachecore.ports import Runtime
from cachecore.store import layout
from cachecore.store.tree import TreeFile, list_tree

logger = logging.getLogger(__name__)

STEP_BYTES = 2**30
# Smaller files go with their folder, all at once.
SMALL_BYTES = 16 * 2**20
RETRY_SECONDS = 30.0
# While downloads move, the trash has one part in so many of the disk's time.
SHARE = 5
PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 2.0


def pause_seconds(step_seconds: float, *, busy: bool) -> float:
    """How long to wait after a step that took so long: the slower the disk, the more of its time is left to others."""
    if not busy:
        return 0.0
    return min(max(step_seconds * (SHARE - 1), PAUSE_SECONDS_MIN), PAUSE_SECONDS_MAX)


class Sweeper:
    """Unlinks what was evicted. `busy` answers whether something else moves on the disk."""

    def __init__(
        self, runtime: Runtime, store: Store, *, busy: Callable[[], bool], changed: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._busy = busy
        self._changed = changed
        self._began_seconds = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        filled = self._store.trash_changed
        while True:
            await filled.wait()
            filled.clear()
            try:
                await self._empty()
            except DiskError as error:
                logger.warning("the trash stays for now: %s", error)
                await self._runtime.sleep(RETRY_SECONDS)
                filled.set()
            self._changed()

    async def _empty(self) -> None:
        """Oldest first."""
        for name in list(self._store.trash):
            self._began_seconds = self._runtime.monotonic()
            await self._cut_down(name)
            await self._store.disk.remove_tree(layout.trash_path(name))
            self._store.trash.pop(name, None)
            await self._pause()

    async def _cut_down(self, name: str) -> None:
        given_back_bytes = 0
        for file in await self._files(name):
            path, left_bytes = f"{layout.trash_path(name)}/{file.path}", file.size_bytes
            while left_bytes >= SMALL_BYTES:
                cut_bytes = min(left_bytes, STEP_BYTES - given_back_bytes)
                if not await self._store.disk.shrink(path, left_bytes - cut_bytes):
                    break
                left_bytes -= cut_bytes
                given_back_bytes += cut_bytes
                self._store.gave_back(name, cut_bytes)
                if given_back_bytes == STEP_BYTES:
                    given_back_bytes = 0
                    self._changed()
                    await self._pause()

    async def _files(self, name: str) -> list[TreeFile]:
        try:
            return [file for file in await list_tree(self._store.disk, layout.trash_path(name)) if not file.is_symlink]
        except PathMissing:
            return []

    async def _pause(self) -> None:
        seconds = pause_seconds(self._runtime.monotonic() - self._began_seconds, busy=self._busy())
        if seconds:
            await self._runtime.sleep(seconds)
        self._began_seconds = self._runtime.monotonic()
