"""The node's disk, as production code sees it.

Sizes and offsets are bytes. Paths are relative to the disk's root, with `/`, and never leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from cachecore.ports.storage import ChecksumAlgorithm


class DiskUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the file system under the root has, as an unprivileged writer sees it.

    `file_system` names it as long as it is mounted: another one there, or none, has another name.
    """

    total_bytes: int
    free_bytes: int
    file_system: str = ""


class Allocation(msgspec.Struct, frozen=True):
    path: str
    size_bytes: int


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

    async def append(self, path: str, content: bytes, *, durable: bool) -> None:
        """Add to the end of a file, which is made with its parents when it isn't there, in one write.

        Whoever kills this process leaves the content there. Only with `durable` does a power loss, too; it makes
        durable also what was appended before.
        """
        ...

    async def allocate(self, files: Sequence[Allocation]) -> None:
        """Create (or keep) the files with their parents, each at its size, its blocks reserved. Raises `DiskFull`."""
        ...

    async def shrink(self, path: str, size_bytes: int) -> bool:
        """Cut the end of a file off. Answer False when it is no longer than that, gone, or open to anybody else.

        Whoever still reads what was unlinked reads it to its end; what was cut off is lost to him.
        """
        ...

    async def checksum(
        self,
        path: str,
        offset_bytes: int,
        length_bytes: int,
        algorithm: ChecksumAlgorithm = ChecksumAlgorithm.BLAKE3,
    ) -> str:
        """The checksum of that range, in hex. A file that is too short gives another checksum, not an error."""
        ...

    async def warm(self, path: str) -> None:
        """Read the files below into the page cache, as far as there is memory that nobody uses."""
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
