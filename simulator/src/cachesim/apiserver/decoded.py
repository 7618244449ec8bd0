"""Typed values of stored objects, decoded once and shared."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from cachecore.resources.meta import Resource
from cachesim.apiserver.resources import JsonObject

R = TypeVar("R", bound=Resource)

_DECODED_MOST = 65536


class Decoded:
    """Typed values of stored objects, decoded once and shared by every client of a server.

    Keyed by identity: the store never changes an object in place, and the entry keeps the object alive.
    """

    def __init__(self) -> None:
        self._values: dict[int, tuple[JsonObject, Any]] = {}

    def get(self, kind: type[R], item: JsonObject) -> R:
        found = self._values.get(id(item))
        if found is not None and type(found[1]) is kind:
            value: R = found[1]
            return value
        value = msgspec.convert(item, type=kind)
        if len(self._values) >= _DECODED_MOST:
            del self._values[next(iter(self._values))]
        self._values[id(item)] = (item, value)
        return value
