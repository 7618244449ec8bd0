"""Troubles of a node that are none of the source's: room that is not to be had, and a clock that jumps."""

from __future__ import annotations

import msgspec
import pytest

from cacheagent.assembly import TransferLimits
from cacheagent.ledger import Ledger, LedgerEntry, not_ahead
from cacheagent.store import Store
from cacheagent.testing import NodeRig
from cachecore.errors import DiskFailure, DiskFull
from cachecore.eviction import Usage
from cachecore.names import storage_key
from cachecore.resources.serving import EvictionPolicy
from cachecore.store import layout

YEAR_SECONDS = 365 * 86_400.0


def test_room_that_is_not_to_be_had_whole_is_given_back(rig: NodeRig) -> None:
    iris = rig.model("iris", files=2)
    rig.assign(iris)
    rig.disk.faults.fail("allocate", DiskFull("no space left"), pattern="*/file-1.bin", times=None)
    rig.settle()
    assert (rig.state(iris), rig.reason(iris)) == ("DownloadError", "DiskFull")
    assert [path for path in rig.disk.files if path.startswith(layout.STAGING_PATH)] == []


def test_what_was_given_back_is_room_for_another_at_once(rig: NodeRig) -> None:
    first, second = rig.model("first", size_bytes=600), rig.model("second", size_bytes=900)
    rig.policy = msgspec.structs.replace(rig.policy, limit=1000, max_concurrent_downloads=1)
    rig.assign(first, second)
    rig.disk.faults.fail("allocate", DiskFull("no space left"), pattern="*/file-0.bin", times=None)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(1)
        rig.disk.faults.heal()
        rig.assign(second)
        await rig.sleep(15)

    rig.run(scenario)
    assert rig.state(second) == "Downloaded"


def test_a_disk_that_others_have_filled_explains_the_failure(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=600)
    rig.assign(iris)
    rig.disk.capacity_bytes = 20_000
    rig.disk.faults.fail("allocate", DiskFull("no space left"), times=None)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(1)
        rig.disk.foreign_bytes = 19_500
        await rig.sleep(20)
        assert (rig.state(iris), rig.reason(iris)) == ("InsufficientStorage", "DiskFilledByOthers")
        rig.disk.foreign_bytes = 0
        rig.disk.faults.heal()
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.state(iris) == "Downloaded"


def test_a_download_that_takes_its_room_is_not_taken_for_somebody_else(rig: NodeRig) -> None:
    """The disk is what binds here: once the room is taken, what is left would not do for the model."""
    iris = rig.model("iris", size_bytes=18_000)
    rig.policy = msgspec.structs.replace(rig.policy, limit=1 << 20)
    # Few parts, so that the journal is small beside the model.
    rig.options = msgspec.structs.replace(rig.options, transfer=TransferLimits(part_bytes=6_000))
    rig.disk.capacity_bytes = 32_000
    rig.assign(iris)
    rig.settle()
    assert rig.state(iris) == "Downloaded"
    assert rig.source.faults.count("list") == 1


def test_what_was_downloaded_before_the_disk_was_full_is_kept(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=800)
    rig.assign(iris)
    rig.settle(0.2)
    before = rig.mover.bytes_moved
    rig.disk.faults.fail("allocate", DiskFull("no space left"))
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)
    assert before > 0
    assert rig.mover.bytes_moved <= 800 + 2 * 8


@pytest.mark.parametrize("jump_seconds", [YEAR_SECONDS, -YEAR_SECONDS])
def test_a_clock_that_jumps_evicts_nothing_and_delays_nothing(rig: NodeRig, jump_seconds: float) -> None:
    models = [rig.model(name, size_bytes=250) for name in ("a", "b", "c")]
    late = rig.model("late")

    async def scenario() -> None:
        rig.assign(*models)
        rig.start()
        await rig.sleep(60)
        rig.runtime.clock_skew_seconds = jump_seconds
        rig.assign(*models, late)
        await rig.sleep(60)
        assert [rig.state(entry) for entry in [*models, late]] == ["Downloaded"] * 4
        rig.runtime.clock_skew_seconds = 0.0
        await rig.sleep(60)

    rig.run(scenario)
    assert [rig.state(entry) for entry in [*models, late]] == ["Downloaded"] * 4
    assert rig.mover.bytes_moved == 850


