"""Paths below one root, which no path and no symlink leaves.

They are walked from the root's descriptor with O_NOFOLLOW: a symlink that somebody put there is an error, not a way
out.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager


class RootedPaths:
    """Opens what is below the directory `root`. Everything here raises `OSError`.

    Directories are made only on `device` (None: on any): what a mount that has gone leaves bare stays bare.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.device: int | None = None

    @contextmanager
    def file(self, path: str, flags: int) -> Iterator[int]:
        """The descriptor of a file that is there."""
        with self.parent(path) as (parent, name):
            file = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            yield file
        finally:
            os.close(file)

    @contextmanager
    def parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The directory that a path is in, and its name there."""
        names = _names(path)
        if not names:
            raise OSError(errno.EINVAL, "the root itself")
        with self.directory("/".join(names[:-1]), make=make) as directory:
            yield directory, names[-1]

    @contextmanager
    def directory(self, path: str, *, make: bool = False) -> Iterator[int]:
        """The open directory. Directories that are made are durable: their parent is synced."""
        current = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if make and self.device not in (None, os.fstat(current).st_dev):
                raise OSError(errno.ENODEV, "another file system is mounted there")
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
