"""The watches of a `FakeCluster`."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import msgspec

from cachecore.ports.cluster import WatchEvent, WatchEventType
from cachecore.ports.runtime import Runtime
from cachecore.resources.meta import Resource, only_revision
from cachecore.testing.selectors import matches_fields, matches_labels

R = TypeVar("R", bound=Resource)


class Change(msgspec.Struct, frozen=True):
    """One write: what was there before, and what is (or for a deletion, last was) there."""

    version: int
    type: WatchEventType
    old: Resource | None
    new: Resource


class Selection(msgspec.Struct, frozen=True):
    """What a list or a watch asks for."""

    kind: str
    namespace: str
    label_selector: str
    field_selector: str

    def matches(self, resource: Resource) -> bool:
        return (
            resource.resource_type.kind == self.kind
            and self.namespace in ("", resource.namespace)
            and matches_labels(self.label_selector, resource.metadata.labels)
            and matches_fields(self.field_selector, resource)
        )


class FakeWatch(Generic[R]):
    def __init__(self, runtime: Runtime, kind: type[R], selection: Selection, timeout_seconds: float) -> None:
        self._runtime = runtime
        self._kind = kind
        self._selection = selection
        self._deadline = runtime.monotonic() + timeout_seconds
        self._events: deque[WatchEvent[R]] = deque()
        self._arrived = runtime.signal()
        self._error: Exception | None = None
        self._ended = False
        self.closed = False

    def offer(self, change: Change) -> None:
        """Send a change to whom it concerns: an object that enters or leaves the selection is added or deleted."""
        new = change.new
        if self._ended or not isinstance(new, self._kind):
            return
        was_seen = change.old is not None and self._selection.matches(change.old)
        is_seen = change.type is not WatchEventType.DELETED and self._selection.matches(new)
        if is_seen:
            event_type = WatchEventType.MODIFIED if was_seen else WatchEventType.ADDED
        elif was_seen:
            event_type = WatchEventType.DELETED
        else:
            return
        self._events.append(WatchEvent(type=event_type, resource=new))
        self._arrived.set()

    def send_bookmark(self, version: str) -> None:
        resource = only_revision(self._kind, version)
        self._events.append(WatchEvent(type=WatchEventType.BOOKMARK, resource=resource))
        self._arrived.set()

    def end(self, error: Exception | None) -> None:
        self._ended = True
        self._error = error
        self._arrived.set()

    async def receive(self) -> WatchEvent[R] | None:
        while True:
            if self._events:
                return self._events.popleft()
            if self._error is not None:
                raise self._error
            remaining = self._deadline - self._runtime.monotonic()
            if self._ended or remaining <= 0:
                return None
            self._arrived.clear()
            await self._arrived.wait(remaining)

    async def close(self) -> None:
        self.closed = True
        self._ended = True
        self._arrived.set()
