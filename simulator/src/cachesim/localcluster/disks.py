"""The disk of a node: a directory, or a file system of its own with a size, where this user may mount one."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from cachecore.errors import InvalidInput
from cachecore.quantity import format_bytes
from cachesim.localcluster.state import StateDirectory

# Below that a file system of its own is mostly its own bookkeeping.
LEAST_DISK_BYTES = 32 * 1024 * 1024


def check_disk_size(disk_bytes: int | None) -> None:
    """Raises InvalidInput for a disk that nothing would fit on."""
    if disk_bytes is not None and disk_bytes < LEAST_DISK_BYTES:
        raise InvalidInput(
            f"a disk of {format_bytes(disk_bytes)} is too small: the least is {format_bytes(LEAST_DISK_BYTES)}"
        )


class NodeDisk:
    """The directory that is `/` on one node."""

    def __init__(self, state: StateDirectory, node: str, size_bytes: int | None) -> None:
        self.root = state.node_root(node)
        self.size_bytes = size_bytes
        self.mounted = False
        self._state = state
        self._image = self.root.parent / "disk.img"

    async def attach(self) -> None:
        """Make or find the disk. What was on it is there again."""
        self.root.mkdir(parents=True, exist_ok=True)
        if self.size_bytes is None or self.mounted or os.geteuid() != 0:
            return
        # ext4 in a sparse file first: it has O_DIRECT and survives a restart, which tmpfs does not.
        self.mounted = await self._mount_image() or await self._mount_memory()
        if self.mounted:
            self._state.tell("mount", self.root)

    async def detach(self) -> None:
        if self.mounted and await _run("umount", "--lazy", str(self.root)):
            self.mounted = False
            self._state.tell("unmounted", self.root)

    async def wipe(self) -> None:
        """Everything on it is gone."""
        await self.detach()
        await asyncio.to_thread(_remove, self._image, self.root)

    async def _mount_image(self) -> bool:
        if shutil.which("mkfs.ext4") is None:
            return False
        if not self._image.exists():
            with self._image.open("wb") as file:
                file.truncate(self.size_bytes or 0)
            made = await _run("mkfs.ext4", "-q", "-F", "-m", "0", "-i", "65536", "-O", "^has_journal", str(self._image))
            if not made:
                self._image.unlink()
                return False
        return await _run("mount", "-o", "loop,noatime", str(self._image), str(self.root))

    async def _mount_memory(self) -> bool:
        return await _run("mount", "-t", "tmpfs", "-o", f"size={self.size_bytes},mode=755", "tmpfs", str(self.root))


async def _run(*command: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


def _remove(image: Path, root: Path) -> None:
    image.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
