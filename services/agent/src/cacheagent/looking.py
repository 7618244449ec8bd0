"""Looking at the disk, at the beginning of each reconcile; and what the disk refuses in the course of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from cacheagent.context import NodeContext
from cacheagent.works import Works
from cachecore.errors import DiskError, DiskVanished
from cachecore.ports import DiskUsage

logger = logging.getLogger(__name__)


class DiskWatch:
    """What the last look has shown.

    `unreadable` is why there was nothing to see, `problem` the last failure of this reconcile, of whatever was tried.
    """

    def __init__(self, context: NodeContext, works: Works, *, told_id: Callable[[], str]) -> None:
        """`told_id` answers which store the status says that this node has."""
        self._runtime = context.runtime
        self._options = context.options
        self._store = context.store
        self._memory = context.memory
        self._tell = context.tell
        self._works = works
        self._told_id = told_id
        self._seen = False
        self._look_at_seconds = 0.0
        self.usage = DiskUsage(total_bytes=0, free_bytes=0)
        self.unreadable: DiskError | None = None
        self.problem: DiskError | None = None

    async def look(self) -> None:
        """The free space each time; the whole store at the start, every so often, and after a failure of the disk."""
        self.problem = None
        self.unreadable = await self.attempt(self._look())
        if isinstance(self.unreadable, DiskVanished):
            # What runs must not go on where the disk was; it is resumed when the disk is back.
            for key in sorted(self._works.busy):
                await self._works.pause(key)

    async def _look(self) -> None:
        now = self._runtime.monotonic()
        usage = await self._store.usage()
        if now >= self._look_at_seconds or self._store.is_elsewhere(usage):
            replaced = await self._store.rescan(
                busy=self._works.busy, told_id=self._told_id(), wait_seconds=self._options.store_wait_seconds
            )
            if replaced or not self._seen:
                await self._memory.load()
            self._seen = True
            if replaced:
                logger.warning("the store has been replaced", extra={"store_id": self._store.store_id})
                self._tell("Warning", "StoreReplaced", "the disk holds another store than before: looking at it anew")
            self._look_at_seconds = now + self._options.rescan_seconds
            usage = await self._store.usage()
        self.usage = usage

    async def attempt(self, work: Coroutine[Any, Any, None]) -> DiskError | None:
        """The failure of the disk, if there is one: it is noted, and everything is looked at again soon."""
        try:
            await work
        except DiskError as error:
            logger.warning("the disk failed: %s", error, extra={"reason": error.reason})
            self.problem = error
            self._look_at_seconds = 0.0
            return error
        return None
