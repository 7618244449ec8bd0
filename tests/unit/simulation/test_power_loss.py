"""What a loss of power leaves of a simulated disk: all that was synced, and of the rest what chance leaves."""

from __future__ import annotations

import random

import pytest

from cachecore.ports import Allocation
from cachesim.disk import DiskWorld
from cachesim.disk_file import File

ALWAYS = 0.0
NEVER = 0.99


class _Chance(random.Random):
    """Always answers the same: 0 loses whatever may be lost."""

    def __init__(self, answer: float) -> None:
        super().__init__()
        self._answer = answer

    def random(self) -> float:
        return self._answer


@pytest.fixture
def disk() -> DiskWorld:
    return DiskWorld(10_000)


def _downloaded(disk: DiskWorld) -> None:
    disk.allocate(Allocation("staging/file", 200))
    disk.write_part("staging/file", 0, 100, "one")
    disk.write_part("staging/file", 100, 100, "two")


def test_what_was_never_synced_is_lost(disk: DiskWorld) -> None:
    _downloaded(disk)
    disk.lose_power(_Chance(ALWAYS))
    assert disk.find("staging/file") is None
    assert disk.used_bytes == 0


def test_or_it_is_not(disk: DiskWorld) -> None:
    _downloaded(disk)
    disk.lose_power(_Chance(NEVER))
    file = disk.find("staging/file")
    assert isinstance(file, File)
    assert file.whole()


def test_what_was_synced_stays(disk: DiskWorld) -> None:
    _downloaded(disk)
    disk.sync_tree("staging")
    disk.lose_power(_Chance(ALWAYS))
    file = disk.find("staging/file")
    assert isinstance(file, File)
    assert file.whole()


def test_a_part_that_was_written_again_has_to_be_synced_again(disk: DiskWorld) -> None:
    _downloaded(disk)
    disk.sync_tree("staging")
    disk.write_part("staging/file", 100, 100, "three")
    disk.lose_power(_Chance(ALWAYS))
    file = disk.find("staging/file")
    assert isinstance(file, File)
    assert sorted(file.parts) == [0]


def test_a_small_file_is_durable_when_its_write_has_returned(disk: DiskWorld) -> None:
    disk.write("manifest", b"whole")
    disk.lose_power(_Chance(ALWAYS))
    assert disk.read("manifest") == b"whole"


def test_of_an_appended_file_the_durable_part_stays(disk: DiskWorld) -> None:
    disk.append("journal", b"one\n", durable=True)
    disk.append("journal", b"two\n", durable=False)
    disk.lose_power(_Chance(ALWAYS))
    assert disk.read("journal") == b"one\n"


def test_what_was_unlinked_may_be_back(disk: DiskWorld) -> None:
    disk.write("old/file", b"x")
    disk.remove_tree("old/file")
    disk.lose_power(_Chance(ALWAYS))
    assert disk.read("old/file") == b"x"
    assert disk.used_bytes == 1


def test_unless_its_directory_was_synced_since(disk: DiskWorld) -> None:
    disk.write("old/file", b"x")
    disk.remove_tree("old/file")
    disk.make_directory("other")
    disk.lose_power(_Chance(ALWAYS))
    assert disk.find("old/file") is None


def test_a_foreign_writer_takes_what_is_left_and_gives_it_back(disk: DiskWorld) -> None:
    disk.write("ours", b"12345")
    disk.fill(full=True)
    assert disk.usage().free_bytes == 0
    disk.fill(full=False)
    assert disk.usage().free_bytes == 10_000 - 5


def test_a_harmed_copy_has_no_first_file_any_longer(disk: DiskWorld) -> None:
    _downloaded(disk)
    disk.harm("staging", cut=True)
    assert disk.size_bytes("staging") == 0
    disk.harm("staging", cut=False)
    assert disk.find("staging") is None
