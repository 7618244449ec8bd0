"""Writing the bytes of a part: past the page cache where the file system allows it, through it where not.

A model is read once when a pod loads it, and tens of gigabytes that only pass by would push everything else out of the
page cache. O_DIRECT wants memory, offsets and lengths that are multiples of the device's block: buffers are whole
pages, parts begin at such offsets, and the last bytes of a file go through the page cache.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from cacheagent.adapters.posix_disk import PosixDisk

BLOCK_BYTES = 4096
# A smaller part costs more in waiting for the device than it would cost in the page cache.
DIRECT_BYTES_MIN = 2**20


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


@contextmanager
def open_part_file(disk: PosixDisk, path: str, length_bytes: int) -> Iterator[PartFile]:
    """The file, which is there: a staging area that has been given up is not brought back by a late part.

    Raises `OSError`.
    """
    with disk.open_file(path, os.O_WRONLY) as file:
        if length_bytes < DIRECT_BYTES_MIN:
            yield PartFile(file, None)
            return
        try:
            direct = os.open(f"/proc/self/fd/{file}", os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError:
            # tmpfs and some network file systems have no such thing.
            yield PartFile(file, None)
            return
        try:
            yield PartFile(file, direct)
        finally:
            os.close(direct)


class Buffers:
    """Page-aligned memory, reused from part to part, and given back when nothing moves."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._idle: list[mmap.mmap] = []
        self._used = 0

    @contextmanager
    def lend(self) -> Iterator[memoryview]:
        """One buffer. Lists are safe between threads: each buffer has one user."""
        self._used += 1
        try:
            buffer = self._idle.pop()
        except IndexError:
            buffer = mmap.mmap(-1, self._size_bytes)
        try:
            with memoryview(buffer) as view:
                yield view
        finally:
            self._idle.append(buffer)

    def trim(self) -> None:
        """Give the memory of idle buffers back to the system."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return
