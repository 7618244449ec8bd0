"""The ObjectStores and PartMover ports of one process, through its gate."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from cachecore.ports import (
    Checksum,
    Credentials,
    MovedPart,
    ObjectInfo,
    ObjectStore,
    ObjectStores,
    Part,
    PartMover,
)
from cachesim.faults.gate import Gate
from cachesim.faults.gated_disk import Subjects


class GatedStores:
    """Opens stores whose listings and reads are sites: `find source/llama`."""

    def __init__(self, stores: ObjectStores, gate: Gate) -> None:
        self._stores = stores
        self._gate = gate

    async def open(self, uri: str, credentials: Credentials) -> ObjectStore:
        return GatedStore(await self._stores.open(uri, credentials), self._gate)


class GatedStore:
    def __init__(self, store: ObjectStore, gate: Gate) -> None:
        self.inner = store
        self._gate = gate

    def list(self, uri: str) -> Coroutine[Any, Any, list[ObjectInfo]]:
        return self._gate.call("find", f"source/{uri.rstrip('/').rpartition('/')[2]}", lambda: self.inner.list(uri))

    def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> Coroutine[Any, Any, bytes]:
        return self._gate.call(
            "read_range", f"source/{source.path}", lambda: self.inner.read(source, offset_bytes, length_bytes)
        )

    def checksum(self, source: ObjectInfo) -> Coroutine[Any, Any, Checksum | None]:
        return self._gate.call("ask_checksum", f"source/{source.path}", lambda: self.inner.checksum(source))


class GatedMover:
    """Parts on their way: `move staging/llama`."""

    def __init__(self, mover: PartMover, gate: Gate, subjects: Subjects) -> None:
        self._mover = mover
        self._gate = gate
        self._subjects = subjects

    def move(self, store: ObjectStore, parts: Sequence[Part]) -> Coroutine[Any, Any, list[MovedPart]]:
        inner = store.inner if isinstance(store, GatedStore) else store
        return self._gate.call("move", self._subjects.of(parts[0].path), lambda: self._mover.move(inner, parts))
