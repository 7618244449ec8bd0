"""Whole downloads through the production adapters, from a server of a test onto a real disk, in small parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from cacheagent.adapters.object_stores import DriverStores
from cacheagent.adapters.part_mover import RangeMover
from cacheagent.adapters.posix_disk import PosixDisk
from cacheagent.assembly import TransferLimits
from cacheagent.connections import Connections
from cacheagent.listing import select
from cacheagent.transfer import Request, Transfer
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.names import storage_key
from cachecore.ports import Credentials, ObjectStore
from cachecore.store import layout

LIMITS = TransferLimits(part_bytes=64 * 1024, attempts=3, backoff_seconds=0.001, backoff_max_seconds=0.002)


class SourceNode:
    """A disk, and an agent's way to it. `environment` and `credentials` are what its stores are opened with."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment: dict[str, str] = {}
        self.credentials: dict[str, str] = {}
        self.file_sources = ""
        self.limits = LIMITS

    def ask(self, uri: str, scenario: Callable[[ObjectStore], Coroutine[Any, Any, Any]]) -> Any:
        """What the scenario makes of the store of the URI."""

        async def main() -> Any:
            stores = DriverStores(self.environment, file_sources=self.file_sources)
            try:
                return await scenario(await stores.open(uri, Credentials(tuple(self.credentials.items()))))
            finally:
                await stores.close()

        return asyncio.run(main())

    def fetch(self, uri: str, *, connections: int = 1, after_listing: Callable[[], None] = lambda: None) -> None:
        """Download and publish. Raises what the transfer raises."""
        self.ask(uri, lambda store: self._fetch(uri, store, connections, after_listing))

    def published(self, uri: str) -> dict[str, bytes]:
        """What a pod would see of it."""
        folder = self.home / layout.published_path(storage_key(uri))
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    async def _fetch(self, uri: str, store: ObjectStore, connections: int, after_listing: Callable[[], None]) -> None:
        runtime = AsyncioRuntime()
        disk = PosixDisk(str(self.home))
        mover = RangeMover(disk, connections=4)
        try:
            listing = select(uri, await store.list(uri))
            after_listing()
            gate = Connections(runtime, initial=connections, maximum=connections)
            request = Request(key=storage_key(uri), uri=uri)
            await Transfer(runtime, disk, mover, store, request, connections=gate, limits=self.limits).run(listing)
        finally:
            mover.close()
            disk.close()
