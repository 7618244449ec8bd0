"""The agent as a whole: what it does on its node, seen from its disk and its status."""

from __future__ import annotations

import msgspec

from cacheagent.testing import NodeRig
from cachecore.names import storage_key
from cachecore.resources.serving import CopyState, ModelStatusValue
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
