"""Small file systems of their own for tests of the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MIB = 2**20


def run_tool(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Mounts:
    """File systems mounted for one test, and unmounted after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()
        self._mounted: list[Path] = []

    def tmpfs(self, options: str) -> None:
        run_tool("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.root))
        self._mounted.append(self.root)

    def make_image(self, size_bytes: int, *, features: str = "^resize_inode") -> Path:
        """An ext4 file system in a file, without blocks that only root gets."""
        image = self.folder / "image"
        with image.open("wb") as file:
            file.truncate(size_bytes)
        lazy = "lazy_itable_init=0,nodiscard"
        run_tool("mkfs.ext4", "-q", "-m", "0", "-N", "512", "-O", features, "-E", lazy, str(image))
        return image

    def image(self, image: Path) -> None:
        run_tool("mount", "-o", "loop,errors=continue", str(image), str(self.root))
        self._mounted.append(self.root)

    def resize_device(self, image: Path, size_bytes: int) -> None:
        """The device under the file system ends there now; whatever lies beyond answers with EIO."""
        os.truncate(image, size_bytes)
        found = subprocess.run(["losetup", "-n", "-O", "NAME", "-j", str(image)], check=True, capture_output=True)
        run_tool("losetup", "--set-capacity", found.stdout.decode().strip())

    def remount(self, options: str) -> None:
        run_tool("mount", "-o", f"remount,{options}", str(self.root))

    def unmount(self) -> None:
        """As an administrator in a hurry does it."""
        run_tool("umount", "-l", str(self.root))
        self._mounted.remove(self.root)

    def close(self) -> None:
        for where in reversed(self._mounted):
            subprocess.run(["umount", "-l", str(where)], check=False, capture_output=True)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    if os.geteuid() != 0:
        pytest.skip("mounting file systems needs root")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("making file systems needs mkfs.ext4 (e2fsprogs)")
    mounts = Mounts(tmp_path)
    try:
        mounts.tmpfs("size=1m")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this root may not mount file systems: {error.stderr.decode().strip()}")
    mounts.unmount()
    try:
        yield mounts
    finally:
        mounts.close()
