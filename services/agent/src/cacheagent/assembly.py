"""The files of one listing, put together from their parts: moved, retried, recorded, held against the store's word."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import msgspec

from cacheagent.checksums import algorithm_of_parts, check_object
from cacheagent.connections import Connections, Rank
from cacheagent.journal import FinishedPart, Journal
from cacheagent.listing import Listing
from cacheagent.parts import Batch, batches, parts_of
from cacheagent.throttle import TokenBucket
from cachecore.errors import CorruptTransfer, SourceChanged, SourceThrottled, SourceUnavailable
from cachecore.ports import Checksum, Disk, MovedPart, ObjectInfo, ObjectStore, Part, PartMover, Runtime
from cachecore.store.digest import PART_BYTES
from cachecore.tasks import TaskGroup

logger = logging.getLogger(__name__)

# How many objects are asked about, or verified on the disk, at once.
SIDE_BY_SIDE = 8
# A store that asks for more is asked again as one that fails: status tells of it then.
RETRY_AFTER_MAX_SECONDS = 60.0

T = TypeVar("T")
Item = TypeVar("Item")


class TransferLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How hard one download tries.

    - attempts: of one part
    - object_attempts: of one object whose bytes turn out not to be the store's
    - listings: of a source that changes while it is read
    - source_checksums: whether what a store tells of its objects' bytes is believed
    """

    part_bytes: int = PART_BYTES
    attempts: int = 5
    object_attempts: int = 3
    listings: int = 3
    source_checksums: bool = True
    backoff_seconds: float = 0.2
    backoff_max_seconds: float = 10.0


class Line:
    """Moves batches over the node's connections, within its bandwidth, again and again until they have moved."""

    def __init__(
        self,
        runtime: Runtime,
        part_mover: PartMover,
        store: ObjectStore,
        limits: TransferLimits,
        *,
        connections: Connections,
        throttle: TokenBucket,
        rank: Callable[[], Rank],
    ) -> None:
        self._runtime = runtime
        self._mover = part_mover
        self._store = store
        self._limits = limits
        self._connections = connections
        self._throttle = throttle
        self._rank = rank
        self._moving = 0
        self._quiet = runtime.signal()
        self._quiet.set()

    @property
    def workers(self) -> int:
        """How many batches may wait for a connection at once."""
        return self._connections.maximum

    async def wait_quiet(self) -> None:
        await self._quiet.wait()

    async def move(self, batch: Batch) -> list[MovedPart]:
        """Move at least the first part of the batch. Raises the `SourceError` and `DiskError` branches."""
        return await self.again(lambda: self._move_once(batch), batch[0].source)

    async def again(self, attempt: Callable[[], Coroutine[Any, Any, T]], source: ObjectInfo) -> T:
        """What the attempt answers; one that fails for a reason that may pass is made again, later and later."""
        delay = self._limits.backoff_seconds
        for remaining in range(self._limits.attempts - 1, -1, -1):
            try:
                return await attempt()
            except (SourceUnavailable, CorruptTransfer) as error:
                if isinstance(error, SourceThrottled):
                    self._connections.slow_down()
                    delay = max(delay, min(error.retry_after_seconds, RETRY_AFTER_MAX_SECONDS))
                if not remaining:
                    raise
                logger.info("asked again", extra={"location": source.location, "why": str(error)})
            await self._runtime.sleep(delay * self._runtime.random.uniform(0.5, 1.5))
            delay = min(delay * 2, self._limits.backoff_max_seconds)
        raise AssertionError("the last attempt returns or raises")

    async def _move_once(self, batch: Batch) -> list[MovedPart]:
        await self._connections.enter(self._rank)
        moved_bytes = 0
        self._moving += 1
        self._quiet.clear()
        try:
            # Behind the gate: what was granted here goes on in its order, whatever more urgent comes.
            await self._throttle.take(sum(part.length_bytes for part in batch))
            moved = await self._mover.move(self._store, batch)
            moved_bytes = sum(part.length_bytes for part in batch[: len(moved)])
            return moved
        finally:
            self._moving -= 1
            if not self._moving:
                self._quiet.set()
            self._connections.leave(moved_bytes)


class _Incoming:
    """One object on its way."""

    def __init__(self, source: ObjectInfo, parts: list[Part], expected: Checksum | None) -> None:
        self.source = source
        self.expected = expected
        self.algorithm = algorithm_of_parts(expected, parts=len(parts))
        self.parts = [msgspec.structs.replace(part, algorithm=self.algorithm) for part in parts]
        self.moved: dict[int, MovedPart] = {}
        self.attempts = 0

    @property
    def whole(self) -> bool:
        return len(self.moved) == len(self.parts)

    @property
    def done_bytes(self) -> int:
        return sum(part.length_bytes for part in self.parts if part.offset_bytes in self.moved)

    def finished(self) -> list[FinishedPart]:
        return [
            self.finished_part(part, self.moved[part.offset_bytes])
            for part in self.parts
            if part.offset_bytes in self.moved
        ]

    def finished_part(self, part: Part, moved: MovedPart) -> FinishedPart:
        checksum = f"{self.algorithm}:{moved.checksum}" if moved.checksum else ""
        source = self.source
        return FinishedPart(
            source.path, source.etag, source.size_bytes, part.offset_bytes, part.length_bytes, moved.digest, checksum
        )

    def moved_part(self, finished: FinishedPart) -> MovedPart:
        algorithm, _, value = finished.checksum.partition(":")
        return MovedPart(digest=finished.digest, checksum=value if algorithm == self.algorithm else "")


