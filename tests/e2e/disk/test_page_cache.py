"""What a published model leaves in memory: all of it when that is wanted, never more than there is room for."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cacheagent.adapters import page_cache
from cacheagent.adapters.posix_disk import PosixDisk

if TYPE_CHECKING:
    from tests.e2e.disk.conftest import Mounts

MIB = 2**20


def cached_bytes(path: Path) -> int:
    """How much of a file is in the page cache, as mincore(2) tells."""
    library = ctypes.CDLL(None)
    size = path.stat().st_size
    residents = (ctypes.c_ubyte * (size // mmap.PAGESIZE))()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as mapped:
        anchor = ctypes.c_char.from_buffer(mapped)
        address = ctypes.c_void_p(ctypes.addressof(anchor))
        assert library.mincore(address, ctypes.c_size_t(size), residents) == 0
        del anchor
    return sum(page & 1 for page in residents) * mmap.PAGESIZE


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    directory = os.open(folder, os.O_RDONLY)
    try:
        yield directory
    finally:
        os.close(directory)


@pytest.fixture
def model(mounts: Mounts) -> Path:
    """Two files of 8 MiB that are on the disk and not in memory."""
    mounts.image(mounts.make_image(64 * MIB))
    model = mounts.root / "model"
    (model / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (model / name).write_bytes(os.urandom(8 * MIB))
    os.sync()
    with opened(model) as directory:
        page_cache.forget_folder(directory)
    return model


def warm(model: Path) -> list[int]:
    """How much of each file is in memory, before and afterwards."""

    async def scenario() -> None:
        disk = PosixDisk(str(model.parent))
        try:
            await disk.warm("model")
        finally:
            disk.close()

    before = [cached_bytes(model / name) for name in ("a", "sub/b")]
    asyncio.run(scenario())
    return before + [cached_bytes(model / name) for name in ("a", "sub/b")]


def test_a_model_is_read_into_memory_whole(model: Path) -> None:
    assert warm(model) == [0, 0, 8 * MIB, 8 * MIB]


def test_only_whole_files_that_there_is_room_for_are_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "unused_memory_bytes", lambda: 12 * MIB)
    assert warm(model) == [0, 0, 8 * MIB, 0]


def test_nothing_is_read_without_room(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "unused_memory_bytes", lambda: 8 * MIB - 1)
    assert warm(model) == [0, 0, 0, 0]


def test_reading_stops_when_it_is_told_to(model: Path) -> None:
    answers = iter([False, True])
    with opened(model) as directory:
        page_cache.warm_folder(directory, room_bytes=64 * MIB, stopped=lambda: next(answers))
    assert cached_bytes(model / "sub/b") == 0


@pytest.mark.parametrize(
    "limit, usage, left",
    [("1000\n", "300\n", 700), ("1000\n", "1300\n", 0), ("max\n", "300\n", 2**63), (None, None, 2**63)],
)
def test_the_room_is_what_the_control_group_leaves(
    tmp_path: Path, limit: str | None, usage: str | None, left: int
) -> None:
    for name, text in (("limit", limit), ("usage", usage)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert page_cache._left_bytes(str(tmp_path / "limit"), str(tmp_path / "usage")) == left
    assert page_cache.unused_memory_bytes() >= 0
