"""Typed values of stored objects, decoded once and shared."""

from __future__ import annotations

import functools
import typing
from typing import Any, TypeVar

import msgspec

from cachecore.resources.meta import ObjectMeta, Resource
from cachesim.apiserver.resources import JsonObject

R = TypeVar("R", bound=Resource)

_REMEMBERED_MOST = 65536


class Decoded:
    """Typed values of stored objects, decoded once and shared by every client of a server.

    Keyed by identity: the store never changes an object in place, and the entry keeps the object alive. Spec and status
    have entries of their own, because most versions of an object share one of them with the version before.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[int, Any], tuple[JsonObject, Any]] = {}

    def get(self, kind: type[R], item: JsonObject) -> R:
        value: R = self._get(kind, item)
        return value

    def _get(self, kind: Any, content: JsonObject) -> Any:
        key = (id(content), kind)
        found = self._values.get(key)
        if found is not None:
            return found[1]
        parts = _parts(kind)
        if parts is not None and "spec" in content:
            values = {field: self._get(parts[field], content[field]) for field in parts if field in content}
            value = kind(metadata=msgspec.convert(content["metadata"], type=ObjectMeta), **values)
        else:
            value = msgspec.convert(content, type=kind)
        if len(self._values) >= _REMEMBERED_MOST:
            del self._values[next(iter(self._values))]
        self._values[key] = (content, value)
        return value


@functools.lru_cache(maxsize=256)
def _parts(kind: type) -> dict[str, type] | None:
    """The types of spec and status, for a kind that has those, as structs, and nothing else beside its metadata."""
    if not issubclass(kind, Resource) or set(kind.__struct_fields__) - {"metadata", "spec", "status"}:
        return None
    hints = typing.get_type_hints(kind)
    types = {field: hints[field] for field in kind.__struct_fields__ if field != "metadata"}
    if "spec" not in types or not all(
        isinstance(part, type) and issubclass(part, msgspec.Struct) for part in types.values()
    ):
        return None
    return types
