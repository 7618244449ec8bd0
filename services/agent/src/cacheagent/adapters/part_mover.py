"""The `PartMover` port: signed ranges in threads, from the socket into a buffer, hashed there, then to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeAlias

from cacheagent.adapters.http_ranges import Abort, Aborted, HttpRanges
from cacheagent.adapters.part_files import Buffers, PartFolder
from cacheagent.adapters.posix_disk import PosixDisk
from cacheagent.adapters.signed import SigningStore, Stream, StreamingStore
from cacheagent.adapters.threads import in_stoppable_thread, in_thread
from cacheagent.checksums import Running, checksum_of, running
from cachecore.errors import AccessDenied, CorruptTransfer, LocalModelError, SourceError, SourceUnavailable
from cachecore.ports import Checksum, ChecksumAlgorithm, MovedPart, ObjectStore, Part

MEMORY_BYTES = 64 * 2**20

Opening: TypeAlias = Callable[[Abort], AbstractContextManager[Stream]]


class RangeMover:
    """At most `connections` parts move at once, each through a buffer of its own; all buffers take `memory_bytes`.

    What a store neither signs nor streams is read through its driver instead: a part then passes through memory whole,
    so only `driver_parts` of those do at once.
    """

    def __init__(
        self,
        disk: PosixDisk,
        *,
        connections: int = 32,
        memory_bytes: int = MEMORY_BYTES,
        driver_parts: int = 4,
        source_checksums: bool = True,
        http: HttpRanges | None = None,
    ) -> None:
        self._disk = disk
        self._http = http or HttpRanges()
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="part")
        self._buffers = Buffers(memory_bytes)
        self._through_driver = asyncio.Semaphore(driver_parts)
        self._source_checksums = source_checksums
        self._moving = 0

    async def move(self, store: ObjectStore, parts: Sequence[Part]) -> list[MovedPart]:
        self._moving += 1
        try:
            if isinstance(store, SigningStore):
                return await self._move_signed(store, store, parts)
            if isinstance(store, StreamingStore):
                return await self._move_opened(parts, [partial(_opened, store, part) for part in parts])
            return [await self._move_through_driver(store, parts[0])]
        finally:
            self._moving -= 1
            if not self._moving:
                self._buffers.trim()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    async def _move_signed(self, signer: SigningStore, store: ObjectStore, parts: Sequence[Part]) -> list[MovedPart]:
        try:
            return await self._move_with(signer, store, parts, fresh=False)
        except AccessDenied:
            # The signature may have expired just now; a second refusal is meant.
            return await self._move_with(signer, store, parts, fresh=True)

    async def _move_with(
        self, signer: SigningStore, store: ObjectStore, parts: Sequence[Part], *, fresh: bool
    ) -> list[MovedPart]:
        signed = [await signer.sign(part.source, fresh=fresh) for part in parts]
        requests = [request for request in signed if request is not None]
        if len(requests) < len(parts):
            return [await self._move_through_driver(store, parts[0])]
        opened = [partial(self._http.get, signed, part) for signed, part in zip(requests, parts, strict=True)]
        return await self._move_opened(parts, opened)

    async def _move_opened(self, parts: Sequence[Part], opened: Sequence[Opening]) -> list[MovedPart]:
        abort = Abort()
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []

        def begin() -> None:
            timers.append(loop.call_later(self._http.patience_seconds(parts), abort.abort))

        def work() -> list[MovedPart]:
            return self._move_all(parts, opened, abort, lambda: loop.call_soon_threadsafe(begin))

        try:
            return await in_stoppable_thread(self._threads, work, abort.abort)
        except (Aborted, SourceError) as error:
            if not abort.aborted:
                raise
            raise SourceUnavailable(f"{parts[0].source.location}: the bytes come too slowly") from error
        finally:
            for timer in timers:
                timer.cancel()

    def _move_all(
        self, parts: Sequence[Part], opened: Sequence[Opening], abort: Abort, begun: Callable[[], object]
    ) -> list[MovedPart]:
        moved: list[MovedPart] = []
        with self._buffers.lend(self._moving) as buffer, PartFolder(self._disk) as folder:
            # The wait for a buffer is not the server's.
            begun()
            for part, opening in zip(parts, opened, strict=True):
                try:
                    moved.append(self._move_one(part, opening, folder, buffer, abort))
                except (LocalModelError, Aborted):
                    if not moved:
                        raise
                    break
        return moved

    def _move_one(
        self, part: Part, opening: Opening, folder: PartFolder, buffer: memoryview, abort: Abort
    ) -> MovedPart:
        with opening(abort) as stream:
            made = _Made(part, stream.told if self._source_checksums else None)
            try:
                with folder.open(part.path, part.length_bytes) as file:
                    position = part.offset_bytes
                    while count := stream.read_into(buffer):
                        piece = buffer[:count]
                        made.update(piece)
                        file.write(piece, position)
                        position += count
                        if abort.aborted:
                            raise Aborted
            except OSError as error:
                raise self._disk.translate(error, part.path) from error
        return made.result()

    async def _move_through_driver(self, store: ObjectStore, part: Part) -> MovedPart:
        async with self._through_driver:
            content = await store.read(part.source, part.offset_bytes, part.length_bytes)
            if len(content) != part.length_bytes:
                raise CorruptTransfer(
                    f"{part.source.location}: {len(content)} bytes came instead of {part.length_bytes}"
                )
            return await in_thread(self._threads, self._write, part, content)

    def _write(self, part: Part, content: bytes) -> MovedPart:
        made = _Made(part, None)
        made.update(memoryview(content))
        try:
            # Not page-aligned, so through the page cache.
            with PartFolder(self._disk) as folder, folder.open(part.path, 0) as file:
                file.write(memoryview(content), part.offset_bytes)
        except OSError as error:
            raise self._disk.translate(error, part.path) from error
        return made.result()


def _opened(store: StreamingStore, part: Part, abort: Abort) -> AbstractContextManager[Stream]:
    return store.open_part(part)


class _Made:
    """The checksums of one part in the making, and what the store has told of it."""

    def __init__(self, part: Part, told: Checksum | None) -> None:
        self._part = part
        self._told = told
        self._digest = running(ChecksumAlgorithm.BLAKE3)
        self._wanted = running(part.algorithm) if part.algorithm is not None else None
        self._against: Running | None = None
        if told is not None and (not told.part_bytes or told.part_bytes >= part.length_bytes):
            self._against = self._wanted if told.algorithm is part.algorithm else running(told.algorithm)
        self._running = [self._digest]
        for made in (self._wanted, self._against):
            if made is not None and made not in self._running:
                self._running.append(made)

    def update(self, piece: memoryview) -> None:
        for made in self._running:
            made.update(piece)

    def result(self) -> MovedPart:
        """Raises `CorruptTransfer` when the bytes are not those that the store has told of."""
        if self._told is not None and self._against is not None:
            self._compare(self._against.hexdigest(), self._told)
        return MovedPart(
            digest=self._digest.hexdigest(), checksum=self._wanted.hexdigest() if self._wanted is not None else ""
        )

    def _compare(self, found: str, told: Checksum) -> None:
        if told.part_bytes:
            # A composite of this one part.
            found = checksum_of(told.algorithm, bytes.fromhex(found))
        if found != told.value:
            raise CorruptTransfer(
                f"{self._part.source.location}: what arrived has the {told.algorithm} {found}, "
                f"the store says {told.value}"
            )
