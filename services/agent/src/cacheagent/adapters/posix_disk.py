"""The `Disk` port over POSIX: each operation in a thread, below one root that no path and no symlink leaves."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import signal
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

from cacheagent.adapters import page_cache
from cacheagent.adapters.posix_paths import RootedPaths
from cacheagent.adapters.threads import in_stoppable_thread, in_thread
from cacheagent.checksums import running
from cachecore.errors import (
    DiskError,
    DiskFailure,
    DiskFull,
    DiskReadOnly,
    DiskVanished,
    InodesExhausted,
    PathExists,
    PathMissing,
)
from cachecore.ports import Allocation, ChecksumAlgorithm, DirectoryEntry, DiskUsage

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16
READ_BYTES = 4 * 2**20
# So many files are synced at once: a journal of the file system commits them together. 5,000 files of 16 KiB take 0.5 s
# instead of 1.4 s. syncfs takes 0.1 s, but it also waits for all that others have written to the same disk, which may
# be gigabytes, and before Linux 5.8 it tells of no error.
SYNC_THREADS = 8

_ERRORS: dict[int, type[DiskError]] = {
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.EROFS: DiskReadOnly,
    errno.ENODEV: DiskVanished,
    errno.ENOENT: PathMissing,
    errno.EEXIST: PathExists,
    errno.ENOTEMPTY: PathExists,
}


class PosixDisk:
    """The file system below the directory `root`.

    Nothing is made on another file system than the one that `usage` told of last.
    """

    def __init__(self, root: str) -> None:
        self._paths = RootedPaths(root)
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

    async def shrink(self, path: str, size_bytes: int) -> bool:
        return await self._run(path, self._shrink, path, size_bytes)

    async def checksum(
        self,
        path: str,
        offset_bytes: int,
        length_bytes: int,
        algorithm: ChecksumAlgorithm = ChecksumAlgorithm.BLAKE3,
    ) -> str:
        return await self._run(path, self._checksum, path, offset_bytes, length_bytes, algorithm)

    async def warm(self, path: str) -> None:
        stopped = threading.Event()
        try:
            await in_stoppable_thread(self._threads, lambda: self._warm(path, stopped), stopped.set)
        except OSError as error:
            raise self.translate(error, path) from error

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
            return InodesExhausted(f"{subject or self._paths.root}: the file system has no inode left")
        return kind(f"{subject or self._paths.root}: {error.strerror or error}")

    def _no_inodes(self) -> bool:
        try:
            found = os.statvfs(self._paths.root)
        except OSError:
            return False
        return found.f_files > 0 and found.f_favail == 0

    def _usage(self) -> DiskUsage:
        found = os.statvfs(self._paths.root)
        # What is kept for the superuser is no room for anybody here.
        usable = found.f_blocks - (found.f_bfree - found.f_bavail)
        self._paths.device = os.stat(self._paths.root).st_dev
        return DiskUsage(
            total_bytes=usable * found.f_frsize,
            free_bytes=found.f_bavail * found.f_frsize,
            file_system=f"{self._paths.device}:{found.f_fsid}",
        )

    def _exists(self, path: str) -> bool:
        try:
            with self._paths.parent(path) as (parent, name):
                os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        return True

    def _list_directory(self, path: str) -> list[DirectoryEntry]:
        with self.open_folder(path) as directory, os.scandir(directory) as found:
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
        with self._paths.parent(path, make=True) as (parent, name):
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
        with self.open_folder(path, make=True):
            return

    def _append(self, path: str, content: bytes, durable: bool) -> None:
        with self._paths.parent(path, make=True) as (parent, name):
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
        for folder, inside in itertools.groupby(files, key=lambda file: file.path.rpartition("/")[0]):
            with self.open_folder(folder, make=True) as parent:
                for allocation in inside:
                    _allocate_file(parent, allocation)

    def _shrink(self, path: str, size_bytes: int) -> bool:
        try:
            with self.open_file(path, os.O_WRONLY) as file:
                if os.fstat(file).st_size <= size_bytes or not _take_lease(file):
                    return False
                os.ftruncate(file, size_bytes)
                return True
        except FileNotFoundError:
            return False

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

    def _warm(self, path: str, stopped: threading.Event) -> None:
        with self.open_folder(path) as directory:
            page_cache.warm_folder(directory, room_bytes=page_cache.unused_memory_bytes(), stopped=stopped.is_set)

    def _sync_tree(self, path: str) -> None:
        with self._paths.parent(path) as (parent, name):
            if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                _sync_file(name, parent)
                return
        with self.open_folder(path) as directory:
            try:
                _sync_folder(directory)
            except OSError:
                page_cache.forget_folder(directory)
                raise

    def _rename(self, source: str, target: str) -> None:
        with self._paths.parent(source) as (old_parent, old_name), self._paths.parent(target) as (new_parent, new_name):
            os.rename(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)
            os.fsync(new_parent)
            os.fsync(old_parent)

    def _remove_tree(self, path: str) -> None:
        try:
            with self._paths.parent(path) as (parent, name):
                if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                    shutil.rmtree(name, dir_fd=parent)
                else:
                    os.unlink(name, dir_fd=parent)
                os.fsync(parent)
        except FileNotFoundError:
            return

    def open_file(self, path: str, flags: int) -> AbstractContextManager[int]:
        """The descriptor of a file that is there, for adapters that move bytes. Raises `OSError`."""
        return self._paths.file(path, flags)

    def open_folder(self, path: str, *, make: bool = False) -> AbstractContextManager[int]:
        """The descriptor of a folder, for those who open many files in it. Raises `OSError`."""
        return self._paths.directory(path, make=make)


def _allocate_file(parent: int, allocation: Allocation) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(allocation.path.rpartition("/")[2], flags, 0o644, dir_fd=parent)
    try:
        if os.fstat(file).st_size > allocation.size_bytes:
            os.ftruncate(file, allocation.size_bytes)
        if allocation.size_bytes:
            os.posix_fallocate(file, 0, allocation.size_bytes)
    finally:
        os.close(file)


def _write_all(file: int, content: bytes, offset_bytes: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, offset_bytes)
        rest = rest[written:]
        offset_bytes += written


def _take_lease(file: int) -> bool:
    """Whether nobody else has the file open or mapped; who opens it now waits until this descriptor is closed."""
    try:
        # Should that happen, we are told by a signal, and SIGIO would end the process.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return False
    return True


def _sync_folder(directory: int) -> None:
    with ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="sync") as threads:
        for _, _, files, folder in os.fwalk(".", topdown=False, follow_symlinks=False, dir_fd=directory):
            # The folder is open as long as its files are being synced.
            for done in [threads.submit(_sync_file, file, folder) for file in files]:
                done.result()
            os.fsync(folder)


def _sync_file(name: str, parent: int) -> None:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fsync(file)
    finally:
        os.close(file)
