"""The `Disk` port over POSIX: each operation in a thread, below one root that no path and no symlink leaves.

Paths are walked from the root's descriptor with O_NOFOLLOW: a symlink that somebody put there is an error, not a way
out.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from blake3 import blake3

from cacheagent.adapters.threads import in_thread
from cachecore.errors import DiskError, DiskFailure, DiskFull, DiskReadOnly, PathExists, PathMissing
from cachecore.ports import DirectoryEntry, DiskUsage

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16
READ_BYTES = 4 * 2**20

_ERRORS: dict[int, type[DiskError]] = {
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.EROFS: DiskReadOnly,
    errno.ENOENT: PathMissing,
    errno.EEXIST: PathExists,
    errno.ENOTEMPTY: PathExists,
}


class PosixDisk:
    """The file system below the directory `root`."""

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="disk")

    async def usage(self) -> DiskUsage:
        return await self._run("", self._usage)

    async def exists(self, path: str) -> bool:
        return await self._run(path, self._exists, path)

    async def list_directory(self, path: str) -> list[DirectoryEntry]:
        return await self._run(path, self._list_directory, path)

    async def read(self, path: str) -> bytes:
        return await self._run(path, self._read, path)

    async def write(self, path: str, content: bytes) -> None:
        await self._run(path, self._write, path, content)

    async def make_directory(self, path: str) -> None:
        await self._run(path, self._make_directory, path)

    async def allocate(self, path: str, size_bytes: int) -> None:
        await self._run(path, self._allocate, path, size_bytes)

    async def checksum(self, path: str, offset_bytes: int, length_bytes: int) -> str:
        return await self._run(path, self._checksum, path, offset_bytes, length_bytes)

    async def sync_tree(self, path: str) -> None:
        await self._run(path, self._sync_tree, path)

    async def rename(self, source: str, target: str) -> None:
        await self._run(f"{source} -> {target}", self._rename, source, target)

    async def remove_tree(self, path: str) -> None:
        await self._run(path, self._remove_tree, path)

    async def write_at(self, path: str, offset_bytes: int, content: bytes) -> str:
        """For part movers: write there, and return the blake3 of the content."""
        return await self._run(path, self._write_at, path, offset_bytes, content)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, subject: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await in_thread(self._threads, work, *args, **kwargs)
        except OSError as error:
            kind = _ERRORS.get(error.errno or 0, DiskFailure)
            raise kind(f"{subject or self._root}: {error.strerror or error}") from error

    def _usage(self) -> DiskUsage:
        found = os.statvfs(self._root)
        # What is kept for the superuser is no room for anybody here.
        usable = found.f_blocks - (found.f_bfree - found.f_bavail)
        return DiskUsage(total_bytes=usable * found.f_frsize, free_bytes=found.f_bavail * found.f_frsize)

    def _exists(self, path: str) -> bool:
        try:
            with self._parent(path) as (parent, name):
                os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        return True

    def _list_directory(self, path: str) -> list[DirectoryEntry]:
        with self._directory(path) as directory, os.scandir(directory) as found:
            entries = []
            for entry in found:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                entries.append(
                    DirectoryEntry(
                        name=entry.name,
                        is_directory=stat.S_ISDIR(status.st_mode),
                        is_symlink=stat.S_ISLNK(status.st_mode),
                        size_bytes=0 if stat.S_ISDIR(status.st_mode) else status.st_size,
                        modified_seconds=status.st_mtime,
                    )
                )
        return sorted(entries, key=lambda entry: entry.name)

    def _read(self, path: str) -> bytes:
        with self._file(path, os.O_RDONLY) as file:
            pieces = []
            while piece := os.read(file, READ_BYTES):
                pieces.append(piece)
            return b"".join(pieces)

    def _write(self, path: str, content: bytes) -> None:
        with self._parent(path, make=True) as (parent, name):
            beside = f".{name}.new"
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644, dir_fd=parent)
            try:
                _write_all(file, content, 0)
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
            os.fsync(parent)

    def _make_directory(self, path: str) -> None:
        with self._directory(path, make=True):
            return

    def _allocate(self, path: str, size_bytes: int) -> None:
        with self._parent(path, make=True) as (parent, name):
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644, dir_fd=parent)
            try:
                if os.fstat(file).st_size > size_bytes:
                    os.ftruncate(file, size_bytes)
                if size_bytes:
                    os.posix_fallocate(file, 0, size_bytes)
            finally:
                os.close(file)

    def _checksum(self, path: str, offset_bytes: int, length_bytes: int) -> str:
        digest = blake3()
        with self._file(path, os.O_RDONLY) as file:
            position, end = offset_bytes, offset_bytes + length_bytes
            while position < end:
                piece = os.pread(file, min(READ_BYTES, end - position), position)
                if not piece:
                    break
                digest.update(piece)
                position += len(piece)
        return digest.hexdigest()

    def _sync_tree(self, path: str) -> None:
        with self._parent(path) as (parent, name):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                _sync_file(name, parent)
                return
        with self._directory(path) as directory:
            for _, _, files, folder in os.fwalk(".", topdown=False, follow_symlinks=False, dir_fd=directory):
                for file in files:
                    _sync_file(file, folder)
                os.fsync(folder)

    def _rename(self, source: str, target: str) -> None:
        with self._parent(source) as (old_parent, old_name), self._parent(target) as (new_parent, new_name):
            os.rename(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)
            os.fsync(new_parent)
            os.fsync(old_parent)

    def _remove_tree(self, path: str) -> None:
        try:
            with self._parent(path) as (parent, name):
                if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                    shutil.rmtree(name, dir_fd=parent)
                else:
                    os.unlink(name, dir_fd=parent)
                os.fsync(parent)
        except FileNotFoundError:
            return

    def _write_at(self, path: str, offset_bytes: int, content: bytes) -> str:
        # Opened without O_CREAT: a staging area that has been given up is not brought back by a late part.
        with self._file(path, os.O_WRONLY) as file:
            _write_all(file, content, offset_bytes)
        return blake3(content).hexdigest()

    @contextmanager
    def _file(self, path: str, flags: int) -> Iterator[int]:
        with self._parent(path) as (parent, name):
            file = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        names = _names(path)
        if not names:
            raise OSError(errno.EINVAL, "the root itself")
        with self._directory("/".join(names[:-1]), make=make) as directory:
            yield directory, names[-1]

    @contextmanager
    def _directory(self, path: str, *, make: bool = False) -> Iterator[int]:
        """The open directory. Directories that are made are durable: their parent is synced."""
        current = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in _names(path):
                following = _open_directory(name, current, make=make)
                os.close(current)
                current = following
            yield current
        finally:
            os.close(current)


def _open_directory(name: str, parent: int, *, make: bool) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
        os.fsync(parent)
    except FileExistsError:
        # Somebody else made it in this moment.
        pass
    return os.open(name, flags, dir_fd=parent)


def _names(path: str) -> list[str]:
    names = [name for name in path.split("/") if name]
    if path.startswith("/") or "." in names or ".." in names or "\0" in path:
        raise OSError(errno.EINVAL, "a path that leaves the root")
    return names


def _write_all(file: int, content: bytes, offset_bytes: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, offset_bytes)
        rest = rest[written:]
        offset_bytes += written


def _sync_file(name: str, parent: int) -> None:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fsync(file)
    finally:
        os.close(file)
