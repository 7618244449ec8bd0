"""S3 in the simulated world: what it lists, and how long its bytes travel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import blake3
import msgspec

from cachecore.errors import SourceNotFound, UnsupportedScheme
from cachecore.ports import Checksum, Credentials, MovedPart, ObjectInfo, ObjectStore, Part
from cachesim.disk import SimulatedDisk
from cachesim.network import Link, Network
from cachesim.runtime import SimpyRuntime


class SourceWorld(msgspec.Struct, kw_only=True):
    """Every object there is, by model URI; and the counters of what was served."""

    link: Link
    latency_seconds: float
    objects: dict[str, tuple[ObjectInfo, ...]] = {}
    requests: int = 0
    bytes_served: int = 0

    def add_model(self, uri: str, sizes_bytes: dict[str, int]) -> None:
        """`sizes_bytes`: path of each file below the URI -> its size."""
        self.objects[uri] = tuple(
            ObjectInfo(
                path=path,
                location=f"{uri}/{path}",
                size_bytes=size,
                etag=blake3.blake3(f"{uri}/{path}".encode()).hexdigest()[:32],
            )
            for path, size in sorted(sizes_bytes.items())
        )


def part_token(source: ObjectInfo, offset_bytes: int, length_bytes: int) -> str:
    """What stands for the bytes of one part of one version of an object: the same bytes, the same token."""
    return blake3.blake3(f"{source.location} {source.etag} {offset_bytes} {length_bytes}".encode()).hexdigest()


class SimulatedStore:
    """The ObjectStore port of one host."""

    def __init__(self, runtime: SimpyRuntime, world: SourceWorld) -> None:
        self._runtime = runtime
        self._world = world

    async def list(self, uri: str) -> list[ObjectInfo]:
        await self._runtime.sleep(self._world.latency_seconds)
        self._world.requests += 1
        objects = self._world.objects.get(uri.rstrip("/"))
        if not objects:
            raise SourceNotFound(f"{uri}: no object is there")
        return list(objects)

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        """The flow fidelity has no bytes: a coroutine that asks for them is not wired right."""
        raise NotImplementedError("in the flow fidelity only a PartMover reads")

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        return None


class SimulatedStores:
    """The ObjectStores port of one host: s3 alone has a driver."""

    def __init__(self, runtime: SimpyRuntime, world: SourceWorld) -> None:
        self._runtime = runtime
        self._world = world

    async def open(self, uri: str, credentials: Credentials) -> ObjectStore:
        scheme = uri.partition("://")[0]
        if scheme != "s3":
            raise UnsupportedScheme(f"{scheme} has no driver: use one of s3")
        return SimulatedStore(self._runtime, self._world)


class PartObserver(Protocol):
    """Is told when a part begins to move, and when it no longer does."""

    def part_started(self, node: str, path: str, offset_bytes: int) -> None: ...

    def part_ended(self, node: str, path: str, offset_bytes: int) -> None: ...


class FlowMover:
    """The PartMover port of one host: one flow from S3 over the node's network card to its disk."""

    def __init__(
        self,
        runtime: SimpyRuntime,
        network: Network,
        world: SourceWorld,
        disk: SimulatedDisk,
        *links: Link,
        node: str = "",
        observer: PartObserver | None = None,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._world = world
        self._disk = disk
        self._links = links
        self._node = node
        self._observer = observer

    async def move(self, store: ObjectStore, parts: Sequence[Part]) -> list[MovedPart]:
        return [MovedPart(digest=await self._move(part)) for part in parts]

    async def _move(self, part: Part) -> str:
        if self._observer is not None:
            self._observer.part_started(self._node, part.path, part.offset_bytes)
        try:
            await self._runtime.sleep(self._world.latency_seconds)
            self._world.requests += 1
            await self._network.transfer(self._runtime, part.length_bytes, self._world.link, *self._links)
        finally:
            if self._observer is not None:
                self._observer.part_ended(self._node, part.path, part.offset_bytes)
        self._world.bytes_served += part.length_bytes
        token = part_token(part.source, part.offset_bytes, part.length_bytes)
        await self._disk.write_part(part.path, part.offset_bytes, part.length_bytes, token)
        return token
