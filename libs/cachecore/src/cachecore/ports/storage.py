"""Object stores and the node's disk, as production code sees them.

Sizes and offsets are bytes. Paths on a `Disk` are relative to its root, with `/`, and never leave it.
"""

from __future__ import annotations

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


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One object below a model's URI: `path` is relative to the model's folder, `location` is the driver's own name."""

    path: str
    location: str
    size_bytes: int
    etag: str = ""


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


class ObjectStores(Protocol):
    """Opens the store that serves a URI's scheme."""

    async def open(self, uri: str, credentials: Credentials) -> ObjectStore:
        """Raises `UnsupportedScheme` naming the schemes that have a driver."""
        ...


class PartMover(Protocol):
    """Keeps bytes out of coroutines: copies one range of an object into a file and checksums it on the way."""

    async def move(
        self, store: ObjectStore, source: ObjectInfo, offset_bytes: int, length_bytes: int, path: str
    ) -> str:
        """Write the range at the same offset of the (allocated) file `path`; return the blake3 of the bytes, in hex.

        Raises `SourceError` and `DiskError` branches. Bytes beyond the range are never touched.
        """
        ...


class DiskUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the file system under the root has, as an unprivileged writer sees it."""

    total_bytes: int
    free_bytes: int


class DirectoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    is_directory: bool
    is_symlink: bool = False
    size_bytes: int = 0
    modified_seconds: float = 0.0


class Disk(Protocol):
    """The few file operations that the store needs. Raises the `DiskError` branch and nothing else."""

    async def usage(self) -> DiskUsage: ...

    async def exists(self, path: str) -> bool: ...

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        """Sorted by name; symlinks are not followed. Raises `PathMissing`."""
        ...

    async def read(self, path: str) -> bytes:
        """A small file, whole. Raises `PathMissing`."""
        ...

    async def write(self, path: str, content: bytes) -> None:
        """Replace a small file atomically and durably: write beside it, fsync, rename, fsync the parent."""
        ...

    async def make_directory(self, path: str) -> None:
        """With its parents, durable; nothing happens when it is there."""
        ...

    async def allocate(self, path: str, size_bytes: int) -> None:
        """Create (or keep) the file with its parents, at that size, its blocks reserved. Raises `DiskFull`."""
        ...

    async def checksum(self, path: str, offset_bytes: int, length_bytes: int) -> str:
        """blake3 of that range, in hex. A file that is too short gives another checksum, not an error."""
        ...

    async def sync_tree(self, path: str) -> None:
        """fsync every file below, then every directory, bottom up."""
        ...

    async def rename(self, source: str, target: str) -> None:
        """rename(2), then fsync both parents. The target's parent exists. Raises `PathExists`, `PathMissing`."""
        ...

    async def remove_tree(self, path: str) -> None:
        """Unlink everything below and the path itself; symlinks are not followed. Nothing happens when it is gone."""
        ...
