"""Emptying the trash: in steps, oldest first, behind the downloads."""

from __future__ import annotations

import pytest

from cacheagent import sweeping
from cacheagent.store import Store
from cacheagent.sweeping import Sweeper, pause_seconds
from cachecore.errors import DiskFailure
from cachecore.ports import DiskUsage
from cachecore.store import layout
from cachecore.testing import FakeDisk, VirtualRuntime


class Yard:
    """A store with something in its trash, and a sweeper."""

    def __init__(self, *, busy: bool = False) -> None:
        self.runtime = VirtualRuntime()
        self.disk = FakeDisk()
        self.store = Store(self.runtime, self.disk)
        self.steps: list[tuple[float, int]] = []
        self.sweeper = Sweeper(self.runtime, self.store, busy=lambda: busy, changed=self._note)

    def _note(self) -> None:
        self.steps.append((self.runtime.monotonic(), sum(self.store.trash.values())))

    def sweep(self, seconds: float = 60.0) -> None:
        async def scenario() -> DiskUsage:
            await self.store.rescan()
            self.runtime.spawn(self.sweeper.run(), name="trash")
            await self.runtime.sleep(seconds)
            return await self.disk.usage()

        self.runtime.run(scenario())


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "STEP_BYTES", 100)
    monkeypatch.setattr(sweeping, "SMALL_BYTES", 20)


def test_nothing_waits_when_nothing_else_moves() -> None:
    assert pause_seconds(1.5, busy=False) == 0.0


def test_downloads_have_most_of_the_disks_time_and_the_trash_goes_on() -> None:
    assert pause_seconds(0.2, busy=True) == pytest.approx(0.8)
    assert pause_seconds(0.0, busy=True) == sweeping.PAUSE_SECONDS_MIN
    assert pause_seconds(60.0, busy=True) == sweeping.PAUSE_SECONDS_MAX


def test_a_huge_file_gives_its_room_back_step_by_step() -> None:
    yard = Yard(busy=True)
    yard.disk.add_file(layout.trash_path("a/huge"), bytes(350))
    yard.sweep()
    assert [left for _, left in yard.steps] == [250, 150, 50, 0]
    times = [when for when, _ in yard.steps]
    assert times == sorted(set(times))
    assert [path for path in yard.disk.files if path.startswith(layout.TRASH_PATH)] == []


def test_many_files_make_steps_together() -> None:
    yard = Yard()
    for number in range(5):
        yard.disk.add_file(layout.trash_path(f"a/{number}"), bytes(60))
    yard.sweep()
    assert [left for _, left in yard.steps] == [200, 100, 0, 0]


def test_small_files_go_with_their_folder() -> None:
    yard = Yard()
    yard.disk.add_file(layout.trash_path("a/small"), bytes(19))
    yard.sweep()
    assert yard.disk.faults.count("shrink") == 0
    assert [path for path in yard.disk.files if path.startswith(layout.TRASH_PATH)] == []


def test_what_somebody_still_reads_is_unlinked_and_not_cut() -> None:
    yard = Yard()
    path = layout.trash_path("a/read")
    yard.disk.add_file(path, bytes(350))
    yard.disk.opened.add(path)
    yard.sweep()
    assert yard.steps == [(0.0, 0)]
    assert path not in yard.disk.files


def test_a_disk_that_fails_is_tried_again() -> None:
    yard = Yard()
    yard.disk.add_file(layout.trash_path("a/huge"), bytes(350))
    yard.disk.faults.fail("shrink", DiskFailure("EIO"))
    yard.sweep()
    assert yard.store.trash == {}


def test_the_oldest_goes_first() -> None:
    yard = Yard()
    keys = [letter * 16 for letter in "cab"]

    async def scenario() -> None:
        for key in keys:
            yard.disk.add_file(f"{layout.published_path(key)}/file", b"x")
            await yard.store.retire(key)
        await yard.store.rescan()

    yard.runtime.run(scenario())
    assert [name[:16] for name in yard.store.trash] == keys
