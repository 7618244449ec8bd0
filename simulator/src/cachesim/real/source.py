"""S3 with real bytes: moto holds them, and the production driver reads them."""

from __future__ import annotations

from collections.abc import Sequence

import blake3

from cachecore.errors import InvalidInput
from cachecore.ports import Checksum, Credentials, MovedPart, ObjectInfo, ObjectStore, Part
from cachecore.quantity import format_bytes
from cachesim.disk import DiskWorld
from cachesim.network import Link
from cachesim.real.disk import RealDiskWorld
from cachesim.real.ground import Ground
from cachesim.source import OpenedSource, SourceWorld

# They are in memory once, and on each node's disk.
MODELS_BYTES_MAX = 256 * 2**20


class RealSource(SourceWorld):
    """The models' objects, in moto."""

    def __init__(self, ground: Ground, *, link: Link, latency_seconds: float) -> None:
        super().__init__(link=link, latency_seconds=latency_seconds)
        # Of each version of each object, by location and etag.
        self.digests: dict[tuple[str, str], str] = {}
        self._ground = ground

    def add_model(self, uri: str, sizes_bytes: dict[str, int], version: int = 1) -> None:
        """The bytes follow from the URI, the paths and the version alone."""
        made = []
        for path, size in sorted(sizes_bytes.items()):
            location = f"{uri}/{path}"
            content = content_of(location, version, size)
            etag = self._ground.s3.put(*_place(location), content)
            self.digests[location, etag] = blake3.blake3(content).hexdigest()
            made.append(ObjectInfo(path=path, location=location, size_bytes=size, etag=etag))
        self.objects[uri] = tuple(made)
        self.versions.setdefault(uri, []).append(self.objects[uri])

    def open(self, uri: str, credentials: Credentials) -> OpenedSource:
        return RealOpenedSource(self._ground, self._ground.open_store(uri, credentials))

    def corrupt_at_rest(self, location: str) -> None:
        """The stored bytes change, and nothing that S3 says of them."""
        self._ground.s3.corrupt_at_rest(*_place(location))

    def corrupt_in_flight(self, location: str, times: int = 1) -> None:
        """The next GETs of the object bring one bit that is another."""
        self._ground.s3.corrupt_in_flight(*_place(location), times)


class RealOpenedSource:
    """A production store."""

    def __init__(self, ground: Ground, store: ObjectStore) -> None:
        self._ground = ground
        self._store = store

    def list(self, uri: str) -> Sequence[ObjectInfo]:
        return self._ground.run(self._store.list(uri))

    def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        return self._ground.run(self._store.read(source, offset_bytes, length_bytes))

    def checksum(self, source: ObjectInfo) -> Checksum | None:
        return self._ground.run(self._store.checksum(source))

    def deliver(self, part: Part, disk: DiskWorld) -> MovedPart:
        if not isinstance(disk, RealDiskWorld):
            raise TypeError(f"{type(disk).__name__} takes no real bytes")
        return disk.move(self._store, part)


def content_of(location: str, version: int, size_bytes: int) -> bytes:
    """Bytes that no other object has, and that don't compress."""
    return blake3.blake3(f"{location} version {version}".encode()).digest(length=size_bytes)


def check_size(models_bytes: int) -> None:
    """Raises `InvalidInput` when a scenario's models are too large to be real."""
    if models_bytes > MODELS_BYTES_MAX:
        raise InvalidInput(
            f"its models have {format_bytes(models_bytes)}, and real bytes are for at most "
            f"{format_bytes(MODELS_BYTES_MAX)}: use --fidelity flow, or smaller sizes"
        )


def _place(location: str) -> tuple[str, str]:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return bucket, key
