"""Typed values of stored objects, decoded once and shared."""

from __future__ import annotations

import collections
import functools
import typing
from typing import Any, TypeVar

import msgspec

from cachecore.resources.meta import ObjectMeta, Resource
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.store import Change, Store

R = TypeVar("R", bound=Resource)

# Old versions stay for readers that lag behind; the rest is bounded by what is stored, but for objects that only a
# watch's selection made up.
_SUPERSEDED_MOST = 4096
_REMEMBERED_MOST = 500_000


class Decoded:
    """Typed values of stored objects, decoded once and shared by every client of a server.

    Keyed by identity: the store never changes an object in place, and the entry keeps the object alive. Spec and status
    have entries of their own, because most versions of an object share one of them with the version before.
    """

    def __init__(self, store: Store) -> None:
        self._values: dict[int, tuple[JsonObject, Any]] = {}
        self._superseded: collections.deque[JsonObject] = collections.deque()
        store.listen(self._observe)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, kind: type[R], item: JsonObject) -> R:
        value: R = self._get(kind, item)
        return value

    def _get(self, kind: Any, content: JsonObject) -> Any:
        found = self._values.get(id(content))
        if found is not None and type(found[1]) is kind:
            return found[1]
        parts = _parts(kind)
        if parts is not None and "spec" in content:
            values = {field: self._get(parts[field], content[field]) for field in parts if field in content}
            value = kind(metadata=msgspec.convert(content["metadata"], type=ObjectMeta), **values)
        else:
            value = msgspec.convert(content, type=kind)
        if len(self._values) >= _REMEMBERED_MOST:
            del self._values[next(iter(self._values))]
        self._values[id(content)] = (content, value)
        return value

    def _observe(self, change: Change) -> None:
        """Forget, after a while, what a write has replaced."""
        previous, item = change.previous, change.item
        if previous is None or not self._values:
            return
        self._superseded.append(previous)
        for field in ("spec", "status"):
            part = previous.get(field)
            if isinstance(part, dict) and (part is not item.get(field) or change.type == "DELETED"):
                self._superseded.append(part)
        if change.type == "DELETED":
            self._superseded.append(item)
        while len(self._superseded) > _SUPERSEDED_MOST:
            self._values.pop(id(self._superseded.popleft()), None)


@functools.lru_cache(maxsize=256)
def _parts(kind: type) -> dict[str, type] | None:
    """The types of spec and status, for a kind that has those, as structs, and nothing else beside its metadata."""
    if not issubclass(kind, Resource) or set(kind.__struct_fields__) - {"metadata", "spec", "status"}:
        return None
    hints = typing.get_type_hints(kind)
    types = {field: hints[field] for field in kind.__struct_fields__ if field != "metadata"}
    structs = all(isinstance(part, type) and issubclass(part, msgspec.Struct) for part in types.values())
    return types if structs and "spec" in types else None
