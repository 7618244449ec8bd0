"""The agent as a whole: what it does on its node, seen from its disk and its status."""

from __future__ import annotations

import msgspec
import pytest

from cacheagent.testing import NodeRig
from cachecore.errors import DiskFailure
from cachecore.names import storage_key
from cachecore.resources.core import Event
from cachecore.resources.serving import CopyState, Eviction, EvictionPolicy, ModelStatusValue
from cachecore.store import layout


def test_an_assigned_model_is_downloaded_and_reported(rig: NodeRig) -> None:
    iris = rig.model("iris", files=3)
    rig.assign(iris)
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)
    status = rig.status(iris)
    assert status is not None
    assert status.state is CopyState.DOWNLOADED
    assert status.bytes_done == status.bytes_total == 99
    assert status.digest.startswith("blake3:")
    assert rig.node.status.model_status == {"iris": ModelStatusValue.DOWNLOADED}
    assert rig.node.status.observed_generation == rig.node.metadata.generation


def test_a_converged_agent_writes_nothing(rig: NodeRig) -> None:
    rig.assign(rig.model("iris"))

    async def scenario() -> int:
        rig.start()
        await rig.sleep(60)
        before = len(rig.cluster.writes)
        await rig.sleep(3600)
        return len(rig.cluster.writes) - before

    assert rig.run(scenario) == 0


def test_a_restart_fetches_and_writes_nothing(rig: NodeRig) -> None:
    rig.assign(rig.model("iris"))
    rig.settle()
    moved, writes = rig.mover.bytes_moved, rig.status_writes()
    rig.settle()
    assert (rig.mover.bytes_moved, rig.status_writes()) == (moved, writes)


def test_the_view_is_there_before_the_model(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=500)
    rig.assign(iris)

    async def scenario() -> list[str]:
        rig.start()
        await rig.sleep(0.05)
        return rig.disk.directories

    key = storage_key(iris.source_model_uri)
    assert layout.view_models_path(key) in rig.run(scenario)
    assert rig.published(iris) == {}