class Assembly:
    """All objects of one listing. Their files are allocated already."""

    def __init__(
        self,
        runtime: Runtime,
        disk: Disk,
        store: ObjectStore,
        line: Line,
        listing: Listing,
        limits: TransferLimits,
        *,
        files_path: str,
        journal: Journal,
        progress: Callable[[int, int], None],
    ) -> None:
        """`progress` is told the bytes that are here, and how many of them have just come."""
        self._runtime = runtime
        self._disk = disk
        self._store = store
        self._line = line
        self._listing = listing
        self._limits = limits
        self._files_path = files_path
        self._journal = journal
        self._progress = progress
        self._objects: dict[str, _Incoming] = {}
        self._queue: deque[Batch] = deque()
        self._done_bytes = 0
        self._changed: SourceChanged | None = None

    def finished(self) -> list[FinishedPart]:
        """What has moved so far, as the journal has it."""
        return [part for incoming in self._objects.values() for part in incoming.finished()]

    def digests(self, source: ObjectInfo) -> tuple[str, ...]:
        """The part digests of an object that is here."""
        incoming = self._objects[source.path]
        return tuple(incoming.moved[part.offset_bytes].digest for part in incoming.parts)

    async def run(self, recorded: Iterable[FinishedPart]) -> None:
        """Move what is missing, until every object is whole and is what the store has.

        Raises the `SourceError` and `DiskError` branches; `SourceChanged` only after everything else has come.
        """
        await self._side_by_side(self._expect, self._listing.objects)
        known = {(part.path, part.etag, part.object_bytes, part.offset_bytes): part for part in recorded}
        await self._side_by_side(lambda incoming: self._take_over(incoming, known), list(self._objects.values()))
        missing = [
            part
            for incoming in self._objects.values()
            for part in incoming.parts
            if part.offset_bytes not in incoming.moved
        ]
        # Anew: an object that was recorded whole and is not what the store has is among the missing.
        self._queue = deque(batches(missing, self._limits.part_bytes))
        self._done_bytes = sum(incoming.done_bytes for incoming in self._objects.values())
        self._progress(self._done_bytes, 0)
        group = TaskGroup(self._runtime)
        for number in range(min(self._line.workers, len(self._queue))):
            group.spawn(self._work(), name=f"part-{number}")
        await group.join()
        if self._changed is not None:
            raise self._changed

    async def _side_by_side(self, work: Callable[[Item], Coroutine[Any, Any, None]], items: Iterable[Item]) -> None:
        waiting = deque(items)

        async def take() -> None:
            while waiting:
                await work(waiting.popleft())

        group = TaskGroup(self._runtime)
        for number in range(min(SIDE_BY_SIDE, len(waiting))):
            group.spawn(take(), name=f"side-{number}")
        await group.join()

    async def _expect(self, source: ObjectInfo) -> None:
        """What the store says of the object. Of one that comes in one part, the mover hears it with the bytes."""
        expected = source.checksum if self._limits.source_checksums else None
        asked = source.size_bytes > self._limits.part_bytes or source.checksum_apart
        if expected is None and self._limits.source_checksums and asked:
            expected = await self._line.again(lambda: self._store.checksum(source), source)
        parts = parts_of(source, self._files_path, self._limits.part_bytes)
        self._objects[source.path] = _Incoming(source, parts, expected)

    async def _take_over(self, incoming: _Incoming, known: dict[tuple[str, str, int, int], FinishedPart]) -> None:
        """Believe what is recorded of the parts whose bytes are on the disk."""
        source = incoming.source
        for part in incoming.parts:
            finished = known.get((source.path, source.etag, source.size_bytes, part.offset_bytes))
            if finished is None or finished.length_bytes != part.length_bytes:
                continue
            if await self._disk.checksum(part.path, part.offset_bytes, part.length_bytes) == finished.digest:
                incoming.moved[part.offset_bytes] = incoming.moved_part(finished)
        if incoming.parts and incoming.whole:
            await self._check(incoming)

    async def _work(self) -> None:
        while self._queue:
            batch = self._queue.popleft()
            while batch:
                try:
                    moved = await self._line.move(batch)
                except SourceChanged as error:
                    # The others go on; what has come of them counts when the source is listed again.
                    self._changed = error
                    self._forget(batch[0].source)
                    batch = batch[1:]
                    continue
                await self._arrived(batch[: len(moved)], moved)
                batch = batch[len(moved) :]

    def _forget(self, source: ObjectInfo) -> None:
        """Small objects share batches; of a large one each part is a batch of its own."""
        self._queue = deque(batch for batch in self._queue if len(batch) > 1 or batch[0].source.path != source.path)

    async def _arrived(self, batch: Batch, moved: list[MovedPart]) -> None:
        objects = [self._objects[part.source.path] for part in batch]
        finished = []
        for incoming, part, result in zip(objects, batch, moved, strict=True):
            incoming.moved[part.offset_bytes] = result
            finished.append(incoming.finished_part(part, result))
        await self._journal.record(finished)
        came_bytes = sum(part.length_bytes for part in batch)
        self._done_bytes += came_bytes
        self._progress(self._done_bytes, came_bytes)
        for incoming in objects:
            if incoming.whole:
                await self._check(incoming)

    async def _check(self, incoming: _Incoming) -> None:
        """Hold a whole object against the store's checksum; one that differs comes again from its first byte."""
        if incoming.expected is None:
            return
        pairs = [(part, incoming.moved[part.offset_bytes]) for part in incoming.parts]
        try:
            await check_object(self._disk, incoming.source, incoming.parts[0].path, incoming.expected, pairs)
        except CorruptTransfer as error:
            incoming.attempts += 1
            if incoming.attempts == self._limits.object_attempts:
                raise
            logger.warning("an object is fetched again", extra={"why": str(error)})
            self._done_bytes -= incoming.source.size_bytes
            incoming.moved.clear()
            self._queue.extend(batches(incoming.parts, self._limits.part_bytes))
