"""The `PartMover` port: a range through memory into a file, hashed on the way."""

from __future__ import annotations

import asyncio

from cacheagent.adapters.posix_disk import PosixDisk
from cachecore.errors import CorruptTransfer
from cachecore.ports import ObjectInfo, ObjectStore


class RangeMover:
    """Reads one range whole and writes it in a thread. It holds one part for each of `connections` in memory."""

    def __init__(self, disk: PosixDisk, *, connections: int = 8) -> None:
        self._disk = disk
        self._connections = asyncio.Semaphore(connections)

    async def move(
        self, store: ObjectStore, source: ObjectInfo, offset_bytes: int, length_bytes: int, path: str
    ) -> str:
        async with self._connections:
            content = await store.read(source, offset_bytes, length_bytes)
            if len(content) != length_bytes:
                raise CorruptTransfer(f"{source.location}: {len(content)} bytes came instead of {length_bytes}")
            return await self._disk.write_at(path, offset_bytes, content)
