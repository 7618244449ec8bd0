"""A `Disk` in memory: it fills up, fails on demand, and forgets at a crash what was not synced."""

from __future__ import annotations

import random
from collections.abc import Sequence

from cachecore.errors import DiskFailure, DiskFull, PathExists, PathMissing
from cachecore.ports import Allocation, ChecksumAlgorithm, DirectoryEntry, DiskUsage
from cachecore.testing.checksums import checksum
from cachecore.testing.faults import FaultPlan


class _File:
    """A file: what is visible, and what a crash leaves of it (None: not even its name)."""

    def __init__(self, content: bytearray, modified_seconds: float) -> None:
        self.content = content
        self.durable: bytes | None = None
        self.modified_seconds = modified_seconds


class FakeDisk:
    """Files and directories by their paths, relative to the root.

    Verbs for `faults`: the port's method names and `write_at`; their subject is the path (for rename, the source).
    `foreign_bytes` is what somebody else has written on the same file system, `file_system` its name; `opened` are the
    files that somebody else reads. `chance` chooses what `crash` leaves.
    """

    def __init__(self, capacity_bytes: int = 1 << 40, *, chance: random.Random | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.foreign_bytes = 0
        self.file_system = "disk-0"
        self.opened: set[str] = set()
        self.modified_seconds = 0.0
        self.faults = FaultPlan()
        self._chance = chance if chance is not None else random.Random(0)
        self._files: dict[str, _File] = {}
        self._directories: set[str] = {""}
        self._symlinks: set[str] = set()
        self._unsynced_renames: list[tuple[str, str]] = []
        # What other file systems hold, by their names: all but the one that is mounted.
        self._elsewhere: dict[str, tuple[dict[str, _File], set[str], set[str]]] = {}

    @property
    def used_bytes(self) -> int:
        return sum(len(file.content) for file in self._files.values())

    @property
    def files(self) -> dict[str, bytes]:
        """Every file as a reader sees it now, sorted by path."""
        return {path: bytes(self._files[path].content) for path in sorted(self._files)}

    @property
    def directories(self) -> list[str]:
        return sorted(self._directories - {""})

    async def usage(self) -> DiskUsage:
        self.faults.before("usage", "")
        free = max(0, self.capacity_bytes - self.foreign_bytes - self.used_bytes)
        return DiskUsage(total_bytes=self.capacity_bytes, free_bytes=free, file_system=self.file_system)

    async def exists(self, path: str) -> bool:
        self.faults.before("exists", path)
        return self._exists(_normal(path))

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        self.faults.before("list_directory", path)
        directory = _normal(path)
        if directory not in self._directories:
            raise PathMissing(f"no directory {path!r}")
        return [self._entry(child) for child in sorted(self._children(directory))]

    async def read(self, path: str) -> bytes:
        self.faults.before("read", path)
        return bytes(self._file(path).content)

    async def write(self, path: str, content: bytes) -> None:
        self.faults.before("write", path)
        target = _normal(path)
        if _parent(target) not in self._directories:
            raise PathMissing(f"no directory for {path!r}")
        old = self._files.get(target)
        self._reserve(len(content) - (len(old.content) if old is not None else 0))
        self._put(target, content).durable = bytes(content)
        self.faults.after("write", path)

    async def make_directory(self, path: str) -> None:
        self.faults.before("make_directory", path)
        self._make_directory(_normal(path))
        self.faults.after("make_directory", path)

    async def append(self, path: str, content: bytes, *, durable: bool) -> None:
        self.faults.before("append", path)
        target = _normal(path)
        self._make_directory(_parent(target))
        self._reserve(len(content))
        file = self._files.get(target) or self._put(target, b"")
        file.content.extend(content)
        if durable:
            file.durable = bytes(file.content)
        self.faults.after("append", path)

    async def allocate(self, files: Sequence[Allocation]) -> None:
        for file in files:
            self._allocate(file.path, file.size_bytes)

    def _allocate(self, path: str, size_bytes: int) -> None:
        self.faults.before("allocate", path)
        target = _normal(path)
        self._make_directory(_parent(target))
        file = self._files.get(target)
        old_size = len(file.content) if file is not None else 0
        self._reserve(size_bytes - old_size)
        if file is None:
            file = self._put(target, b"")
        if size_bytes < old_size:
            del file.content[size_bytes:]
        else:
            file.content.extend(bytes(size_bytes - old_size))
        self.faults.after("allocate", path)

    async def shrink(self, path: str, size_bytes: int) -> bool:
        self.faults.before("shrink", path)
        file = self._files.get(_normal(path))
        if file is None or len(file.content) <= size_bytes or _normal(path) in self.opened:
            return False
        del file.content[size_bytes:]
        return True

    async def checksum(
        self,
        path: str,
        offset_bytes: int,
        length_bytes: int,
        algorithm: ChecksumAlgorithm = ChecksumAlgorithm.BLAKE3,
    ) -> str:
        self.faults.before("checksum", path)
        content = self._file(path).content
        return checksum(algorithm, bytes(content[offset_bytes : offset_bytes + length_bytes]))

    async def warm(self, path: str) -> None:
        self.faults.before("warm", path)

    async def sync_tree(self, path: str) -> None:
        self.faults.before("sync_tree", path)
        root = _normal(path)
        if not self._exists(root):
            raise PathMissing(f"no such path: {path!r}")
        for name in self._below(root):
            if name in self._files:
                self._files[name].durable = bytes(self._files[name].content)
        self.faults.after("sync_tree", path)

    async def rename(self, source: str, target: str) -> None:
        self.faults.before("rename", source)
        old, new = _normal(source), _normal(target)
        if not self._exists(old) or _parent(new) not in self._directories:
            raise PathMissing(f"cannot rename {source!r} to {target!r}: no such path")
        if new in self._directories and self._children(new):
            raise PathExists(f"cannot rename {source!r} to {target!r}: it exists")
        if new in self._files and old not in self._files:
            raise PathExists(f"cannot rename {source!r} to {target!r}: it is a file")
        self._directories.discard(new)
        self._move_tree(old, new)
        # Planned to fail after the rename, it fails before the parents are synced.
        self._unsynced_renames.append((old, new))
        self.faults.after("rename", source)
        self._unsynced_renames.pop()

    async def remove_tree(self, path: str) -> None:
        self.faults.before("remove_tree", path)
        root = _normal(path)
        if root == "":
            raise DiskFailure("the root itself cannot be removed")
        for name in self._below(root):
            self._files.pop(name, None)
            self._directories.discard(name)
            self._symlinks.discard(name)
        self.faults.after("remove_tree", path)

    def write_at(self, path: str, offset_bytes: int, content: bytes) -> None:
        """What a part mover does: overwrite a range of an allocated file. It is not durable until `sync_tree`."""
        self.faults.before("write_at", path)
        file = self._file(path)
        self._reserve(max(0, offset_bytes + len(content) - len(file.content)))
        if offset_bytes > len(file.content):
            file.content.extend(bytes(offset_bytes - len(file.content)))
        file.content[offset_bytes : offset_bytes + len(content)] = content
        file.modified_seconds = self.modified_seconds

    def add_file(self, path: str, content: bytes) -> None:
        """A durable file that is simply there, with its parents: the state a test starts from."""
        target = _normal(path)
        self._make_directory(_parent(target))
        self._put(target, content).durable = bytes(content)

    def add_symlink(self, path: str) -> None:
        """Something that is a symbolic link, to anywhere."""
        target = _normal(path)
        self._make_directory(_parent(target))
        self._put(target, b"").durable = b""
        self._symlinks.add(target)

    def mount(self, file_system: str) -> None:
        """From now on another file system is below the root: as it was left, or empty."""
        self._elsewhere[self.file_system] = (self._files, self._directories, self._symlinks)
        self._files, self._directories, self._symlinks = self._elsewhere.pop(file_system, ({}, {""}, set()))
        self.file_system = file_system

    def flip_bit(self, path: str, offset_bytes: int = 0) -> None:
        """Rot, in what is visible and in what is durable."""
        file = self._file(path)
        file.content[offset_bytes] ^= 1
        file.durable = bytes(file.content)

    def crash(self) -> None:
        """Power off and on: a file that was never synced is gone, or empty, or holds any mixture of old and new bytes.

        Names made by the port's own durable verbs (make_directory, rename, write) stay; but a rename that failed after
        it was done may be undone.
        """
        for source, target in reversed(self._unsynced_renames):
            if self._chance.random() < 0.5 and self._exists(target) and not self._exists(source):
                self._move_tree(target, source)
        self._unsynced_renames.clear()
        for path in sorted(self._files):
            file = self._files[path]
            if file.durable is not None and file.content == file.durable:
                continue
            if file.durable is None and self._chance.random() < 0.5:
                del self._files[path]
                continue
            before = file.durable if file.durable is not None else b""
            file.content = bytearray(self._torn(before, bytes(file.content)))
            file.durable = bytes(file.content)

    def _torn(self, before: bytes, after: bytes) -> bytes:
        """Pages of `after` that reached the disk among those of `before`."""
        page_bytes = 4096
        size = len(after) if self._chance.random() < 0.75 else len(before)
        old = before.ljust(size, b"\0")
        new = after.ljust(size, b"\0")
        pages = range(0, size, page_bytes)
        return b"".join((new if self._chance.random() < 0.5 else old)[at : min(at + page_bytes, size)] for at in pages)

    def _exists(self, path: str) -> bool:
        return path in self._files or path in self._directories

    def _file(self, path: str) -> _File:
        file = self._files.get(_normal(path))
        if file is None:
            raise PathMissing(f"no file {path!r}")
        return file

    def _put(self, path: str, content: bytes) -> _File:
        file = _File(bytearray(content), self.modified_seconds)
        self._files[path] = file
        return file

    def _reserve(self, size_bytes: int) -> None:
        if size_bytes > self.capacity_bytes - self.foreign_bytes - self.used_bytes and size_bytes > 0:
            raise DiskFull(f"no space left for {size_bytes} bytes")

    def _make_directory(self, path: str) -> None:
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if name in self._files:
                raise PathExists(f"{name!r} is a file")
            self._directories.add(name)

    def _below(self, root: str) -> list[str]:
        """The path itself and all below it, parents first."""
        everything = [*self._directories, *self._files]
        return sorted(name for name in everything if name == root or not root or name.startswith(f"{root}/"))

    def _children(self, directory: str) -> list[str]:
        return [name for name in self._below(directory) if name != directory and _parent(name) == directory]

    def _entry(self, path: str) -> DirectoryEntry:
        file = self._files.get(path)
        return DirectoryEntry(
            name=path.rpartition("/")[2],
            is_directory=file is None,
            is_symlink=path in self._symlinks,
            size_bytes=0 if file is None else len(file.content),
            modified_seconds=0.0 if file is None else file.modified_seconds,
        )

    def _move_tree(self, old: str, new: str) -> None:
        for name in self._below(old):
            self._move(name, new + name[len(old) :])

    def _move(self, old: str, new: str) -> None:
        if old in self._files:
            self._files[new] = self._files.pop(old)
        if old in self._directories:
            self._directories.discard(old)
            self._directories.add(new)
        if old in self._symlinks:
            self._symlinks.discard(old)
            self._symlinks.add(new)


def _normal(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        raise DiskFailure(f"{path!r} leaves the root")
    return "/".join(parts)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
