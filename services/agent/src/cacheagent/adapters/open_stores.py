"""Stores that are open: each as long as somebody uses it, and the last few for whoever comes next.

Rotated credentials open a store of their own; without an end to the old ones, an agent would collect connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from cacheagent.adapters.signed import SignedRequest, SigningStore, Stream, StreamingStore
from cachecore.errors import AccessDenied
from cachecore.ports import Checksum, Credentials, ObjectInfo, ObjectStore, Part

logger = logging.getLogger(__name__)

# How many stay open though nobody uses them.
IDLE = 4

Objects: TypeAlias = list[ObjectInfo]
StoreKey: TypeAlias = tuple[str, Credentials]


class ClosableStore(ObjectStore, Protocol):
    async def list(self, uri: str) -> Objects: ...

    async def close(self) -> None: ...


class UsedStore:
    """A store as its users have it. `doubtful` once its credentials were refused: nobody new should get it."""

    def __init__(self, store: ClosableStore) -> None:
        self._store = store
        self.doubtful = False

    async def list(self, uri: str) -> Objects:
        with self._doubting():
            return await self._store.list(uri)

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        with self._doubting():
            return await self._store.read(source, offset_bytes, length_bytes)

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        with self._doubting():
            return await self._store.checksum(source)

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[None]:
        try:
            yield
        except AccessDenied:
            self.doubtful = True
            raise


class UsedSigningStore(UsedStore):
    def __init__(self, store: ClosableStore, signer: SigningStore) -> None:
        super().__init__(store)
        self._signer = signer

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest | None:
        # The last signature was refused.
        self.doubtful |= fresh
        with self._doubting():
            return await self._signer.sign(source, fresh=fresh)


class UsedStreamingStore(UsedStore):
    def __init__(self, store: ClosableStore, streamer: StreamingStore) -> None:
        super().__init__(store)
        self._streamer = streamer

    def open_part(self, part: Part) -> AbstractContextManager[Stream]:
        return self._streamer.open_part(part)


class OpenStores:
    """By what they were opened with."""

    def __init__(self) -> None:
        self._used: weakref.WeakValueDictionary[StoreKey, UsedStore] = weakref.WeakValueDictionary()
        self._recent: OrderedDict[StoreKey, UsedStore] = OrderedDict()
        self._open: dict[int, ClosableStore] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def find(self, key: StoreKey) -> UsedStore | None:
        """The store, unless its credentials were refused: what they are may have changed without their name."""
        used = self._used.get(key)
        if used is None or used.doubtful:
            return None
        self._remember(key, used)
        return used

    def add(self, key: StoreKey, store: ClosableStore) -> UsedStore:
        """It is closed some time after the last reference to the answer has gone."""
        used = _used(store)
        self._open[id(store)] = store
        loop = asyncio.get_running_loop()
        weakref.finalize(used, _call_in, loop, self._end, id(store)).atexit = False
        self._used[key] = used
        self._remember(key, used)
        return used

    async def close(self) -> None:
        self._recent.clear()
        stores, self._open = list(self._open.values()), {}
        for store in stores:
            await store.close()
        if self._closing:
            await asyncio.wait(self._closing)

    def _remember(self, key: StoreKey, used: UsedStore) -> None:
        self._recent[key] = used
        self._recent.move_to_end(key)
        while len(self._recent) > IDLE:
            self._recent.popitem(last=False)

    def _end(self, number: int) -> None:
        store = self._open.pop(number, None)
        if store is not None:
            task = asyncio.get_running_loop().create_task(_close(store), name="close-store")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _used(store: ClosableStore) -> UsedStore:
    if isinstance(store, SigningStore):
        return UsedSigningStore(store, store)
    if isinstance(store, StreamingStore):
        return UsedStreamingStore(store, store)
    return UsedStore(store)


async def _close(store: ClosableStore) -> None:
    try:
        await store.close()
    except Exception:
        logger.exception("a store was not closed")


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[int], None], number: int) -> None:
    """References may end in any thread, and after the loop."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, number)
