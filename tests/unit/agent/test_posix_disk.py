"""The disk port on a real file system."""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from blake3 import blake3

from cacheagent.adapters.part_mover import RangeMover
from cacheagent.adapters.posix_disk import PosixDisk
from cachecore.errors import DiskError, DiskFailure, DiskVanished, PathExists, PathMissing
from cachecore.ports import Allocation, Checksum, ObjectInfo, Part

Run: TypeAlias = Callable[[Callable[[PosixDisk], Coroutine[Any, Any, Any]]], Any]


class Content:
    """A store of one object that nothing signs."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def list(self, uri: str) -> list[ObjectInfo]:
        return []

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        return self.content

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        return None


async def write_at(disk: PosixDisk, path: str, offset: int, content: bytes) -> str:
    mover = RangeMover(disk, connections=1)
    info = ObjectInfo(path=path, location=path, size_bytes=offset + len(content))
    part = Part(source=info, offset_bytes=offset, length_bytes=len(content), path=path)
    try:
        (moved,) = await mover.move(Content(content), [part])
        return moved.digest
    finally:
        mover.close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def execute(scenario: Callable[[PosixDisk], Coroutine[Any, Any, Any]]) -> Any:
        async def main() -> Any:
            disk = PosixDisk(str(tmp_path))
            try:
                return await scenario(disk)
            finally:
                disk.close()

        return asyncio.run(main())

    return execute


def test_what_is_written_is_read(run: Run) -> None:
    async def scenario(disk: PosixDisk) -> bytes:
        await disk.write("a/b/small", b"first")
        await disk.write("a/b/small", b"second")
        return await disk.read("a/b/small")

    assert run(scenario) == b"second"


def test_a_write_leaves_nothing_beside_it(run: Run, tmp_path: Path) -> None:
    run(lambda disk: disk.write("small", b"content"))
    assert os.listdir(tmp_path) == ["small"]


def test_an_allocated_file_has_its_size_and_takes_parts_in_any_order(run: Run, tmp_path: Path) -> None:
    async def scenario(disk: PosixDisk) -> str:
        await disk.allocate([Allocation("folder/file", 10)])
        await write_at(disk, "folder/file", 5, b"world")
        return await write_at(disk, "folder/file", 0, b"hello")

    assert run(scenario) == blake3(b"hello").hexdigest()
    assert (tmp_path / "folder/file").read_bytes() == b"helloworld"


def test_allocating_again_keeps_the_content_and_cuts_what_is_too_long(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    run(lambda disk: disk.allocate([Allocation("file", 4)]))
    assert (tmp_path / "file").read_bytes() == b"0123"


def test_allocation_takes_blocks(run: Run, tmp_path: Path) -> None:
    run(lambda disk: disk.allocate([Allocation("file", 2**20)]))
    assert os.stat(tmp_path / "file").st_blocks * 512 >= 2**20


def test_a_checksum_is_of_the_range(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert run(lambda disk: disk.checksum("file", 2, 3)) == blake3(b"234").hexdigest()
    assert run(lambda disk: disk.checksum("file", 8, 5)) == blake3(b"89").hexdigest()


def test_a_listing_is_sorted_and_follows_no_symlink(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "c").symlink_to("b")
    entries = run(lambda disk: disk.list_directory(""))
    assert [(entry.name, entry.is_directory, entry.is_symlink) for entry in entries] == [
        ("a", False, False),
        ("b", True, False),
        ("c", False, True),
    ]
    assert entries[0].size_bytes == 3


def test_a_rename_moves_a_folder_and_replaces_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/file").write_bytes(b"x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_bytes(b"y")
    with pytest.raises(PathExists):
        run(lambda disk: disk.rename("old", "full"))
    run(lambda disk: disk.rename("old", "new"))
    assert (tmp_path / "new/file").read_bytes() == b"x"


def test_what_is_missing_is_said_to_be(run: Run) -> None:
    for scenario in (
        lambda disk: disk.read("gone"),
        lambda disk: disk.list_directory("gone"),
        lambda disk: disk.rename("gone", "new"),
        lambda disk: disk.checksum("gone", 0, 1),
        lambda disk: disk.sync_tree("gone"),
        lambda disk: write_at(disk, "gone", 0, b"x"),
    ):
        with pytest.raises(PathMissing, match="gone"):
            run(scenario)
    assert run(lambda disk: disk.exists("gone")) is False


def test_removing_follows_no_symlink(run: Run, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_bytes(b"x")
    (tmp_path / "doomed").mkdir()
    (tmp_path / "doomed/link").symlink_to(tmp_path / "kept")
    run(lambda disk: disk.remove_tree("doomed"))
    run(lambda disk: disk.remove_tree("doomed"))
    assert not (tmp_path / "doomed").exists()
    assert (tmp_path / "kept/file").exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../outside", "a/./b", "nul\0"])
def test_no_path_leaves_the_root(run: Run, path: str) -> None:
    for scenario in (
        lambda disk: disk.read(path),
        lambda disk: disk.write(path, b"x"),
        lambda disk: disk.remove_tree(path),
        lambda disk: disk.make_directory(path),
    ):
        with pytest.raises(DiskError):
            run(scenario)


def test_no_symlink_leads_out_of_the_root(run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_bytes(b"secret")
    (tmp_path / "folder").symlink_to(outside)
    (tmp_path / "file").symlink_to(outside / "secret")
    for scenario in (
        lambda disk: disk.read("folder/secret"),
        lambda disk: disk.read("file"),
        lambda disk: disk.allocate([Allocation("folder/new", 10)]),
        lambda disk: write_at(disk, "file", 0, b"overwritten"),
    ):
        with pytest.raises(DiskFailure):
            run(scenario)
    assert sorted(os.listdir(outside)) == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_usage_is_the_file_systems(run: Run) -> None:
    usage = run(lambda disk: disk.usage())
    assert 0 < usage.free_bytes <= usage.total_bytes


def test_a_root_that_vanished_is_missing(tmp_path: Path) -> None:
    async def main() -> None:
        disk = PosixDisk(str(tmp_path / "vanished"))
        try:
            await disk.usage()
        finally:
            disk.close()

    with pytest.raises(PathMissing, match="vanished"):
        asyncio.run(main())


def test_a_cancelled_write_has_ended_before_the_cancellation_is_seen(run: Run, tmp_path: Path) -> None:
    async def scenario(disk: PosixDisk) -> None:
        await disk.allocate([Allocation("file", 2**24)])
        task = asyncio.create_task(write_at(disk, "file", 0, b"x" * 2**24))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (tmp_path / "file").read_bytes() == b"x" * 2**24

    run(scenario)


def test_nothing_is_made_on_another_file_system_than_was_looked_at(run: Run, tmp_path: Path) -> None:
    async def scenario(disk: PosixDisk) -> None:
        await disk.usage()
        disk._paths.device = -1
        for work in (
            disk.make_directory("folder"),
            disk.write("file", b"x"),
            disk.append("file", b"x", durable=False),
            disk.allocate([Allocation("file", 10)]),
        ):
            with pytest.raises(DiskVanished, match="another file system"):
                await work

    run(scenario)
    assert os.listdir(tmp_path) == []


def test_a_file_that_nobody_reads_is_cut(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert run(lambda disk: disk.shrink("file", 4)) is True
    assert run(lambda disk: disk.shrink("file", 4)) is False
    assert run(lambda disk: disk.shrink("gone", 4)) is False
    assert (tmp_path / "file").read_bytes() == b"0123"


def test_a_file_that_somebody_has_mapped_is_not_cut(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    with (tmp_path / "file").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    assert run(lambda disk: disk.shrink("file", 0)) is False
    mapped.close()
    assert run(lambda disk: disk.shrink("file", 0)) is True