def test_a_use_while_the_clock_was_ahead_counts_as_one_of_now_afterwards(rig: NodeRig) -> None:
    """Else the model would be the last to go for a year, whatever is used meanwhile."""
    ahead, used, new = (rig.model(name, size_bytes=400) for name in ("ahead", "used", "new"))

    async def scenario() -> None:
        rig.assign(ahead, used)
        rig.start()
        await rig.sleep(60)
        rig.runtime.clock_skew_seconds = YEAR_SECONDS
        rig.start_pod("ahead", ahead)
        await rig.sleep(10)
        rig.stop_pod("ahead")
        await rig.sleep(10)
        rig.runtime.clock_skew_seconds = 0.0
        await rig.sleep(3600)
        rig.start_pod("used", used)
        await rig.sleep(10)
        rig.stop_pod("used")
        await rig.sleep(3600)
        rig.assign(ahead, used, new)
        rig.start_pod("new", new)
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.state(new) == "Downloaded"
    assert (rig.state(ahead), rig.state(used)) == ("Evicted", "Downloaded")


def test_a_model_that_was_evicted_while_the_clock_was_ahead_comes_back_when_it_is_used(rig: NodeRig) -> None:
    first, second = rig.model("first", size_bytes=600), rig.model("second", size_bytes=600)

    async def scenario() -> None:
        rig.assign(first)
        rig.start()
        await rig.sleep(60)
        rig.runtime.clock_skew_seconds = YEAR_SECONDS
        rig.assign(first, second)
        rig.start_pod("second", second)
        await rig.sleep(60)
        assert (rig.state(first), rig.state(second)) == ("Evicted", "Downloaded")
        rig.runtime.clock_skew_seconds = 0.0
        rig.stop_pod("second")
        await rig.sleep(60)
        rig.start_pod("first", first)
        await rig.sleep(60)
        rig.stop_pod("first")
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.state(first) == "Downloaded"


@pytest.mark.parametrize("policy", list(EvictionPolicy))
def test_no_policy_swaps_models_when_the_clock_jumps(rig: NodeRig, policy: EvictionPolicy) -> None:
    models = [rig.model(name, size_bytes=400) for name in ("a", "b", "c")]

    async def scenario() -> int:
        rig.assign(*models)
        rig.start()
        await rig.sleep(60)
        before = rig.mover.bytes_moved
        for skew_seconds in (YEAR_SECONDS, 0.0, -YEAR_SECONDS, 0.0):
            rig.runtime.clock_skew_seconds = skew_seconds
            await rig.sleep(300)
        return rig.mover.bytes_moved - before

    assert rig.run(scenario) == 0


def test_times_to_come_become_now_in_their_order_and_a_small_difference_stays() -> None:
    now = 1000.0
    times = {"a": 90_000.0, "b": 80_000.0, "c": 1200.0, "d": 500.0}
    entries = {key: LedgerEntry(usage=Usage(last_used_seconds=time)) for key, time in times.items()}
    settled = not_ahead(Ledger(entries=entries), now).entries
    assert [settled[key].usage.last_used_seconds for key in times] == [1000.0, 999.999, 1200.0, 500.0]


def test_a_ledger_without_times_to_come_is_left_as_it_is() -> None:
    ledger = Ledger(entries={"a": LedgerEntry(usage=Usage(last_used_seconds=500.0))})
    assert not_ahead(ledger, 1000.0) is ledger


@pytest.mark.parametrize(("verb", "pattern", "after"), [("remove_tree", "*staging*", False), ("rename", "*", True)])
def test_a_copy_whose_publishing_failed_at_the_end_is_not_fetched_again(
    rig: NodeRig, verb: str, pattern: str, after: bool
) -> None:
    """It is there, whole: beside a second one it would take its room twice."""
    iris = rig.model("iris", size_bytes=800)
    rig.assign(iris)
    rig.disk.faults.fail(verb, DiskFailure("input/output error"), pattern=pattern, after=after)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(20)

    rig.run(scenario)
    assert (rig.state(iris), rig.source.faults.count("list")) == ("Downloaded", 1)


def test_a_copy_that_went_though_its_eviction_failed_is_no_longer_held(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=800)
    rig.assign(iris)
    rig.settle(20)
    store = Store(rig.runtime, rig.disk)

    async def scenario() -> None:
        await store.rescan()
        rig.disk.faults.fail("rename", DiskFailure("input/output error"), after=True)
        with pytest.raises(DiskFailure):
            await store.retire(storage_key(iris.source_model_uri))

    rig.run(scenario)
    assert store.held == {}
