"""What runs beside the reconcile loop: listings, adoptions and downloads, at most one per key.

Each ends by changing the record of its key and asking for a reconcile; the plan decides what comes next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from cacheagent.adopting import NotTheModel, adopt
from cacheagent.connections import Connections, Rank
from cacheagent.context import NodeContext
from cacheagent.credentials import credentials_place, find_credentials
from cacheagent.demand import Demand
from cacheagent.listing import select
from cacheagent.planning import Work
from cacheagent.records import Failure, Source, with_progress
from cacheagent.throttle import TokenBucket
from cacheagent.transfer import DigestMismatch, Progress, Request, Transfer
from cachecore.errors import (
    AccessDenied,
    ApiError,
    DiskError,
    LocalModelError,
    PathMissing,
    SourceChanged,
    TaskCancelled,
)
from cachecore.ports import Credentials, ObjectInfo, ObjectStore, ObjectStores, PartMover, Task
from cachecore.redaction import redact
from cachecore.resources.serving import LocalModelInfo
from cachecore.store import layout
from cachecore.store.manifest import Manifest

logger = logging.getLogger(__name__)

DIGEST_MISMATCH_RETRY_SECONDS = 3600.0
# Behind every rank that a plan gives.
LAST: Rank = (True, float("inf"))


class Works:
    """Starts and stops the work of keys."""

    def __init__(self, context: NodeContext, object_stores: ObjectStores, part_mover: PartMover) -> None:
        self._runtime = context.runtime
        self._client = context.client
        self._options = context.options
        self._store = context.store
        self._memory = context.memory
        self._records = context.records
        self._metrics = context.metrics
        self._changed = context.changed
        self._tell = context.tell
        self._object_stores = object_stores
        self._mover = part_mover
        self._tasks: dict[str, Task[None]] = {}
        self._transfers: dict[str, Transfer] = {}
        self._counted: dict[str, int] = {}
        self._told_at_seconds = 0.0
        self.throttle = TokenBucket(context.runtime)
        self._connections = Connections(
            context.runtime,
            initial=context.options.connections_initial,
            maximum=context.options.connections_max,
        )
        # How urgent each key is, lowest first: what the last plan was made of.
        self.ranks: dict[str, Rank] = {}

    @property
    def busy(self) -> frozenset[str]:
        return frozenset(record.key for record in self._records if record.work is not Work.NONE)

    def resolve(self, demand: Demand) -> None:
        self._start(demand, Work.RESOLVING, lambda: self._resolve(demand))

    def adopt(self, demand: Demand, path: str) -> None:
        self._start(demand, Work.ADOPTING, lambda: self._adopt(demand, path))

    def fetch(self, demand: Demand) -> None:
        self._start(demand, Work.TRANSFERRING, lambda: self._fetch(demand))

    def stop(self) -> None:
        """The agent ends: nothing of it may go on."""
        for key in sorted(self._tasks):
            self._tasks[key].cancel()

    async def pause(self, key: str) -> None:
        """Stop what runs for the key; what is downloaded so far stays, to be resumed."""
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()
            try:
                await task.join()
            except TaskCancelled:
                logger.info("stopped", extra={"key": key})
        transfer = self._transfers.pop(key, None)
        if transfer is not None:
            await transfer.wait_quiet()
        self._records.change(key, work=Work.NONE, progress=None, source=None, rate=0.0)
        self._changed()

    async def abandon(self, key: str) -> None:
        """Stop what runs for the key, and give its staging area back."""
        await self.pause(key)
        await self._store.drop_staging(key)

    def _start(self, demand: Demand, work: Work, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._records.change(
            demand.key,
            work=work,
            progress=None,
            progress_seconds=0.0,
            rate=0.0,
            began_seconds=self._runtime.monotonic(),
        )
        guarded = self._guarded(demand, work, begin)
        self._tasks[demand.key] = self._runtime.spawn(guarded, name=f"{work.value}-{demand.key}")

    async def _guarded(self, demand: Demand, work: Work, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Whatever happens but a cancellation, the key has its work behind it and the plan is made again."""
        try:
            await begin()
        except LocalModelError as error:
            self._failed(demand, work, _reason(error), str(error))
            await self._store.look_again(demand.key)
            if demand.key in self._store.held:
                # It failed behind the rename that counts: the model is here.
                self._records.change(demand.key, failure=None)
        except Exception as error:
            logger.exception("work failed", extra={"key": demand.key})
            # It may be a library's, and tell of a request.
            self._failed(demand, work, "InternalError", redact(f"{type(error).__name__}: {error}"))
        self._transfers.pop(demand.key, None)
        self._tasks.pop(demand.key, None)
        self._records.change(demand.key, work=Work.NONE)
        self._changed()

    async def _resolve(self, demand: Demand) -> None:
        source = await self._open(demand)
        self._memory.resolve(demand.key, source.listing.size_bytes)
        self._records.change(demand.key, source=source)

    async def _open(self, demand: Demand) -> Source:
        """List the source with the first credentials that are accepted. Raises `SourceError` and `ApiError`."""
        refused: AccessDenied | None = None
        for entry in demand.candidates:
            try:
                store, objects, credentials = await self._list(demand.uri, entry)
                listing = select(
                    demand.uri,
                    objects,
                    allow_patterns=demand.first.allow_patterns,
                    ignore_patterns=demand.first.ignore_patterns,
                    now=self._runtime.monotonic(),
                )
            except AccessDenied as error:
                logger.warning("refused", extra={"key": demand.key, "cache": entry.status_key, "why": str(error)})
                refused = refused or error
            else:
                return Source(store=store, listing=listing, recipe=demand.recipe, entry=entry, credentials=credentials)
        raise refused or AccessDenied(f"no credentials for {demand.uri}")

    async def _list(self, uri: str, entry: LocalModelInfo) -> tuple[ObjectStore, list[ObjectInfo], Credentials]:
        """What the source shows to the credentials of one entry."""
        credentials = await find_credentials(self._client, entry, system_namespace=self._options.system_namespace)
        store = await self._object_stores.open(uri, credentials)
        try:
            return store, await store.list(uri), credentials
        except AccessDenied as error:
            raise self._refused(error, entry) from error

    def _refused(self, error: AccessDenied, entry: LocalModelInfo) -> AccessDenied:
        """A refusal that says whose credentials they were."""
        place = credentials_place(entry, system_namespace=self._options.system_namespace)
        return AccessDenied(f"{error}; they are those of {place}" if place else str(error))

    async def _adopt(self, demand: Demand, path: str) -> None:
        source = self._records.get(demand.key).source or await self._open(demand)
        try:
            whole = await adopt(
                self._runtime,
                self._store.disk,
                source.store,
                source.listing,
                key=demand.key,
                path=path,
                digest=demand.digest,
                part_bytes=self._options.transfer.part_bytes,
            )
        except NotTheModel as error:
            # Left as it is; the model is fetched as if the folder weren't there.
            logger.warning("not adopted", extra={"key": demand.key, "path": path, "why": str(error)})
            self._tell("Warning", "NotAdopted", f"{demand.name}: {error}")
            rejected = self._records.get(demand.key).rejected
            self._records.change(demand.key, rejected=(*rejected, path), source=source)
            return
        self._arrived(demand, whole)
        self._metrics.downloads.labels("adopted").inc()
        self._tell("Normal", "Adopted", f"{demand.name}: took over the copy that was found in {path}")

    async def _fetch(self, demand: Demand) -> None:
        source = self._records.get(demand.key).source
        if source is None:
            return
        await self._store.look_again(demand.key)
        here = self._store.held.get(demand.key)
        if here is not None:
            # An earlier attempt failed after it had published: to fetch it again would take its room twice.
            self._arrived(demand, here)
            return
        self._store.staged.setdefault(demand.key, 0)
        self._tell("Normal", "Downloading", f"{demand.name}: downloading {demand.uri}")
        began = self._runtime.monotonic()
        whole = await self._transferred(demand, source)
        seconds = self._runtime.monotonic() - began
        self._arrived(demand, whole)
        self._metrics.downloads.labels("succeeded").inc()
        self._metrics.download_seconds.observe(seconds)
        self._tell(
            "Normal", "Downloaded", f"{demand.name}: {whole.size_bytes} bytes in {seconds:.1f} s, {whole.digest}"
        )
        if self._options.warm_page_cache:
            # It is told first: a pod need not wait for this.
            self._changed()
            await self._warm(demand.key)

    async def _transferred(self, demand: Demand, source: Source) -> Manifest:
        """Credentials that are refused half-way may have been rotated: they are read again, and it goes on at once.

        What has come stays. The same ones get a second chance, not a third.
        """
        read_again = False
        while True:
            transfer = self._transfer(demand, source)
            try:
                return await transfer.run(source.listing)
            except AccessDenied as error:
                await transfer.wait_quiet()
                again = await self._open(demand)
                if read_again and again.credentials == source.credentials:
                    raise self._refused(error, source.entry) from error
                if again.listing.size_bytes > source.listing.size_bytes:
                    raise SourceChanged(
                        f"{demand.uri} grew while it was read; it starts over with more room"
                    ) from error
                logger.info("refused half-way, goes on", extra={"key": demand.key, "why": str(error)})
            read_again, source = True, again
            self._records.change(demand.key, source=source)

    def _transfer(self, demand: Demand, source: Source) -> Transfer:
        request = Request(
            key=demand.key,
            uri=demand.uri,
            allow_patterns=demand.first.allow_patterns,
            ignore_patterns=demand.first.ignore_patterns,
            digest=demand.digest,
        )
        transfer = Transfer(
            self._runtime,
            self._store.disk,
            self._mover,
            source.store,
            request,
            connections=self._connections,
            limits=self._options.transfer,
            rank=lambda: self.ranks.get(demand.key, LAST),
            throttle=self.throttle,
            progress=lambda progress: self._progressed(demand.key, progress),
        )
        self._transfers[demand.key] = transfer
        self._counted[demand.key] = 0
        return transfer

    async def _warm(self, key: str) -> None:
        try:
            await self._store.disk.warm(layout.published_path(key))
        except DiskError as error:
            logger.info("not read into memory: %s", error, extra={"key": key})

    def _arrived(self, demand: Demand, whole: Manifest) -> None:
        self._store.published(whole)
        self._memory.resolve(demand.key, whole.size_bytes)
        self._memory.arrive(demand.key)
        self._records.change(demand.key, failure=None, progress=None, source=None, rate=0.0)

    def _progressed(self, key: str, progress: Progress) -> None:
        before = self._records.get(key)
        after = with_progress(before, progress, self._runtime.monotonic())
        self._records.change(key, progress=after.progress, progress_seconds=after.progress_seconds, rate=after.rate)
        self._store.staged[key] = progress.allocated_bytes
        self._metrics.fetched_bytes.inc(max(progress.fetched_bytes - self._counted.get(key, 0), 0))
        self._counted[key] = progress.fetched_bytes
        now = self._runtime.monotonic()
        if now - self._told_at_seconds >= self._options.progress_seconds:
            # A status is due. More often, a reconcile for each part would only cost.
            self._told_at_seconds = now
            self._changed()

    def _failed(self, demand: Demand, work: Work, reason: str, message: str) -> None:
        before = self._records.get(demand.key).failure
        attempts = 1 + (before.attempts if before is not None else 0)
        delay = self._options.retry.delay_seconds(attempts, self._runtime.random)
        logger.warning(
            "download failed, again in %.1f s: %s",
            delay,
            message,
            extra={"key": demand.key, "cache": demand.name, "reason": reason, "attempt": attempts},
        )
        if reason == DigestMismatch.reason:
            # It takes the whole download to fail like this. A change of the expected digest is tried at once.
            delay = max(delay, DIGEST_MISMATCH_RETRY_SECONDS)
        failure = Failure(
            reason=reason,
            message=message,
            attempts=attempts,
            retry_at_seconds=self._runtime.now() + delay,
            due_seconds=self._runtime.monotonic() + delay,
            recipe=demand.recipe,
        )
        # Listed and opened anew at the next attempt: credentials may have been rotated, the source put right.
        self._records.change(demand.key, failure=failure, source=None, progress=None, rate=0.0)
        self._metrics.downloads.labels("failed").inc()
        if before is None or before.reason != reason:
            self._tell("Warning", reason, f"{demand.name}: {message}")


def _reason(error: LocalModelError) -> str:
    if isinstance(error, ApiError):
        return "CredentialsUnavailable"
    if isinstance(error, PathMissing):
        return "StorageMissing"
    return str(getattr(error, "reason", type(error).__name__))