def test_a_pod_alone_has_its_view_made(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign()
    rig.start_pod("pod", iris)
    rig.settle()
    assert layout.view_models_path(storage_key(iris.source_model_uri)) in rig.disk.directories


def test_the_least_recently_used_model_goes_for_a_new_one(rig: NodeRig) -> None:
    old, used, new = (rig.model(name, size_bytes=400) for name in ("old", "used", "new"))
    rig.assign(old, used)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.start_pod("pod", used)
        await rig.sleep(10)
        rig.stop_pod("pod")
        await rig.sleep(10)
        rig.assign(old, used, new)
        await rig.sleep(30)

    rig.run(scenario)
    assert [rig.state(entry) for entry in (old, used, new)] == ["Evicted", "Downloaded", "Downloaded"]
    assert rig.reason(old) == "LeastRecentlyUsed"
    assert rig.published(old) == {}


def test_an_evicted_model_comes_back_when_a_pod_uses_it(rig: NodeRig) -> None:
    first, second, third = (rig.model(name, size_bytes=400) for name in ("first", "second", "third"))
    rig.assign(first, second)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.assign(first, second, third)
        await rig.sleep(30)
        evicted = next(entry for entry in (first, second) if rig.state(entry) is CopyState.EVICTED)
        rig.start_pod("pod", evicted)
        await rig.sleep(30)
        assert rig.published(evicted) == rig.expected(evicted)

    rig.run(scenario)


def test_a_copy_in_use_outlives_its_cache_until_the_pod_ends(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.start_pod("pod", iris)
        await rig.sleep(10)
        rig.assign()
        await rig.sleep(30)
        assert (rig.state(iris), rig.reason(iris)) == ("Evicting", "InUse")
        assert rig.published(iris) == rig.expected(iris)
        rig.stop_pod("pod")
        await rig.sleep(30)

    rig.run(scenario)
    assert rig.status(iris) is None
    assert not [path for path in rig.disk.files if storage_key(iris.source_model_uri) in path]
    assert storage_key(iris.source_model_uri) not in rig.disk.directories


def test_a_model_that_can_never_fit_evicts_nothing(rig: NodeRig) -> None:
    iris, huge = rig.model("iris"), rig.model("huge", size_bytes=5000)
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.assign(iris, msgspec.structs.replace(huge, priority=10))
        rig.start_pod("pod", huge)
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.state(iris) is CopyState.DOWNLOADED
    assert (rig.state(huge), rig.reason(huge)) == ("InsufficientStorage", "ModelLargerThanLimit")


def test_a_model_that_was_too_large_comes_when_its_source_has_a_smaller_one(rig: NodeRig) -> None:
    huge = rig.model("changing", size_bytes=5000)
    rig.assign(huge)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(60)
        assert rig.reason(huge) == "ModelLargerThanLimit"
        rig.model("changing", size_bytes=500)
        # A listing is believed for ten minutes, and the node is looked at again as often.
        await rig.sleep(20 * 60)

    rig.run(scenario)
    assert rig.state(huge) is CopyState.DOWNLOADED


@pytest.mark.parametrize(
    "policy, goes",
    [(EvictionPolicy.LRU, "small"), (EvictionPolicy.GREEDY_DUAL_SIZE, "large"), (EvictionPolicy.LFU, "large")],
)
def test_the_policy_decides_what_goes(rig: NodeRig, policy: EvictionPolicy, goes: str) -> None:
    rig.policy = msgspec.structs.replace(rig.policy, eviction=Eviction(policy=policy))
    small, large, new = rig.model("small", 300), rig.model("large", 600), rig.model("new", 290)

    async def scenario() -> None:
        rig.start()
        rig.assign(small)
        await rig.sleep(20)
        rig.assign(small, large)
        await rig.sleep(20)
        rig.assign(small, large, new)
        await rig.sleep(20)

    rig.run(scenario)
    gone = [entry.model_name for entry in (small, large, new) if rig.state(entry) is CopyState.EVICTED]
    assert gone == [goes]


def test_what_a_pod_waits_for_interrupts_other_downloads(rig: NodeRig) -> None:
    rig.policy = msgspec.structs.replace(rig.policy, limit=20_000, max_concurrent_downloads=1)
    huge, urgent = rig.model("huge", size_bytes=10_000), rig.model("urgent", size_bytes=400)
    rig.assign(huge)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(2)
        rig.start_pod("pod", urgent)
        rig.assign(huge, urgent)
        await rig.sleep(1)
        assert (rig.state(urgent), rig.state(huge)) == ("Downloaded", "Downloading")
        await rig.sleep(30)

    rig.run(scenario)
    assert rig.published(huge) == rig.expected(huge)
    # What was on its way when it was interrupted is all that was fetched twice.
    assert rig.mover.bytes_moved <= 10_400 + 2 * 8


def test_agents_begin_at_different_moments() -> None:
    began = []
    for seed in range(5):
        rig = NodeRig(seed=seed)
        rig.options = msgspec.structs.replace(rig.options, start_jitter_seconds=60.0)
        iris = rig.model("iris")
        rig.assign(iris)
        rig.settle(70)
        assert rig.state(iris) is CopyState.DOWNLOADED
        began += [event.first_timestamp for event in rig.cluster.all(Event) if event.reason == "Downloading"]
    assert len(set(began)) > 3


@pytest.mark.parametrize("warm", [False, True])
def test_the_page_cache_is_warmed_only_when_asked_to(rig: NodeRig, warm: bool) -> None:
    rig.options = msgspec.structs.replace(rig.options, warm_page_cache=warm)
    iris = rig.model("iris")
    rig.assign(iris)
    rig.settle()
    key = storage_key(iris.source_model_uri)
    assert rig.disk.faults.count("warm", layout.published_path(key)) == int(warm)


def test_a_model_that_cannot_be_warmed_is_there_all_the_same(rig: NodeRig) -> None:
    rig.options = msgspec.structs.replace(rig.options, warm_page_cache=True)
    rig.disk.faults.fail("warm", DiskFailure("EIO"), times=None)
    iris = rig.model("iris")
    rig.assign(iris)
    rig.settle()
    assert rig.state(iris) is CopyState.DOWNLOADED
