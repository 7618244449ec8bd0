"""The page cache of what lies below a folder: filled with a model that will be read, emptied of what is not true."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

READ_BYTES = 4 * 2**20

# What the control group of this process may use at most, and what it does use: version 2, then 1, of the kernel's.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def warm_folder(directory: int, *, room_bytes: int, stopped: Callable[[], bool]) -> None:
    """Read the files below, in their order, as long as whole ones fit into the room. Raises `OSError`.

    It reads them itself: POSIX_FADV_WILLNEED stops after the device's read-ahead, a fraction of a file.
    """
    buffer = bytearray(READ_BYTES)
    for _, folders, files, folder in os.fwalk(".", follow_symlinks=False, dir_fd=directory):
        folders.sort()
        for name in sorted(files):
            with _opened(name, folder) as file:
                room_bytes -= os.fstat(file).st_size
                if room_bytes < 0:
                    return
                while os.readv(file, [buffer]):
                    if stopped():
                        return


def forget_folder(directory: int) -> None:
    """Let the page cache forget the files below, but for what is not written yet. Raises `OSError`.

    After an fsync that failed, what could not be written is still there and is taken for written: read again it would
    look whole, and the next fsync would succeed. Read from the device it is found to be lost.
    """
    for _, _, files, folder in os.fwalk(".", follow_symlinks=False, dir_fd=directory):
        for name in files:
            with _opened(name, folder) as file:
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def unused_memory_bytes() -> int:
    """What nobody on this machine uses, as far as this process may have it: what it reads counts as its own."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        free_bytes = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemFree:"))
    return min(free_bytes, *(_left_bytes(*group) for group in _GROUPS))


def _left_bytes(limit_path: str, usage_path: str) -> int:
    try:
        with open(limit_path, encoding="ascii") as limit, open(usage_path, encoding="ascii") as usage:
            return max(int(limit.read()) - int(usage.read()), 0)
    except (OSError, ValueError):
        # No such group, or "max".
        return 2**63


@contextmanager
def _opened(name: str, parent: int) -> Iterator[int]:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield file
    finally:
        os.close(file)
