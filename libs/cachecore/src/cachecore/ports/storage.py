"""Object stores, and the moving of their objects' bytes to a disk, as production code sees them.

Sizes and offsets are bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

import msgspec


class Credentials(msgspec.Struct, frozen=True):
    """What a driver needs to sign its requests: names and values as KServe's secrets spell them.

    For example `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, `AWS_DEFAULT_REGION`,
    `awsAnonymousCredential`. Never printed: the repr hides the values.
    """

    values: tuple[tuple[str, str], ...] = ()

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.values if key == name), default)

    def __repr__(self) -> str:
        return f"Credentials({', '.join(name for name, _ in self.values)})"


class ChecksumAlgorithm(enum.StrEnum):
    """What a checksum is made with; the values are as the stores spell them, in lower case."""

    BLAKE3 = "blake3"
    CRC32 = "crc32"
    CRC32C = "crc32c"
    CRC64NVME = "crc64nvme"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"


class Checksum(msgspec.Struct, frozen=True, kw_only=True):
    """What a store knows of the bytes of one whole object, in hex.

    With `part_bytes` it is a composite, as S3 makes of an upload in parts of that size (the last one may be shorter):
    the checksum of the parts' raw checksums, one after the other.
    """

    algorithm: ChecksumAlgorithm
    value: str
    part_bytes: int = 0


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One object below a model's URI: `path` is relative to the model's folder, `location` is the driver's own name.

    `etag` pins the version that was listed, whatever the store calls it; `checksum` is there if the listing had one.
    `checksum_apart`: the store knows one that proves nothing as it comes with the bytes; it has to be asked for.
    """

    path: str
    location: str
    size_bytes: int
    etag: str = ""
    checksum: Checksum | None = None
    checksum_apart: bool = False


class ObjectStore(Protocol):
    """One store, opened with one set of credentials. Raises the `SourceError` branch and nothing else."""

    async def list(self, uri: str) -> list[ObjectInfo]:
        """Every object below `uri` (or the one object that it names), sorted by path.

        Raises `SourceNotFound` when there is none.
        """
        ...

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        """Exactly that range of that version: `SourceChanged` when the etag is another, never fewer bytes."""
        ...

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        """What the store itself knows of that version's bytes; None when it knows nothing that proves anything.

        It may cost a request: it is meant for objects that are worth one.
        """
        ...


class ObjectStores(Protocol):
    """Opens the store that serves a URI's scheme."""

    async def open(self, uri: str, credentials: Credentials) -> ObjectStore:
        """Raises `UnsupportedScheme` naming the schemes that have a driver."""
        ...


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One range of one object, and the (allocated) file that it belongs into, at the same offset.

    With `algorithm` its checksum of that kind is wanted as well.
    """

    source: ObjectInfo
    offset_bytes: int
    length_bytes: int
    path: str
    algorithm: ChecksumAlgorithm | None = None


class MovedPart(msgspec.Struct, frozen=True, kw_only=True):
    """The blake3 of the bytes that were written, and their checksum of the kind that was asked for, in hex."""

    digest: str
    checksum: str = ""


class PartMover(Protocol):
    """Keeps bytes out of coroutines: copies ranges of objects into files and checksums them on the way."""

    async def move(self, store: ObjectStore, parts: Sequence[Part]) -> list[MovedPart]:
        """Move the parts, one after the other; answer for those that were moved: at least the first.

        Like read(2), it ends early rather than fail when it has got something done: whoever wants the rest asks again.
        Raises the `SourceError` and `DiskError` branches when the first part can't be moved, and `CorruptTransfer`
        when its bytes are not those that the store has told with them. Bytes beyond the ranges are never touched.
        """
        ...
