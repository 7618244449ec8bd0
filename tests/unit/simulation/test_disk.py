"""The simulated disk keeps Disk's promises, and the world's tree tells what is really there."""

import pytest
import simpy

from cachecore.errors import DiskFailure, DiskFull, PathExists, PathMissing
from cachecore.ports import Allocation
from cachesim.disk import DiskEvent, DiskWorld, SimulatedDisk
from cachesim.runtime import Crashed, SimpyRuntime


@pytest.fixture
def runtime() -> SimpyRuntime:
    return SimpyRuntime(simpy.Environment(), seed=1)


@pytest.fixture
def world() -> DiskWorld:
    return DiskWorld(capacity_bytes=1000)


@pytest.fixture
def disk(runtime: SimpyRuntime, world: DiskWorld) -> SimulatedDisk:
    return SimulatedDisk(runtime, world)


def test_a_written_file_is_read_back(runtime: SimpyRuntime, disk: SimulatedDisk) -> None:
    runtime.run(disk.write("a/b", b"hello"))
    assert runtime.run(disk.read("a/b")) == b"hello"


def test_allocation_takes_the_space_at_once(runtime: SimpyRuntime, disk: SimulatedDisk) -> None:
    runtime.run(disk.allocate([Allocation("model", 600)]))
    assert runtime.run(disk.usage()).free_bytes == 400


def test_a_full_disk_refuses_and_keeps_what_it_has(runtime: SimpyRuntime, disk: SimulatedDisk) -> None:
    runtime.run(disk.allocate([Allocation("model", 600)]))
    with pytest.raises(DiskFull):
        runtime.run(disk.allocate([Allocation("other", 600)]))
    assert runtime.run(disk.exists("model"))
    assert not runtime.run(disk.exists("other"))


def test_removal_gives_the_space_back(runtime: SimpyRuntime, disk: SimulatedDisk) -> None:
    runtime.run(disk.allocate([Allocation("a/b/model", 600)]))
    runtime.run(disk.remove_tree("a"))
    assert runtime.run(disk.usage()).free_bytes == 1000


def test_a_file_is_whole_once_every_part_is_written(
    runtime: SimpyRuntime, disk: SimulatedDisk, world: DiskWorld
) -> None:
    runtime.run(disk.allocate([Allocation("model", 300)]))
    runtime.run(disk.write_part("model", 0, 200, "x"))
    assert [file.whole() for _, file in world.files("model")] == [False]
    runtime.run(disk.write_part("model", 200, 100, "y"))
    assert [file.whole() for _, file in world.files("model")] == [True]


def test_the_checksum_of_a_part_is_its_token(runtime: SimpyRuntime, disk: SimulatedDisk) -> None:
    runtime.run(disk.allocate([Allocation("model", 300)]))
    runtime.run(disk.write_part("model", 0, 200, "token"))
    assert runtime.run(disk.checksum("model", 0, 200)) == "token"
    assert runtime.run(disk.checksum("model", 200, 100)) != "token"


def test_rename_never_replaces_a_directory_with_content(runtime: SimpyRuntime, disk: SimulatedDisk) -> None:
    runtime.run(disk.write("a/x", b"1"))
    runtime.run(disk.write("b/y", b"2"))
    with pytest.raises(PathExists):
        runtime.run(disk.rename("a", "b"))


@pytest.mark.parametrize("path", ["../x", "a/../../x"])
def test_no_path_leaves_the_disk(runtime: SimpyRuntime, disk: SimulatedDisk, path: str) -> None:
    with pytest.raises(DiskFailure):
        runtime.run(disk.write(path, b""))


def test_a_missing_path_is_said_to_be_missing(runtime: SimpyRuntime, disk: SimulatedDisk) -> None:
    with pytest.raises(PathMissing):
        runtime.run(disk.list_directory("nowhere"))


def test_observers_see_each_change_in_order(runtime: SimpyRuntime, disk: SimulatedDisk, world: DiskWorld) -> None:
    events: list[DiskEvent] = []
    world.observers.append(events.append)
    runtime.run(disk.write("a/x", b"1"))
    runtime.run(disk.make_directory("b"))
    runtime.run(disk.rename("a", "b"))
    assert events == [DiskEvent("write", "a/x"), DiskEvent("make", "b"), DiskEvent("rename", "a", "b")]


def test_the_tree_outlives_a_crash_and_the_dead_cannot_touch_it(
    runtime: SimpyRuntime, disk: SimulatedDisk, world: DiskWorld
) -> None:
    runtime.run(disk.write("a", b"1"))

    async def late_write() -> None:
        try:
            await runtime.sleep(1000)
        finally:
            await disk.write("b", b"2")

    other = SimpyRuntime(runtime.environment, seed=1, host="other")
    task = runtime.spawn(late_write(), name="late")

    async def crash() -> None:
        await other.sleep(1)
        runtime.crash()
        await other.sleep(1)

    other.run(crash())
    assert task.done()
    assert list(world.root) == ["a"]
    with pytest.raises(Crashed):
        runtime.check_alive()
