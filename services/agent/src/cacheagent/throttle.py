"""A limit on the bytes per second of all downloads of a node."""

from __future__ import annotations

from cachecore.ports import Runtime


class TokenBucket:
    """Grants parts one after the other so that their mean rate stays below the limit; 0 is no limit."""

    def __init__(self, runtime: Runtime, bytes_per_second: int = 0) -> None:
        self._runtime = runtime
        self._free_at_seconds = 0.0
        self.bytes_per_second = bytes_per_second

    async def take(self, count_bytes: int) -> None:
        """Wait until a part of that size may move."""
        if self.bytes_per_second <= 0:
            return
        now = self._runtime.monotonic()
        start = max(now, self._free_at_seconds)
        self._free_at_seconds = start + count_bytes / self.bytes_per_second
        if start > now:
            await self._runtime.sleep(start - now)
