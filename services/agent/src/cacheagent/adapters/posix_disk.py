"""The `Disk` port over POSIX: each operation in a thread, below one root that no path and no symlink leaves.

Paths are walked from the root's descriptor with O_NOFOLLOW: a symlink that somebody put there is an error, not a way
out.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from cacheagent.adapters.threads import in_thread
from cacheagent.checksums import running
from cachecore.errors import (
    DiskError,
    DiskFailure,
    DiskFull,
    DiskReadOnly,
    InodesExhausted,
    PathExists,
    PathMissing,
)
from cachecore.ports import Allocation, ChecksumAlgorithm, DirectoryEntry, DiskUsage

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16
READ_BYTES = 4 * 2**20
# So many files are synced at once: a journal of the file system commits them together.
SYNC_THREADS = 8

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

    async def append(self, path: str, content: bytes, *, durable: bool) -> None:
        await self._run(path, self._append, path, content, durable)

    async def allocate(self, files: Sequence[Allocation]) -> None:
        await self._run(files[0].path if files else "", self._allocate, files)

    async def shrink(self, path: str, size_bytes: int) -> None:
        await self._run(path, self._shrink, path, size_bytes)

    async def checksum(
        self,
        path: str,
        offset_bytes: int,
        length_bytes: int,
        algorithm: ChecksumAlgorithm = ChecksumAlgorithm.BLAKE3,
    ) -> str:
        return await self._run(path, self._checksum, path, offset_bytes, length_bytes, algorithm)

    async def warm(self, path: str) -> None:
        await self._run(path, self._warm, path)

    async def sync_tree(self, path: str) -> None:
        await self._run(path, self._sync_tree, path)

    async def rename(self, source: str, target: str) -> None:
        await self._run(f"{source} -> {target}", self._rename, source, target)

    async def remove_tree(self, path: str) -> None:
        await self._run(path, self._remove_tree, path)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, subject: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await in_thread(self._threads, work, *args, **kwargs)
        except OSError as error:
            raise self.translate(error, subject) from error

    def translate(self, error: OSError, subject: str) -> DiskError:
        """What an error of the file system means to us."""
        kind = _ERRORS.get(error.errno or 0, DiskFailure)
        if kind is DiskFull and self._no_inodes():
            return InodesExhausted(f"{subject or self._root}: the file system has no inode left")
        return kind(f"{subject or self._root}: {error.strerror or error}")

    def _no_inodes(self) -> bool:
        try:
            found = os.statvfs(self._root)
        except OSError:
            return False
        return found.f_files > 0 and found.f_favail == 0

    def _usage(self) -> DiskUsage:
        found = os.statvfs(self._root)
        # What is kept for the superuser is no room for anybody here.
        usable = found.f_blocks - (found.f_bfree - found.f_bavail)
        return DiskUsage(
            total_bytes=usable * found.f_frsize,
            free_bytes=found.f_bavail * found.f_frsize,
            file_system=f"{os.stat(self._root).st_dev}:{found.f_fsid}",
        )

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
        with self.open_file(path, os.O_RDONLY) as file:
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

    def _append(self, path: str, content: bytes, durable: bool) -> None:
        with self._parent(path, make=True) as (parent, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(name, flags, 0o644, dir_fd=parent)
            try:
                if os.write(file, content) != len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if durable:
                    os.fsync(file)
                    os.fsync(parent)
            finally:
                os.close(file)

    def _allocate(self, files: Sequence[Allocation]) -> None:
        for allocation in files:
            with self._parent(allocation.path, make=True) as (parent, name):
                flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                file = os.open(name, flags, 0o644, dir_fd=parent)
                try:
                    if os.fstat(file).st_size > allocation.size_bytes:
                        os.ftruncate(file, allocation.size_bytes)
                    if allocation.size_bytes:
                        os.posix_fallocate(file, 0, allocation.size_bytes)
                finally:
                    os.close(file)

    def _shrink(self, path: str, size_bytes: int) -> None:
        try:
            with self.open_file(path, os.O_WRONLY) as file:
                if os.fstat(file).st_size > size_bytes:
                    os.ftruncate(file, size_bytes)
        except FileNotFoundError:
            return

    def _checksum(self, path: str, offset_bytes: int, length_bytes: int, algorithm: ChecksumAlgorithm) -> str:
        made = running(algorithm)
        with self.open_file(path, os.O_RDONLY) as file:
            position, end = offset_bytes, offset_bytes + length_bytes
            while position < end:
                piece = os.pread(file, min(READ_BYTES, end - position), position)
                if not piece:
                    break
                made.update(piece)
                position += len(piece)
        return made.hexdigest()

    def _warm(self, path: str) -> None:
        room_bytes = _unused_memory_bytes()
        with self._directory(path) as directory:
            for _, folders, files, folder in os.fwalk(".", follow_symlinks=False, dir_fd=directory):
                folders.sort()
                for name in sorted(files):
                    room_bytes -= os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
                    if room_bytes < 0:
                        return
                    _read_ahead(name, folder)

    def _sync_tree(self, path: str) -> None:
        with self._parent(path) as (parent, name):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                _sync_file(name, parent)
                return
        with self._directory(path) as directory, ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="sync") as threads:
            for _, _, files, folder in os.fwalk(".", topdown=False, follow_symlinks=False, dir_fd=directory):
                # The folder is open as long as its files are being synced.
                for done in [threads.submit(_sync_file, file, folder) for file in files]:
                    done.result()
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

    @contextmanager
    def open_file(self, path: str, flags: int) -> Iterator[int]:
        """The descriptor of a file that is there, for adapters that move bytes. Raises `OSError`."""
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


def _read_ahead(name: str, parent: int) -> None:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(file)


def _unused_memory_bytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemFree:"))


def _sync_file(name: str, parent: int) -> None:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fsync(file)
    finally:
        os.close(file)
