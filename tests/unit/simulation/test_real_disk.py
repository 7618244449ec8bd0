"""Real files under a simulated disk: they are what the tree in memory says, whatever strikes them."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Callable, Iterator

import pytest

from cachecore.errors import DiskFull, PathExists
from cachecore.ports import Allocation, ChecksumAlgorithm
from cachecore.store.layout import STAGING_PATH
from cachesim.real.disk import RealDiskWorld
from cachesim.real.ground import Ground

STAGED = f"{STAGING_PATH}/key/files/model"

MakeDisk = Callable[[str], RealDiskWorld]


@pytest.fixture
def differences() -> list[str]:
    return []


@pytest.fixture
def make_disk(differences: list[str]) -> Iterator[MakeDisk]:
    ground = Ground()

    def make(name: str) -> RealDiskWorld:
        directory = ground.new_directory(name)
        return RealDiskWorld(10_000, directory, ground, digests={}, differs=differences.append)

    yield make
    ground.close()


@pytest.fixture
def disk(make_disk: MakeDisk) -> RealDiskWorld:
    return make_disk("node-1")


def stage(disk: RealDiskWorld, content: bytes) -> pathlib.Path:
    """Two parts of a file that has been allocated, none of them synced."""
    half = len(content) // 2
    disk.allocate(Allocation(STAGED, len(content)))
    file = disk.directory / STAGED
    file.write_bytes(content)
    for offset in (0, half):
        token = disk.checksum(STAGED, offset, half, ChecksumAlgorithm.BLAKE3)
        disk.write_part(STAGED, offset, half, token)
    return file


def test_what_is_written_is_in_a_real_file(disk: RealDiskWorld) -> None:
    disk.write("a/b", b"content")
    assert (disk.directory / "a/b").read_bytes() == disk.read("a/b") == b"content"


def test_the_room_is_the_scenarios(disk: RealDiskWorld) -> None:
    with pytest.raises(DiskFull):
        disk.allocate(Allocation("large", 10_001))
    assert list(disk.directory.iterdir()) == []


def test_both_refuse_alike(disk: RealDiskWorld, differences: list[str]) -> None:
    disk.write("a/x", b"1")
    disk.write("b/y", b"2")
    with pytest.raises(PathExists):
        disk.rename("a", "b")
    assert differences == disk.differences() == []


def test_a_foreign_change_of_a_file_is_told(disk: RealDiskWorld, differences: list[str]) -> None:
    disk.write("a", b"content")
    (disk.directory / "a").write_bytes(b"another content")
    disk.read("a")
    assert len(differences) == 1
    assert len(disk.differences()) == 1


def test_a_flipped_bit_is_one(disk: RealDiskWorld) -> None:
    file = stage(disk, bytes(200))
    disk.flip_bit()
    assert sorted(file.read_bytes()) == [0] * 199 + [1]


@pytest.mark.parametrize("seed", range(6))
def test_a_loss_of_power_takes_the_same_from_both(disk: RealDiskWorld, differences: list[str], seed: int) -> None:
    stage(disk, b"\1" * 200)
    disk.append("journal", b"durable", durable=True)
    disk.append("journal", b" and not", durable=False)
    disk.write("old/file", b"unlinked")
    disk.remove_tree("old")
    disk.lose_power(random.Random(seed))
    assert differences == disk.differences() == []
    assert (disk.directory / "journal").read_bytes() == b"durable"
    assert (disk.directory / "old").exists() == disk.exists("old")


def test_a_part_that_power_has_cost_is_gone_from_the_file(disk: RealDiskWorld) -> None:
    file = stage(disk, b"\1" * 200)
    disk.sync_tree(STAGED)
    disk.write_part(STAGED, 0, 100, "written again")
    disk.lose_power(random.Random(4))
    assert file.read_bytes() == b"\0" * 100 + b"\1" * 100


def test_a_swapped_disk_is_a_copy_of_the_other(make_disk: MakeDisk, differences: list[str]) -> None:
    ours, theirs = make_disk("node-1"), make_disk("node-2")
    ours.write("a", b"ours")
    theirs.write("b/c", b"theirs")
    ours.become(theirs)
    assert ours.read("b/c") == b"theirs"
    assert differences == ours.differences() == []
    assert not ours.exists("a")
