"""Watches: who is told of which change, and what a reader that resumes must be told first."""

from __future__ import annotations

import collections
from collections.abc import Iterator

from cachecore.ports import Runtime
from cachesim.apiserver.errors import too_large_revision, too_old, too_old_watch
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.selectors import Selection, exact_field, field_value
from cachesim.apiserver.store import Change, Store, Table

# The real server sends a last bookmark so long before a watch ends; to a shorter watch it sends none.
_LAST_BOOKMARK_SECONDS = 2.0
_ALMOST_SECONDS = 0.001
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


class ServerWatch:
    """One reader's queue. A reader that falls too far behind is cut off, and resumes by its last resourceVersion."""

    def __init__(self, hub: WatchHub, resource_type: ResourceType, selection: Selection, deadline: float) -> None:
        self._hub = hub
        self._signal = hub.runtime.signal()
        self._events: collections.deque[JsonObject] = collections.deque()
        self._deadline = deadline
        self._open = True
        self.resource_type = resource_type
        self.selection = selection
        self.exact = exact_field(selection.fields)
        self.bookmarks = False
        self.number = 0
        # A watch from a revision of the future sees nothing before it.
        self.after_revision = 0

    async def receive(self) -> JsonObject | None:
        """The next `{"type", "object"}`, shared by all readers: never change it. None at the end."""
        while True:
            if self._events:
                return self._events.popleft()
            if not self._open:
                return None
            remaining = self._deadline - self._hub.runtime.monotonic()
            if remaining <= 0:
                self.stop()
                continue
            self._signal.clear()
            pause = min(remaining, self._until_bookmark(remaining))
            woken = await self._signal.wait(pause)
            if not woken and pause < remaining and not self._events and self._open:
                self._events.append(self._hub.bookmark(self.resource_type))

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        """End the watch now; what is queued can still be received."""
        if self._open:
            self._open = False
            self._hub.forget(self)
            self._signal.set()

    @property
    def pending(self) -> int:
        return len(self._events)

    def push(self, event: JsonObject) -> None:
        if len(self._events) >= self._hub.queue_events or self._hub.runtime.monotonic() > self._deadline:
            # Its reader is too slow, or has died without a word.
            self.stop()
            return
        if not self._events:
            self._signal.set()
        self._events.append(event)

    def preload(self, event: JsonObject) -> None:
        """Queue what the reader must see first; the limit is for live events alone."""
        self._events.append(event)

    def offer(self, change: Change) -> None:
        """Push the change as this watch's selection sees it, if it sees it at all."""
        event = seen_by(self.selection, change)
        if event is not None and change.revision > self.after_revision:
            self.push(event)

    def _until_bookmark(self, remaining: float) -> float:
        """How long a quiet watch goes without one: it comes each minute, and shortly before the end."""
        until_last = remaining - _LAST_BOOKMARK_SECONDS
        if not self.bookmarks or until_last < _ALMOST_SECONDS:
            return remaining
        return min(until_last, self._hub.bookmark_interval_seconds)


