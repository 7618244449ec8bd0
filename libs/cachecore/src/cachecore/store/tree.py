"""Walking what is on a disk."""

from __future__ import annotations

import msgspec

from cachecore.ports import Disk


class TreeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file below a folder; `path` is relative to that folder."""

    path: str
    size_bytes: int
    is_symlink: bool = False


async def list_tree(disk: Disk, path: str) -> list[TreeFile]:
    """Every file below `path`, sorted by path; symlinks are named, never followed. Raises `PathMissing`."""
    files: list[TreeFile] = []
    folders = [""]
    while folders:
        folder = folders.pop()
        for entry in await disk.list_directory(f"{path}/{folder}" if folder else path):
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_directory and not entry.is_symlink:
                folders.append(name)
            else:
                files.append(TreeFile(path=name, size_bytes=entry.size_bytes, is_symlink=entry.is_symlink))
    return sorted(files, key=lambda file: file.path)
