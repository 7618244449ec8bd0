"""Writing parts past the page cache, and the memory that they pass through."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cacheagent.adapters.part_files import BLOCK_BYTES, BUFFER_BYTES_MAX, BUFFER_BYTES_MIN, Buffers, PartFolder
from cacheagent.adapters.posix_disk import PosixDisk

SIZE = 3 * BUFFER_BYTES_MIN + 5 * BLOCK_BYTES + 17


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PosixDisk]:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(bytes(SIZE + 100))
    disk = PosixDisk(str(tmp_path))
    yield disk
    disk.close()


def write(disk: PosixDisk, content: bytes, offset: int) -> None:
    with Buffers(BUFFER_BYTES_MAX).lend(1) as buffer, PartFolder(disk) as folder:
        buffer[: len(content)] = content
        with folder.open("folder/file", len(content)) as file:
            file.write(buffer[: len(content)], offset)


def refusing(kind: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A file system without O_DIRECT, or whose blocks are larger than ours; answers what was refused."""
    refused: list[int] = []
    real_open: Callable[..., int] = os.open
    real_write: Callable[..., int] = os.pwrite
    direct: set[int] = set()

    def open_(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_DIRECT and kind == "open":
            refused.append(flags)
            raise OSError(errno.EINVAL, "no O_DIRECT")
        file = real_open(path, flags, *arguments, **options)
        if flags & os.O_DIRECT:
            direct.add(file)
        return file

    def pwrite(file: int, content: Any, offset: int) -> int:
        if file in direct and kind == "write":
            refused.append(offset)
            raise OSError(errno.EINVAL, "larger blocks")
        return real_write(file, content, offset)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "pwrite", pwrite)
    return refused


@pytest.mark.parametrize("offset", [0, BLOCK_BYTES, 100], ids=["first", "aligned", "unaligned"])
def test_a_part_with_a_tail_is_written_whole(disk: PosixDisk, tmp_path: Path, offset: int) -> None:
    content = os.urandom(SIZE - offset)
    write(disk, content, offset)
    assert (tmp_path / "folder" / "file").read_bytes() == bytes(offset) + content + bytes(100)


@pytest.mark.parametrize("kind", ["open", "write"])
def test_a_file_system_that_refuses_is_written_through_its_cache(
    disk: PosixDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    refused = refusing(kind, monkeypatch)
    content = os.urandom(SIZE)
    write(disk, content, 0)
    assert (tmp_path / "folder" / "file").read_bytes() == content + bytes(100)
    assert len(refused) == 1


def test_a_staging_area_that_was_given_up_is_not_brought_back(disk: PosixDisk, tmp_path: Path) -> None:
    (tmp_path / "folder" / "file").unlink()
    with pytest.raises(FileNotFoundError):
        write(disk, b"late", 0)
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("users, size", [(1, 4), (16, 4), (17, 2), (32, 2), (33, 1), (1000, 1)])
def test_the_more_parts_move_the_smaller_is_each_buffer(users: int, size: int) -> None:
    with Buffers(64 * 2**20).lend(users) as buffer:
        assert len(buffer) == size * 2**20


def test_buffers_never_take_more_than_their_budget() -> None:
    buffers = Buffers(2 * BUFFER_BYTES_MIN)
    first, second = buffers.lend(2), buffers.lend(2)
    first.__enter__()
    second.__enter__()
    got = threading.Event()

    def third() -> None:
        with buffers.lend(2):
            got.set()

    thread = threading.Thread(target=third)
    thread.start()
    assert not got.wait(0.05)
    first.__exit__(None, None, None)
    assert got.wait(10)
    thread.join()
    second.__exit__(None, None, None)


def test_the_memory_of_idle_buffers_is_given_back() -> None:
    buffers = Buffers(BUFFER_BYTES_MAX)
    with buffers.lend(1):
        pass
    buffers.trim()
    # All of the budget is free again: a buffer of another size is to be had at once.
    with buffers.lend(8) as small:
        assert len(small) == BUFFER_BYTES_MIN
