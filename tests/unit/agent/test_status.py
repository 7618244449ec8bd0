"""When status is written, and what it says."""

from __future__ import annotations

import msgspec
import pytest

from cacheagent.actions import Obstacle
from cacheagent.ledger import LedgerEntry
from cacheagent.planning import Model
from cacheagent.records import Failure, Record
from cacheagent.status import CopyView, copy_status, settled_storage, without_progress
from cacheagent.testing import NODE, NodeRig
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import CopyState, LocalModelNode, NodeStorageStatus


def test_progress_is_written_every_few_seconds_only(rig: NodeRig) -> None:
    # 10,000 bytes over two connections of 1,000 bytes a second: five seconds and 1,250 parts.
    rig.policy = msgspec.structs.replace(rig.policy, limit=20_000)
    huge = rig.model("huge", size_bytes=10_000)
    rig.assign(huge)
    seen: list[int] = []

    async def scenario() -> None:
        rig.start()
        for _ in range(100):
            await rig.sleep(0.1)
            status = rig.status(huge)
            if status is not None and status.state is CopyState.DOWNLOADING:
                seen.append(status.bytes_done)

    rig.run(scenario)
    assert rig.state(huge) is CopyState.DOWNLOADED
    assert len(set(seen)) >= 2
    assert rig.status_writes() <= 8


def test_a_running_download_tells_its_rate(rig: NodeRig) -> None:
    rig.policy = msgspec.structs.replace(rig.policy, limit=20_000)
    huge = rig.model("huge", size_bytes=10_000)
    rig.assign(huge)

    async def scenario() -> int:
        rig.start()
        await rig.sleep(4.5)
        status = rig.status(huge)
        assert status is not None
        return status.bytes_per_second

    # Two connections with 1,000 bytes a second each.
    assert 1500 <= rig.run(scenario) <= 2500


def test_space_of_downloads_is_reserved_until_they_are_used(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=900)
    rig.assign(iris)

    async def scenario() -> NodeStorageStatus | None:
        rig.start()
        await rig.sleep(0.2)
        return rig.node.status.storage

    assert rig.run(scenario) == NodeStorageStatus(limit=1000, used=0, reserved=900, available=100)
    rig.settle()
    assert rig.node.status.storage == NodeStorageStatus(limit=1000, used=900, reserved=0, available=100)


def test_a_use_is_reported(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.start_pod("pod", iris)
        await rig.sleep(30)

    rig.run(scenario)
    status = rig.status(iris)
    assert status is not None
    assert status.last_used_time == "2023-11-14T22:13:50Z"


def test_the_observed_generation_never_falls(rig: NodeRig) -> None:
    rig.cluster.add(LocalModelNode(metadata=ObjectMeta(name=NODE, generation=7)))
    rig.settle()
    assert rig.node.status.observed_generation == 7
    generations = [7]

    async def scenario() -> None:
        rig.start()
        for name in ("a", "b", "c"):
            rig.assign(rig.model(name))
            await rig.sleep(20)
            generations.append(rig.node.status.observed_generation)

    rig.run(scenario)
    assert generations == [7, 8, 9, 10]


def test_free_space_that_moves_a_little_is_not_worth_a_write() -> None:
    old = NodeStorageStatus(limit=1000, used=100, available=500)
    assert settled_storage(msgspec.structs.replace(old, available=495), old) is old
    assert settled_storage(msgspec.structs.replace(old, available=400), old).available == 400
    assert settled_storage(msgspec.structs.replace(old, used=101), old).used == 101


def test_only_what_moves_all_the_time_waits(rig: NodeRig) -> None:
    rig.assign(rig.model("iris"))
    rig.settle()
    status = rig.node.status
    (model,) = status.models
    moved = msgspec.structs.replace(status, models=(msgspec.structs.replace(model, bytes_done=1),))
    failed = msgspec.structs.replace(status, models=(msgspec.structs.replace(model, attempts=1),))
    assert without_progress(moved) == without_progress(status)
    assert without_progress(failed) != without_progress(status)


def test_a_rank_that_fell_leaves_a_reason_for_people(rig: NodeRig) -> None:
    models = [rig.model(name, size_bytes=400) for name in ("a", "b", "c")]
    rig.assign(*models)
    rig.settle()
    waiting = next(entry for entry in models if rig.state(entry) is CopyState.PENDING)
    assert rig.reason(waiting) == "NoRoom"


@pytest.mark.parametrize("reason, state, told", [("NoRoom", "Pending", False), ("Queued", "DownloadError", True)])
def test_an_attempt_is_told_only_if_it_will_be_made(reason: str, state: str, told: bool) -> None:
    failure = Failure(
        reason="SourceUnavailable", message="503", attempts=2, retry_at_seconds=1e9, due_seconds=9.0, recipe=()
    )
    copy = copy_status(
        CopyView(
            model=Model(key="a", name="a"),
            record=Record(key="a", failure=failure),
            entry=LedgerEntry(),
            uri="s3://models/a",
            obstacle=Obstacle(reason, "in words"),
        )
    )
    assert (copy.state, copy.next_retry_time is not None) == (state, told)
