"""One model from its source to its published folder: every part moved, verified, recorded; then one rename.

    list -> reserve -> move parts -> (again, what changed) -> verify -> fsync -> manifest -> rename -> fsync

A kill at any instant leaves either no model or the whole one, and what the journal records is not fetched again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import msgspec

from cacheagent.journal import FinishedPart, Journal
from cacheagent.listing import Listing, select
from cacheagent.publishing import publish
from cacheagent.throttle import TokenBucket
from cachecore.errors import (
    CorruptTransfer,
    PathMissing,
    SourceChanged,
    SourceError,
    SourceUnavailable,
)
from cachecore.ports import Disk, ObjectInfo, ObjectStore, PartMover, Runtime
from cachecore.store import layout, manifest
from cachecore.store.digest import PART_BYTES, part_ranges
from cachecore.store.tree import list_tree
from cachecore.tasks import TaskGroup

logger = logging.getLogger(__name__)


class TransferLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How hard one download tries, and how much of it at once."""

    part_bytes: int = PART_BYTES
    connections: int = 8
    attempts: int = 5
    listings: int = 3
    backoff_seconds: float = 0.2
    backoff_max_seconds: float = 10.0


class DigestMismatch(SourceError):
    """What came is not what the cache's `digest` says: nothing was published."""

    reason = "DigestMismatch"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to fetch."""

    key: str
    uri: str
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()
    digest: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """`fetched_bytes` came over the network in this run; `done_bytes` includes what an earlier run had left."""

    done_bytes: int
    total_bytes: int
    fetched_bytes: int
    allocated_bytes: int


class _Part(msgspec.Struct, frozen=True):
    source: ObjectInfo
    offset_bytes: int
    length_bytes: int


class Transfer:
    """One download of one model. `run` may be cancelled at any await; what is on disk then is resumed later."""

    def __init__(
        self,
        runtime: Runtime,
        disk: Disk,
        part_mover: PartMover,
        store: ObjectStore,
        request: Request,
        *,
        limits: TransferLimits = TransferLimits(),
        throttle: TokenBucket | None = None,
        progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._runtime = runtime
        self._disk = disk
        self._mover = part_mover
        self._store = store
        self._request = request
        self._limits = limits
        self._throttle = throttle or TokenBucket(runtime)
        self._progress = progress
        self._files_path = layout.staging_files_path(request.key)
        self._digests: dict[tuple[str, int], str] = {}
        self._finished: list[FinishedPart] = []
        self._total_bytes = 0
        self._done_bytes = 0
        self._fetched_bytes = 0
        self._allocated_bytes = 0
        self._moving = 0
        self._quiet = runtime.signal()
        self._quiet.set()

    async def wait_quiet(self) -> None:
        """Wait until no part is being written any more: after a cancellation, before the staging area is removed."""
        await self._quiet.wait()

    async def run(self, listing: Listing) -> manifest.Manifest:
        """Download and publish what `listing` names. Raises the `SourceError` and `DiskError` branches."""
        reserved_bytes = listing.size_bytes
        journal_path = layout.staging_journal_path(self._request.key)
        await self._disk.make_directory(journal_path)
        journal, recorded = await Journal.load(self._disk, journal_path)
        for remaining in range(self._limits.listings - 1, -1, -1):
            try:
                await self._move_all(listing, journal, recorded)
                break
            except SourceChanged as error:
                logger.info("an object changed while it was read", extra={"key": self._request.key, "why": str(error)})
                if not remaining:
                    raise
            listing = await self._list_again()
            if listing.size_bytes > reserved_bytes:
                raise SourceChanged(f"{self._request.uri} grew while it was read; it starts over with more room")
            # What this run has moved already; parts of the changed object match nothing.
            recorded = list(self._finished)
        return await self._verify_and_publish(listing)

    async def _list_again(self) -> Listing:
        return select(
            self._request.uri,
            await self._store.list(self._request.uri),
            allow_patterns=self._request.allow_patterns,
            ignore_patterns=self._request.ignore_patterns,
            now=self._runtime.monotonic(),
        )

    async def _move_all(self, listing: Listing, journal: Journal, recorded: list[FinishedPart]) -> None:
        await self._remove_strangers(listing)
        self._total_bytes = listing.size_bytes
        await self._allocate(listing)
        self._digests.clear()
        self._finished.clear()
        missing = await self._take_over(listing, recorded)
        self._done_bytes = listing.size_bytes - sum(part.length_bytes for part in missing)
        self._report()
        group = TaskGroup(self._runtime)
        for number in range(min(self._limits.connections, len(missing))):
            group.spawn(self._work(missing, journal), name=f"part-{self._request.key}-{number}")
        await group.join()

    async def _remove_strangers(self, listing: Listing) -> None:
        """Files that an earlier version of the source had."""
        wanted = {item.path for item in listing.objects}
        try:
            there = await list_tree(self._disk, self._files_path)
        except PathMissing:
            return
        for file in there:
            if file.path not in wanted or file.is_symlink:
                await self._disk.remove_tree(f"{self._files_path}/{file.path}")

    async def _allocate(self, listing: Listing) -> None:
        """Take the space before the first byte is asked for."""
        self._allocated_bytes = 0
        for item in listing.objects:
            await self._disk.allocate(f"{self._files_path}/{item.path}", item.size_bytes)
            self._allocated_bytes += item.size_bytes

    async def _take_over(self, listing: Listing, recorded: list[FinishedPart]) -> deque[_Part]:
        """Verify what is recorded, part by part, and return what is missing, in the order of the listing."""
        known = {
            (part.path, part.etag, part.object_bytes, part.offset_bytes, part.length_bytes): part for part in recorded
        }
        missing: deque[_Part] = deque()
        for item in listing.objects:
            for offset, length in part_ranges(item.size_bytes, self._limits.part_bytes):
                part = known.get((item.path, item.etag, item.size_bytes, offset, length))
                path = f"{self._files_path}/{item.path}"
                if part is not None and await self._disk.checksum(path, offset, length) == part.digest:
                    self._digests[item.path, offset] = part.digest
                    self._finished.append(part)
                else:
                    missing.append(_Part(item, offset, length))
        return missing

    async def _work(self, parts: deque[_Part], journal: Journal) -> None:
        while parts:
            part = parts.popleft()
            digest = await self._move_with_retries(part)
            source = part.source
            self._digests[source.path, part.offset_bytes] = digest
            finished = FinishedPart(
                source.path, source.etag, source.size_bytes, part.offset_bytes, part.length_bytes, digest
            )
            self._finished.append(finished)
            self._done_bytes += part.length_bytes
            self._fetched_bytes += part.length_bytes
            self._report()
            await journal.record(finished)

    async def _move_with_retries(self, part: _Part) -> str:
        delay = self._limits.backoff_seconds
        for remaining in range(self._limits.attempts - 1, -1, -1):
            await self._throttle.take(part.length_bytes)
            try:
                return await self._move(part)
            except (SourceUnavailable, CorruptTransfer) as error:
                if not remaining:
                    raise
                logger.info(
                    "a part is fetched again",
                    extra={"key": self._request.key, "path": part.source.path, "why": str(error)},
                )
            await self._runtime.sleep(delay * self._runtime.random.uniform(0.5, 1.5))
            delay = min(delay * 2, self._limits.backoff_max_seconds)
        raise AssertionError("the last attempt returns or raises")

    async def _move(self, part: _Part) -> str:
        self._moving += 1
        self._quiet.clear()
        try:
            return await self._mover.move(
                self._store,
                part.source,
                part.offset_bytes,
                part.length_bytes,
                f"{self._files_path}/{part.source.path}",
            )
        finally:
            self._moving -= 1
            if not self._moving:
                self._quiet.set()

    async def _verify_and_publish(self, listing: Listing) -> manifest.Manifest:
        files = tuple(
            manifest.make_file(
                item.path,
                item.size_bytes,
                item.etag,
                tuple(
                    self._digests[item.path, offset]
                    for offset, _ in part_ranges(item.size_bytes, self._limits.part_bytes)
                ),
            )
            for item in listing.objects
        )
        whole = manifest.make_manifest(
            key=self._request.key,
            source_model_uri=self._request.uri,
            part_bytes=self._limits.part_bytes,
            files=files,
            now=self._runtime.now(),
            allow_patterns=self._request.allow_patterns,
            ignore_patterns=self._request.ignore_patterns,
        )
        expected = self._request.digest
        if expected and whole.digest != expected:
            await self._disk.remove_tree(layout.staging_path(self._request.key))
            raise DigestMismatch(
                f"the model has the digest {whole.digest}, the cache expects {expected}; nothing was published: "
                "put the source or the cache's digest right"
            )
        await publish(self._disk, whole)
        return whole

    def _report(self) -> None:
        self._progress(
            Progress(
                done_bytes=self._done_bytes,
                total_bytes=self._total_bytes,
                fetched_bytes=self._fetched_bytes,
                allocated_bytes=self._allocated_bytes,
            )
        )
