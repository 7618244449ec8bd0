"""Writing the bytes of a part: past the page cache where the file system allows it, through it where not.

A model is read once when a pod loads it, and tens of gigabytes that only pass by would push everything else out of the
page cache. O_DIRECT wants memory, offsets and lengths that are multiples of the device's block: buffers are whole
pages, parts begin at such offsets, and the last bytes of a file go through the page cache.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from cacheagent.adapters.posix_disk import PosixDisk

BLOCK_BYTES = 4096
# A smaller part costs more in waiting for the device than it would cost in the page cache.
DIRECT_BYTES_MIN = 2**20
BUFFER_BYTES_MIN = 2**20
# Larger ones bring nothing more, and take the memory of more connections.
BUFFER_BYTES_MAX = 4 * 2**20


class PartFile:
    """One open file. `direct` is its second descriptor, past the page cache, or None."""

    def __init__(self, file: int, direct: int | None) -> None:
        self._file = file
        self._direct = direct

    def write(self, content: memoryview, offset_bytes: int) -> None:
        """All of it, there. `content` begins at a page of memory. Raises `OSError`."""
        if self._direct is not None and offset_bytes % BLOCK_BYTES == 0:
            aligned = len(content) // BLOCK_BYTES * BLOCK_BYTES
            written = self._write_direct(content[:aligned], offset_bytes)
            content, offset_bytes = content[written:], offset_bytes + written
        while content:
            count = os.pwrite(self._file, content, offset_bytes)
            content, offset_bytes = content[count:], offset_bytes + count

    def _write_direct(self, content: memoryview, offset_bytes: int) -> int:
        """How much of it was written: less than all when this device wants it otherwise."""
        written = 0
        while self._direct is not None and written < len(content):
            try:
                count = os.pwrite(self._direct, content[written:], offset_bytes + written)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # Larger blocks than we thought of: the rest of this part goes the other way.
                return written
            written += count
            if count % BLOCK_BYTES:
                return written
        return written


class PartFolder:
    """The folder of the part that is written: many small files in a row share it, so it is kept open."""

    def __init__(self, disk: PosixDisk) -> None:
        self._disk = disk
        self._path: str | None = None
        self._folder = -1
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @contextmanager
    def open(self, path: str, length_bytes: int) -> Iterator[PartFile]:
        """The file, which is there: a staging area that has been given up is not brought back by a late part.

        Raises `OSError`.
        """
        folder, _, name = path.rpartition("/")
        if folder != self._path:
            self._opened.close()
            self._path = None
            self._folder = self._opened.enter_context(self._disk.open_folder(folder))
            self._path = folder
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, dir_fd=self._folder)
        direct = self._open_direct(name, flags) if length_bytes >= DIRECT_BYTES_MIN else None
        try:
            yield PartFile(file, direct)
        finally:
            os.close(file)
            if direct is not None:
                os.close(direct)

    def _open_direct(self, name: str, flags: int) -> int | None:
        try:
            return os.open(name, flags | os.O_DIRECT, dir_fd=self._folder)
        except OSError:
            # tmpfs and some network file systems have no such thing.
            return None


class Buffers:
    """Page-aligned memory for as many parts as move, never more of it than `budget_bytes`.

    The fewer parts move, the larger is the buffer of each: a write past the page cache is one wait for the device.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = max(budget_bytes, BUFFER_BYTES_MIN)
        self._free = threading.Condition()
        self._idle: list[mmap.mmap] = []
        self._taken_bytes = 0

    @contextmanager
    def lend(self, users: int) -> Iterator[memoryview]:
        """One buffer, of a size that leaves room for as many users; waits while the budget is used up."""
        buffer = self._take(self._size_bytes(users))
        try:
            with memoryview(buffer) as view:
                yield view
        finally:
            with self._free:
                self._idle.append(buffer)
                self._free.notify()

    def trim(self) -> None:
        """Give the memory of idle buffers back to the system."""
        with self._free:
            self._drop_idle()

    def _size_bytes(self, users: int) -> int:
        """A power of two, so that one user more or less seldom asks for another size."""
        share_bytes = self._budget_bytes // max(users, 1)
        size_bytes = BUFFER_BYTES_MAX
        while size_bytes > max(share_bytes, BUFFER_BYTES_MIN):
            size_bytes //= 2
        return size_bytes

    def _take(self, size_bytes: int) -> mmap.mmap:
        with self._free:
            while True:
                if self._idle and len(self._idle[-1]) == size_bytes:
                    return self._idle.pop()
                # Of another size: from a time when more or fewer parts moved.
                self._drop_idle()
                if self._taken_bytes + size_bytes <= self._budget_bytes:
                    self._taken_bytes += size_bytes
                    return mmap.mmap(-1, size_bytes)
                self._free.wait()

    def _drop_idle(self) -> None:
        while self._idle:
            # Not closed: the traceback of a part that failed may still hold a piece. The memory goes with the last one.
            self._taken_bytes -= len(self._idle.pop())
