"""A local copy of all objects of one kind, kept up to date by list and watch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Generic, TypeAlias, TypeVar

from cachecore.controller.queue import Backoff
from cachecore.errors import ApiError, Expired
from cachecore.ports.cluster import ClusterClient, Watch, WatchEvent, WatchEventType
from cachecore.ports.runtime import Runtime
from cachecore.resources.meta import Resource
from cachecore.tasks import TaskGroup

R = TypeVar("R", bound=Resource)
ObjectKey: TypeAlias = tuple[str, str]
"""(namespace, name)."""

logger = logging.getLogger(__name__)

# Watches are renewed about this often, each at its own time, so that they don't all come back at once.
WATCH_SECONDS = 300.0
# A watch that ended sooner than this without an event counts as a failure, or the two sides could spin.
SHORT_WATCH_SECONDS = 1.0


class Informer(Generic[R]):
    """Lists, then watches from there; resumes a broken watch where it stopped; lists again when that is too old.

    Listeners are called with (old, new), in the order of the changes: (None, new) for an added object, (old, None) for
    a deleted one, (same, same) at each resync. They must not block; usually they enqueue a key. `transform` may take
    away from each object, before it is kept, what nobody will read: its name, uid and resourceVersion have to stay.
    """

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        kind: type[R],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resync_seconds: float = 600.0,
        page_size: int = 500,
        transform: Callable[[R], R] | None = None,
        backoff: Backoff = Backoff(base_seconds=0.5, max_seconds=30.0),
    ) -> None:
        self.kind = kind
        self._runtime = runtime
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._resync_seconds = resync_seconds
        self._page_size = page_size
        self._transform = transform if transform is not None else _unchanged
        self._backoff = backoff
        self._failures = 0
        self._resource_version = ""
        self._objects: dict[ObjectKey, R] = {}
        self._sorted: list[R] | None = None
        self._indexes: dict[str, _Index[R]] = {}
        self._listeners: list[Callable[[R | None, R | None], None]] = []
        self._synced = runtime.signal()

    def add_listener(self, listener: Callable[[R | None, R | None], None]) -> None:
        """Objects that are known already are told to a late listener at once, as added."""
        self._listeners.append(listener)
        for resource in self.list():
            self._tell(listener, None, resource)

    def add_index(self, name: str, keys: Callable[[R], Iterable[str]]) -> None:
        index = _Index(keys)
        for resource in self._objects.values():
            index.replace(None, resource)
        self._indexes[name] = index

    def indexed(self, name: str, key: str) -> list[R]:
        """The objects that the index `name` has under `key`, sorted by namespace and name."""
        return self._indexes[name].at(key)

    def get(self, name: str, namespace: str = "") -> R | None:
        return self._objects.get((namespace, name))

    def list(self) -> list[R]:
        """All objects, sorted by namespace and name."""
        if self._sorted is None:
            self._sorted = [self._objects[key] for key in sorted(self._objects)]
        return self._sorted.copy()

    @property
    def synced(self) -> bool:
        """Whether the first list is complete."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        group = TaskGroup(self._runtime)
        plural = self.kind.resource_type.plural
        group.spawn(self._follow(), name=f"informer-{plural}")
        if self._resync_seconds > 0:
            group.spawn(self._resync(), name=f"resync-{plural}")
        await group.join()

    async def _follow(self) -> None:
        while True:
            try:
                if not self._resource_version:
                    await self._list_all()
                await self._watch_once()
            except Expired as error:
                logger.info("list %s again: %s", self.kind.resource_type.plural, error)
                self._resource_version = ""
                await self._back_off()
            except ApiError as error:
                logger.warning("no watch of %s: %s", self.kind.resource_type.plural, error)
                await self._back_off(error.retry_after_seconds)

    async def _back_off(self, least_seconds: float = 0.0) -> None:
        self._failures += 1
        delay = self._backoff.delay_seconds(self._failures, self._runtime.random)
        await self._runtime.sleep(max(delay, least_seconds))

    async def _list_all(self) -> None:
        found: dict[ObjectKey, R] = {}
        token = ""
        while True:
            page = await self._client.list(
                self.kind,
                namespace=self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                limit=self._page_size,
                continue_token=token,
            )
            for resource in page.items:
                found[(resource.namespace, resource.name)] = self._transform(resource)
            token = page.continue_token
            if not token:
                break
        self._replace_all(found)
        self._resource_version = page.resource_version
        self._synced.set()

    def _replace_all(self, found: dict[ObjectKey, R]) -> None:
        """Bring the copy to what a list found, and tell the difference as if it had been watched."""
        for key in sorted(self._objects.keys() | found.keys()):
            old, new = self._objects.get(key), found.get(key)
            if old is not None and new is not None:
                if old.uid != new.uid:
                    # Deleted and made again meanwhile: the new one is not an update of the old one.
                    self._apply(key, None)
                elif old.metadata.resource_version == new.metadata.resource_version:
                    continue
            self._apply(key, new)

    async def _watch_once(self) -> None:
        """Follow one watch to its end. Raises `Expired` and other `ApiError`s."""
        start = self._runtime.monotonic()
        watch = await self._client.watch(
            self.kind,
            resource_version=self._resource_version,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_seconds=WATCH_SECONDS * (0.8 + 0.4 * self._runtime.random.random()),
        )
        try:
            received = await self._receive_all(watch)
        finally:
            await watch.close()
        if received or self._runtime.monotonic() - start >= SHORT_WATCH_SECONDS:
            self._failures = 0
        else:
            await self._back_off()

    async def _receive_all(self, watch: Watch[R]) -> bool:
        """Apply events until the server ends the watch; answer whether there was any."""
        received = False
        while True:
            event = await watch.receive()
            if event is None:
                return received
            received = True
            self._failures = 0
            self._take(event)

    def _take(self, event: WatchEvent[R]) -> None:
        version = event.resource_version
        if _is_repeated(version, self._resource_version):
            return
        self._resource_version = version
        if event.type is WatchEventType.BOOKMARK:
            return
        resource = self._transform(event.resource)
        key = (resource.namespace, resource.name)
        if event.type is WatchEventType.DELETED:
            if key in self._objects:
                self._apply(key, None, last=resource)
            return
        old = self._objects.get(key)
        if old is not None and old.uid != resource.uid:
            self._apply(key, None)
        self._apply(key, resource)

    def _apply(self, key: ObjectKey, new: R | None, *, last: R | None = None) -> None:
        """Put or (None) remove one object; `last` is its last state, when the watch told it."""
        old = self._objects.get(key)
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        self._sorted = None
        for index in self._indexes.values():
            index.replace(old, new)
        for listener in self._listeners:
            self._tell(listener, last if last is not None else old, new)

    def _tell(self, listener: Callable[[R | None, R | None], None], old: R | None, new: R | None) -> None:
        try:
            listener(old, new)
        except Exception:
            # The copy must stay complete, and the other listeners must hear of the change.
            logger.exception("a listener of %s failed", self.kind.resource_type.plural)

    async def _resync(self) -> None:
        while True:
            await self._runtime.sleep(self._resync_seconds * (0.9 + 0.2 * self._runtime.random.random()))
            for resource in self.list():
                for listener in self._listeners:
                    self._tell(listener, resource, resource)


def _unchanged(resource: R) -> R:
    return resource


class _Index(Generic[R]):
    def __init__(self, keys: Callable[[R], Iterable[str]]) -> None:
        self._keys = keys
        self._buckets: dict[str, dict[ObjectKey, R]] = {}

    def at(self, key: str) -> list[R]:
        bucket = self._buckets.get(key, {})
        return [bucket[object_key] for object_key in sorted(bucket)]

    def replace(self, old: R | None, new: R | None) -> None:
        if old is not None:
            for key in self._keys(old):
                bucket = self._buckets.get(key, {})
                bucket.pop((old.namespace, old.name), None)
                if not bucket:
                    self._buckets.pop(key, None)
        if new is not None:
            for key in self._keys(new):
                self._buckets.setdefault(key, {})[(new.namespace, new.name)] = new


def _is_repeated(version: str, seen: str) -> bool:
    """Whether an event is one that we have had. Of one kind, later versions are greater numbers (KEP-5504).

    A server whose versions are no numbers is believed: its events are never repeats.
    """
    if version.isdecimal() and seen.isdecimal():
        return int(version) <= int(seen)
    return version == seen
