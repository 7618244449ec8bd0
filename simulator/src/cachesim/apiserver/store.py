"""The objects, their revisions, and the bounded history that watches resume from.

Stored objects are plain dicts that nobody changes in place: a write makes a new one that shares what did not change.
"""

from __future__ import annotations

import bisect
import collections
from collections.abc import Callable, Iterator

import msgspec

from cachesim.apiserver.errors import too_old_list
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.selectors import Selection, exact_field, field_value

Key = tuple[str, str]


class Change(msgspec.Struct, frozen=True, gc=False):
    """One committed write. `item` is the object after it (before it, with the new revision, for DELETED)."""

    resource_type: ResourceType
    type: str
    item: JsonObject
    previous: JsonObject | None
    revision: int
    event: JsonObject


class Table:
    """The objects of one resource, sorted by namespace and name."""

    def __init__(self, indexed_field: str, history_events: int) -> None:
        self._objects: dict[Key, JsonObject] = {}
        self._keys: list[Key] = []
        self._indexed_field = indexed_field
        self._index: dict[str, dict[Key, None]] = {}
        self.history: collections.deque[Change] = collections.deque(maxlen=history_events)
        self.compacted_revision = 0
        self.changed_revision = 0

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, namespace: str, name: str) -> JsonObject | None:
        return self._objects.get((namespace, name))

    def all_keys(self) -> list[Key]:
        """Every key, in order."""
        return list(self._keys)

    def keys(self, selection: Selection) -> list[Key]:
        """The keys that can match, in order: narrowed by namespace, by name, or by the indexed field."""
        exact = exact_field(selection.fields)
        if exact is not None and exact[0] == "metadata.name" and selection.namespace:
            key = (selection.namespace, exact[1])
            return [key] if key in self._objects else []
        if exact is not None and exact[0] == self._indexed_field:
            return sorted(self._index.get(exact[1], ()))
        if not selection.namespace:
            return self._keys
        start = bisect.bisect_left(self._keys, (selection.namespace, ""))
        end = bisect.bisect_left(self._keys, (selection.namespace + "\0", ""))
        return self._keys[start:end]

    def select(self, selection: Selection) -> Iterator[JsonObject]:
        for key in self.keys(selection):
            item = self._objects[key]
            if selection.matches(item):
                yield item

    def state_at(self, revision: int) -> dict[Key, JsonObject]:
        """Every object as it was at that revision, in order. Raises Expired when the history does not reach back."""
        if revision < self.compacted_revision:
            raise too_old_list()
        if self.changed_revision <= revision:
            return {key: self._objects[key] for key in self._keys}
        state = dict(self._objects)
        for change in reversed(self.history):
            if change.revision <= revision:
                break
            key = key_of(change.item)
            if change.previous is None:
                state.pop(key, None)
            else:
                state[key] = change.previous
        return {key: state[key] for key in sorted(state)}

    def put(self, key: Key, item: JsonObject) -> None:
        previous = self._objects.get(key)
        self._objects[key] = item
        if previous is None:
            bisect.insort(self._keys, key)
        if self._indexed_field:
            self._reindex(key, previous, item)

    def remove(self, key: Key) -> None:
        previous = self._objects.pop(key)
        del self._keys[bisect.bisect_left(self._keys, key)]
        if self._indexed_field:
            self._reindex(key, previous, None)

    def record(self, change: Change) -> None:
        if len(self.history) == self.history.maxlen:
            self.compacted_revision = self.history[0].revision
        self.history.append(change)
        self.changed_revision = change.revision

    def compact(self, revision: int) -> None:
        """Forget the changes up to `revision`, as etcd's compaction does."""
        while self.history and self.history[0].revision <= revision:
            self.history.popleft()
        self.compacted_revision = max(self.compacted_revision, revision)

    def _reindex(self, key: Key, previous: JsonObject | None, item: JsonObject | None) -> None:
        before = None if previous is None else field_value(previous, self._indexed_field)
        after = None if item is None else field_value(item, self._indexed_field)
        if before == after:
            return
        if before is not None:
            self._index[before].pop(key)
            if not self._index[before]:
                del self._index[before]
        if after is not None:
            self._index.setdefault(after, {})[key] = None


Listener = Callable[[Change], None]


class Store:
    """All tables under one revision counter."""

    def __init__(self, *, history_events: int) -> None:
        self.revision = 1
        self.compacted_revision = 0
        self._history_events = history_events
        self._tables: dict[tuple[str, str], Table] = {}
        self._listeners: list[Listener] = []

    def table(self, resource_type: ResourceType) -> Table:
        key = (resource_type.group, resource_type.plural)
        found = self._tables.get(key)
        if found is None:
            indexed = "spec.nodeName" if key == ("", "pods") else ""
            found = self._tables[key] = Table(indexed, self._history_events)
        return found

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every change, in order, before the write returns. It must not write."""
        self._listeners.append(listener)

    def get(self, resource_type: ResourceType, namespace: str, name: str) -> JsonObject | None:
        return self.table(resource_type).get(namespace, name)

    def commit(self, resource_type: ResourceType, item: JsonObject) -> JsonObject:
        """Store a new or changed object under the next revision; return it as stored."""
        key = key_of(item)
        table = self.table(resource_type)
        previous = table.get(*key)
        stored = self._stamp(item)
        table.put(key, stored)
        self._publish(table, resource_type, "ADDED" if previous is None else "MODIFIED", stored, previous)
        return stored

    def remove(self, resource_type: ResourceType, item: JsonObject) -> JsonObject:
        """Delete the object; return it with the revision of its deletion."""
        key = key_of(item)
        table = self.table(resource_type)
        previous = table.get(*key)
        stamped = self._stamp(item)
        table.remove(key)
        self._publish(table, resource_type, "DELETED", stamped, previous)
        return stamped

    def compact(self, revision: int | None = None) -> None:
        """Forget the history of every table up to `revision` (default: now)."""
        self.compacted_revision = max(self.compacted_revision, self.revision if revision is None else revision)
        for table in self._tables.values():
            table.compact(self.compacted_revision)

    def _stamp(self, item: JsonObject) -> JsonObject:
        self.revision += 1
        return {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.revision)}}

    def _publish(
        self, table: Table, resource_type: ResourceType, type_: str, item: JsonObject, previous: JsonObject | None
    ) -> None:
        event = {"type": type_, "object": item}
        change = Change(resource_type, type_, item, previous, self.revision, event)
        table.record(change)
        for listener in self._listeners:
            listener(change)


def key_of(item: JsonObject) -> Key:
    metadata = item["metadata"]
    return (metadata.get("namespace") or "", metadata["name"])