class WatchHub:
    """Hands each change to the watches that may see it, found by an index where their selector has an exact field."""

    def __init__(self, store: Store, runtime: Runtime, *, queue_events: int, bookmark_interval_seconds: float) -> None:
        self.runtime = runtime
        self.queue_events = queue_events
        self.bookmark_interval_seconds = bookmark_interval_seconds
        self._store = store
        self._general: dict[tuple[str, str], dict[int, ServerWatch]] = {}
        self._exact: dict[tuple[str, str], dict[str, dict[str, dict[int, ServerWatch]]]] = {}
        self._count = 0
        store.listen(self._dispatch)

    def open(
        self,
        resource_type: ResourceType,
        selection: Selection,
        *,
        revision: int | None,
        bookmarks: bool,
        initial_events: bool,
        timeout_seconds: float,
    ) -> ServerWatch:
        """`revision` None: begin with the present state. Raises Expired when the history does not reach back."""
        table = self._store.table(resource_type)
        if revision is not None:
            self._check_revision(revision, table, initial_events=initial_events)
        watch = ServerWatch(self, resource_type, selection, self.runtime.monotonic() + timeout_seconds)
        watch.bookmarks = bookmarks
        watch.after_revision = revision or 0
        if revision is None or initial_events:
            for item in table.select(selection):
                watch.preload({"type": "ADDED", "object": item})
            if initial_events and bookmarks:
                watch.preload(self.bookmark(resource_type, annotations=_INITIAL_EVENTS_END))
        else:
            self._replay(watch, revision)
        self._remember(watch)
        return watch

    def _check_revision(self, revision: int, table: Table, *, initial_events: bool) -> None:
        if initial_events:
            if revision > self._store.revision:
                raise too_large_revision(revision, self._store.revision)
        elif revision < self._store.compacted_revision:
            raise too_old_watch()
        elif revision < table.compacted_revision:
            raise too_old(revision, table.compacted_revision)

    def bookmark(self, resource_type: ResourceType, annotations: dict[str, str] | None = None) -> JsonObject:
        metadata: JsonObject = {"resourceVersion": str(self._store.revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        item = {"kind": resource_type.kind, "apiVersion": resource_type.api_version, "metadata": metadata}
        return {"type": "BOOKMARK", "object": item}

    def forget(self, watch: ServerWatch) -> None:
        key = (watch.resource_type.group, watch.resource_type.plural)
        if watch.exact is None:
            self._general.get(key, {}).pop(watch.number, None)
            return
        by_value = self._exact.get(key, {}).get(watch.exact[0], {})
        watches = by_value.get(watch.exact[1], {})
        watches.pop(watch.number, None)
        if not watches:
            by_value.pop(watch.exact[1], None)

    def close_all(self, resource_type: ResourceType | None = None) -> None:
        """End every watch (of one resource): the connections break, or the kind has gone."""
        for watch in list(self._watches()):
            if resource_type is None or watch.resource_type.qualified_plural == resource_type.qualified_plural:
                watch.stop()

    def __len__(self) -> int:
        return sum(1 for _ in self._watches())

    def _watches(self) -> Iterator[ServerWatch]:
        for watches in self._general.values():
            yield from watches.values()
        for by_field in self._exact.values():
            for by_value in by_field.values():
                for watches in by_value.values():
                    yield from watches.values()

    def _remember(self, watch: ServerWatch) -> None:
        self._count += 1
        watch.number = self._count
        key = (watch.resource_type.group, watch.resource_type.plural)
        if watch.exact is None:
            self._general.setdefault(key, {})[watch.number] = watch
            return
        by_value = self._exact.setdefault(key, {}).setdefault(watch.exact[0], {})
        by_value.setdefault(watch.exact[1], {})[watch.number] = watch

    def _replay(self, watch: ServerWatch, revision: int) -> None:
        missed: list[Change] = []
        for change in reversed(self._store.table(watch.resource_type).history):
            if change.revision <= revision:
                break
            missed.append(change)
        for change in reversed(missed):
            event = seen_by(watch.selection, change)
            if event is not None:
                watch.preload(event)

    def _dispatch(self, change: Change) -> None:
        key = (change.resource_type.group, change.resource_type.plural)
        general = self._general.get(key)
        if general:
            for watch in list(general.values()):
                watch.offer(change)
        by_field = self._exact.get(key)
        if not by_field:
            return
        for field, by_value in by_field.items():
            after = field_value(change.item, field)
            before = after if change.previous is None else field_value(change.previous, field)
            for value in (after,) if after == before else (before, after):
                for watch in list(by_value.get(value, {}).values()):
                    watch.offer(change)


def seen_by(selection: Selection, change: Change) -> JsonObject | None:
    """The event that a watch with this selection gets: leaving the selection is a deletion, entering it an addition."""
    item, previous = change.item, change.previous
    if change.type == "DELETED":
        return change.event if previous is not None and selection.matches(previous) else None
    now = selection.matches(item)
    if previous is None:
        return change.event if now else None
    before = selection.matches(previous)
    if now:
        return change.event if before else {"type": "ADDED", "object": item}
    if not before:
        return None
    metadata = {**previous["metadata"], "resourceVersion": str(change.revision)}
    return {"type": "DELETED", "object": {**previous, "metadata": metadata}}
