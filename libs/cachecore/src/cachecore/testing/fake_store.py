"""Object stores in memory, and a part mover that copies from them to a `FakeDisk`."""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from cachecore.errors import LocalModelError, SourceChanged, SourceNotFound, SourceUnavailable, UnsupportedScheme
from cachecore.ports import (
    Checksum,
    ChecksumAlgorithm,
    Credentials,
    MovedPart,
    ObjectInfo,
    ObjectStore,
    Part,
    Runtime,
)
from cachecore.testing.checksums import checksum
from cachecore.testing.fake_disk import FakeDisk
from cachecore.testing.faults import FaultPlan


class FakeObjectStore:
    """Objects by their whole URI, for example `s3://models/iris/model.bin`.

    With `algorithm` it knows a checksum of that kind of each object, a composite one with `checksum_part_bytes`.
    Verbs for `faults`: list (subject: the URI), read and checksum (subject: the object's location).
    """

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects: dict[str, bytes] = dict(objects or {})
        self.faults = FaultPlan()
        self.algorithm: ChecksumAlgorithm | None = None
        self.checksum_part_bytes = 0
        self.bytes_read = 0
        self._corrupt: set[str] = set()

    def put(self, location: str, content: bytes) -> None:
        """Add or replace an object; replaced by other bytes, it has another etag."""
        self.objects[location] = content

    def corrupt(self, location: str) -> None:
        """From now on the reads of this object answer with one bit flipped, under the etag of the true bytes."""
        self._corrupt.add(location)

    def mend(self, location: str) -> None:
        """From now on its reads are true again."""
        self._corrupt.discard(location)

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        self.faults.before("checksum", source.location)
        if self.algorithm is None:
            return None
        content, size = self.objects[source.location], self.checksum_part_bytes
        if not size:
            return Checksum(algorithm=self.algorithm, value=checksum(self.algorithm, content))
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        raw = b"".join(bytes.fromhex(checksum(self.algorithm, piece)) for piece in pieces)
        return Checksum(algorithm=self.algorithm, value=checksum(self.algorithm, raw), part_bytes=size)

    async def list(self, uri: str) -> list[ObjectInfo]:
        self.faults.before("list", uri)
        root = uri.rstrip("/")
        found = []
        for location in sorted(self.objects):
            if location == root:
                path = root.rpartition("/")[2]
            elif location.startswith(f"{root}/"):
                path = location[len(root) + 1 :]
            else:
                continue
            content = self.objects[location]
            found.append(ObjectInfo(path=path, location=location, size_bytes=len(content), etag=_etag(content)))
        if not found:
            raise SourceNotFound(f"no object below {uri}")
        return sorted(found, key=lambda info: info.path)

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        self.faults.before("read", source.location)
        content = self.objects.get(source.location)
        if content is None:
            raise SourceNotFound(f"no object {source.location}")
        if source.etag and _etag(content) != source.etag:
            raise SourceChanged(f"{source.location} is another version now")
        piece = content[offset_bytes : offset_bytes + length_bytes]
        if len(piece) != length_bytes:
            raise SourceUnavailable(f"{source.location}: {len(piece)} of {length_bytes} bytes came")
        self.bytes_read += length_bytes
        if source.location in self._corrupt and piece:
            piece = bytes([piece[0] ^ 1]) + piece[1:]
        return piece


class FakeObjectStores:
    """Every scheme of `stores` opens its one store, whatever the credentials; they are noted in `opened`."""

    def __init__(self, stores: dict[str, ObjectStore]) -> None:
        self.stores = dict(stores)
        self.opened: list[tuple[str, Credentials]] = []
        self.faults = FaultPlan()

    async def open(self, uri: str, credentials: Credentials) -> ObjectStore:
        self.faults.before("open", uri)
        scheme, separator, _ = uri.partition("://")
        if not separator or scheme not in self.stores:
            known = ", ".join(sorted(self.stores))
            raise UnsupportedScheme(f"no driver for {uri!r}; there is one for: {known}")
        self.opened.append((uri, credentials))
        return self.stores[scheme]


class FakePartMover:
    """Copies ranges to a `FakeDisk`, one at a time or (with `seconds_per_byte`) in virtual time.

    Verb for `faults`: move (subject: the path).
    """

    def __init__(self, disk: FakeDisk, runtime: Runtime | None = None, *, seconds_per_byte: float = 0.0) -> None:
        self._disk = disk
        self._runtime = runtime
        self._seconds_per_byte = seconds_per_byte
        self.faults = FaultPlan()
        self.bytes_moved = 0

    async def move(self, store: ObjectStore, parts: Sequence[Part]) -> list[MovedPart]:
        moved: list[MovedPart] = []
        for part in parts:
            try:
                moved.append(await self._move(store, part))
            except LocalModelError:
                if not moved:
                    raise
                break
        return moved

    async def _move(self, store: ObjectStore, part: Part) -> MovedPart:
        self.faults.before("move", part.path)
        content = await store.read(part.source, part.offset_bytes, part.length_bytes)
        if self._runtime is not None:
            await self._runtime.sleep(part.length_bytes * self._seconds_per_byte)
        self._disk.write_at(part.path, part.offset_bytes, content)
        self.bytes_moved += part.length_bytes
        self.faults.after("move", part.path)
        return MovedPart(
            digest=blake3(content).hexdigest(),
            checksum="" if part.algorithm is None else checksum(part.algorithm, content),
        )


def _etag(content: bytes) -> str:
    return blake3(content).hexdigest()[:32]
