"""S3 in the simulated world: what it lists, and how long its bytes travel.

The adapters let the time of each verb pass, in which the host may crash; then the world does what was asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import blake3

from cachecore.errors import SourceChanged, SourceNotFound, SourceUnavailable, UnsupportedScheme
from cachecore.ports import Checksum, Credentials, MovedPart, ObjectInfo, ObjectStore, Part
from cachesim.disk import DiskWorld, SimulatedDisk
from cachesim.network import FlowBroken, Link, Network
from cachesim.runtime import SimpyRuntime
from cachesim.tokens import part_token


class OpenedSource(Protocol):
    """A store that somebody has opened. Its verbs take no time here: that is what the adapters below are for."""

    def list(self, uri: str) -> Sequence[ObjectInfo]: ...

    def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes: ...

    def checksum(self, source: ObjectInfo) -> Checksum | None: ...

    def deliver(self, part: Part, disk: DiskWorld) -> MovedPart:
        """Write a part, whose bytes have come, into its file."""
        ...


class SourceWorld:
    """Every object there is, by model URI; and the counters of what was served."""

    def __init__(self, *, link: Link, latency_seconds: float) -> None:
        self.link = link
        self.latency_seconds = latency_seconds
        self.objects: dict[str, tuple[ObjectInfo, ...]] = {}
        # Every version that each model has had, the newest last.
        self.versions: dict[str, list[tuple[ObjectInfo, ...]]] = {}
        self.requests = 0
        self.bytes_served = 0

    def add_model(self, uri: str, sizes_bytes: dict[str, int], version: int = 1) -> None:
        """`sizes_bytes`: path of each file below the URI -> its size. Each version has other bytes."""
        self.objects[uri] = tuple(
            ObjectInfo(
                path=path,
                location=f"{uri}/{path}",
                size_bytes=size,
                etag=_etag(f"{uri}/{path}", version),
            )
            for path, size in sorted(sizes_bytes.items())
        )
        self.versions.setdefault(uri, []).append(self.objects[uri])

    def change_model(self, uri: str) -> None:
        """Replace every object by another of the same name and size."""
        sizes = {item.path: item.size_bytes for item in self.objects[uri]}
        self.add_model(uri, sizes, len(self.versions[uri]) + 1)

    def open(self, uri: str, credentials: Credentials) -> OpenedSource:
        return TokenSource(self.objects)


class TokenSource:
    """What the flow fidelity reads: a token stands for the bytes of each part."""

    def __init__(self, objects: Mapping[str, Sequence[ObjectInfo]]) -> None:
        self._objects = objects

    def list(self, uri: str) -> Sequence[ObjectInfo]:
        objects = self._objects.get(uri.rstrip("/"))
        if not objects:
            raise SourceNotFound(f"{uri}: no object is there")
        return objects

    def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        """There are none: a coroutine that asks for bytes is not wired right."""
        raise NotImplementedError("in the flow fidelity only a PartMover reads")

    def checksum(self, source: ObjectInfo) -> Checksum | None:
        return None

    def deliver(self, part: Part, disk: DiskWorld) -> MovedPart:
        token = part_token(part.source, part.offset_bytes, part.length_bytes)
        disk.write_part(part.path, part.offset_bytes, part.length_bytes, token)
        return MovedPart(digest=token)


def _etag(location: str, version: int) -> str:
    words = location if version == 1 else f"{location} version {version}"
    return blake3.blake3(words.encode()).hexdigest()[:32]


class SimulatedStore:
    """The ObjectStore port of one host."""

    def __init__(self, runtime: SimpyRuntime, world: SourceWorld, opened: OpenedSource) -> None:
        self._runtime = runtime
        self._world = world
        self.opened = opened

    async def list(self, uri: str) -> list[ObjectInfo]:
        await self._runtime.sleep(self._world.latency_seconds)
        self._world.requests += 1
        return [*self.opened.list(uri)]

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        return self.opened.read(source, offset_bytes, length_bytes)

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        return self.opened.checksum(source)


class SimulatedStores:
    """The ObjectStores port of one host: s3 alone has a driver."""

    def __init__(self, runtime: SimpyRuntime, world: SourceWorld) -> None:
        self._runtime = runtime
        self._world = world

    async def open(self, uri: str, credentials: Credentials) -> ObjectStore:
        scheme = uri.partition("://")[0]
        if scheme != "s3":
            raise UnsupportedScheme(f"{scheme} has no driver: use one of s3")
        return SimulatedStore(self._runtime, self._world, self._world.open(uri, credentials))


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
        if not isinstance(store, SimulatedStore):
            raise TypeError(f"{type(store).__name__} is no store of the simulator")
        return [await self._move(store.opened, part) for part in parts]

    async def _move(self, opened: OpenedSource, part: Part) -> MovedPart:
        if self._observer is not None:
            self._observer.part_started(self._node, part.path, part.offset_bytes)
        try:
            await self._runtime.sleep(self._world.latency_seconds)
            self._world.requests += 1
            await self._network.transfer(self._runtime, part.length_bytes, self._world.link, *self._links)
            self._check_version(part)
        except FlowBroken as error:
            raise SourceUnavailable(str(error)) from error
        finally:
            if self._observer is not None:
                self._observer.part_ended(self._node, part.path, part.offset_bytes)
        self._world.bytes_served += part.length_bytes
        return await self._disk.receive(part.path, lambda: opened.deliver(part, self._disk.world))

    def _check_version(self, part: Part) -> None:
        """As an If-Match would: an object that was replaced meanwhile is not what was listed."""
        for uri, objects in self._world.objects.items():
            if part.source.location.startswith(f"{uri}/") and part.source not in objects:
                raise SourceChanged(f"{part.source.location} is no longer the version that was listed")
