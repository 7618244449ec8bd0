"""One model from its source to its published folder: every part moved, verified, recorded; then one rename.

    list -> reserve -> move parts, check objects -> (again, what changed) -> fsync -> manifest -> rename -> fsync

A kill at any instant leaves either no model or the whole one, and what the journal records is not fetched again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from cacheagent.assembly import Assembly, Line, TransferLimits
from cacheagent.connections import Connections, Rank
from cacheagent.journal import Journal
from cacheagent.listing import Listing, select
from cacheagent.publishing import publish
from cacheagent.throttle import TokenBucket
from cachecore.errors import DiskFull, PathMissing, SourceChanged, SourceError
from cachecore.ports import Allocation, Disk, ObjectStore, PartMover, Runtime
from cachecore.store import layout, manifest
from cachecore.store.tree import list_tree

logger = logging.getLogger(__name__)


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


class Transfer:
    """One download of one model. `run` may be cancelled at any await; what is on disk then is resumed later.

    `rank` tells, each time that a connection is free, how urgent the model is among the others: lowest first.
    """

    def __init__(
        self,
        runtime: Runtime,
        disk: Disk,
        part_mover: PartMover,
        store: ObjectStore,
        request: Request,
        *,
        connections: Connections,
        limits: TransferLimits = TransferLimits(),
        throttle: TokenBucket | None = None,
        rank: Callable[[], Rank] = tuple,
        progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._runtime = runtime
        self._disk = disk
        self._store = store
        self._request = request
        self._limits = limits
        self._progress = progress
        self._files_path = layout.staging_files_path(request.key)
        self._journal = Journal(runtime, disk, layout.staging_journal_path(request.key))
        self._line = Line(
            runtime,
            part_mover,
            store,
            limits,
            connections=connections,
            throttle=throttle or TokenBucket(runtime),
            rank=rank,
        )
        self._total_bytes = 0
        self._done_bytes = 0
        self._fetched_bytes = 0
        self._allocated_bytes = 0

    async def wait_quiet(self) -> None:
        """Wait until no part is being written any more: after a cancellation, before the staging area is removed."""
        await self._line.wait_quiet()

    async def run(self, listing: Listing) -> manifest.Manifest:
        """Download and publish what `listing` names. Raises the `SourceError` and `DiskError` branches."""
        reserved_bytes = listing.size_bytes
        recorded = await self._journal.load()
        for remaining in range(self._limits.listings - 1, -1, -1):
            await self._reserve(listing, keep=bool(recorded))
            self._report(self._done_bytes, 0)
            assembly = self._assembly(listing)
            try:
                await assembly.run(recorded)
                return await self._publish(listing, assembly)
            except SourceChanged as error:
                logger.info("an object changed while it was read", extra={"key": self._request.key, "why": str(error)})
                if not remaining:
                    raise
            listing = await self._list_again()
            if listing.size_bytes > reserved_bytes:
                raise SourceChanged(f"{self._request.uri} grew while it was read; it starts over with more room")
            # What this run has moved already, after what it had not come to; parts of the changed object match nothing.
            recorded = [*recorded, *assembly.finished()]
        raise AssertionError("the last listing returns or raises")

    def _assembly(self, listing: Listing) -> Assembly:
        return Assembly(
            self._runtime,
            self._disk,
            self._store,
            self._line,
            listing,
            self._limits,
            files_path=self._files_path,
            journal=self._journal,
            progress=self._report,
        )

    async def _list_again(self) -> Listing:
        return select(
            self._request.uri,
            await self._store.list(self._request.uri),
            allow_patterns=self._request.allow_patterns,
            ignore_patterns=self._request.ignore_patterns,
            now=self._runtime.monotonic(),
        )

    async def _reserve(self, listing: Listing, *, keep: bool) -> None:
        """Take all the room, or none: what there is of it may be enough for another model."""
        try:
            await self._make_room(listing)
        except DiskFull:
            if not keep:
                await self._disk.remove_tree(layout.staging_path(self._request.key))
            raise

    async def _make_room(self, listing: Listing) -> None:
        """Remove what an earlier version of the source had, and take the space before the first byte is asked for."""
        wanted = {item.path for item in listing.objects}
        try:
            there = await list_tree(self._disk, self._files_path)
        except PathMissing:
            there = []
        for file in there:
            if file.path not in wanted or file.is_symlink:
                await self._disk.remove_tree(f"{self._files_path}/{file.path}")
        await self._disk.allocate(
            [Allocation(f"{self._files_path}/{item.path}", item.size_bytes) for item in listing.objects]
        )
        self._total_bytes = self._allocated_bytes = listing.size_bytes

    async def _publish(self, listing: Listing, assembly: Assembly) -> manifest.Manifest:
        files = tuple(
            manifest.make_file(item.path, item.size_bytes, item.etag, assembly.digests(item))
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

    def _report(self, done_bytes: int, fetched_bytes: int) -> None:
        self._done_bytes = done_bytes
        self._fetched_bytes += fetched_bytes
        self._progress(
            Progress(
                done_bytes=done_bytes,
                total_bytes=self._total_bytes,
                fetched_bytes=self._fetched_bytes,
                allocated_bytes=self._allocated_bytes,
            )
        )
