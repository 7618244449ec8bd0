"""The `PartMover` port: signed ranges in threads, from the socket into a buffer, hashed there, then to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cacheagent.adapters.http_ranges import Abort, Aborted, HttpRanges
from cacheagent.adapters.part_files import Buffers, PartFolder
from cacheagent.adapters.posix_disk import PosixDisk
from cacheagent.adapters.signed import SignedRequest, SigningStore
from cacheagent.adapters.threads import in_stoppable_thread, in_thread
from cacheagent.checksums import Running, running
from cachecore.errors import AccessDenied, CorruptTransfer, LocalModelError, SourceError, SourceUnavailable
from cachecore.ports import Checksum, ChecksumAlgorithm, MovedPart, ObjectStore, Part

MEMORY_BYTES = 96 * 2**20


class RangeMover:
    """At most `connections` parts move at once, each through a buffer of its own; all buffers take `memory_bytes`.

    What a store does not sign is read through its driver instead: a part then passes through memory whole, so only
    `driver_parts` of those do at once.
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
        abort = Abort()
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []

        def begin() -> None:
            timers.append(loop.call_later(self._http.patience_seconds(parts), abort.abort))

        def work() -> list[MovedPart]:
            return self._move_all(parts, requests, abort, lambda: loop.call_soon_threadsafe(begin))

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
        self, parts: Sequence[Part], requests: Sequence[SignedRequest], abort: Abort, begun: Callable[[], object]
    ) -> list[MovedPart]:
        moved: list[MovedPart] = []
        with self._buffers.lend(self._moving) as buffer, PartFolder(self._disk) as folder:
            # The wait for a buffer is not the server's.
            begun()
            for part, signed in zip(parts, requests, strict=True):
                try:
                    moved.append(self._move_one(part, signed, folder, buffer, abort))
                except (LocalModelError, Aborted):
                    if not moved:
                        raise
                    break
        return moved

    def _move_one(
        self, part: Part, signed: SignedRequest, folder: PartFolder, buffer: memoryview, abort: Abort
    ) -> MovedPart:
        with self._http.get(signed, part, abort) as answer:
            whole = part.length_bytes == part.source.size_bytes
            told = signed.checksum_of(answer.headers) if whole and self._source_checksums else None
            made = _Made(part, told)
            try:
                with folder.open(part.path, part.length_bytes) as file:
                    position = part.offset_bytes
                    while count := answer.read_into(buffer):
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


class _Made:
    """The checksums of one part in the making, and what the store has told of it."""

    def __init__(self, part: Part, told: Checksum | None) -> None:
        self._part = part
        self._told = told
        self._digest = running(ChecksumAlgorithm.BLAKE3)
        self._wanted = running(part.algorithm) if part.algorithm is not None else None
        self._against: Running | None = None
        if told is not None and not told.part_bytes:
            self._against = self._wanted if told.algorithm is part.algorithm else running(told.algorithm)

    def update(self, piece: memoryview) -> None:
        for made in {id(made): made for made in (self._digest, self._wanted, self._against) if made}.values():
            made.update(piece)

    def result(self) -> MovedPart:
        """Raises `CorruptTransfer` when the bytes are not those that the store has told of."""
        if self._told is not None and self._against is not None and self._against.hexdigest() != self._told.value:
            raise CorruptTransfer(
                f"{self._part.source.location}: what arrived has the {self._told.algorithm} "
                f"{self._against.hexdigest()}, the store says {self._told.value}"
            )
        return MovedPart(
            digest=self._digest.hexdigest(), checksum=self._wanted.hexdigest() if self._wanted is not None else ""
        )
