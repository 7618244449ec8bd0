"""A mount that goes away is not an empty disk; and a disk that was swapped is one."""

from __future__ import annotations

import msgspec
import pytest

from cacheagent.identity import Found, Known, why_not_ours
from cacheagent.testing import NodeRig
from cachecore.resources.core import Event

OURS = Known(store_id="store-1", file_system="disk-0")


def look(store_id: str = "", *, before: str = "disk-0", after: str = "disk-0") -> Found:
    return Found(store_id=store_id, file_system_before=before, file_system=after)


@pytest.mark.parametrize(
    "found, known",
    [
        (look(), Known()),
        (look("store-1"), OURS),
        (look("store-1", before="disk-1", after="disk-1"), OURS),
        (look("store-2", before="disk-1", after="disk-1"), OURS),
        (look(), OURS),
        (look("store-2"), Known(store_id="store-1")),
        (look(), Known(store_id="store-1", waited_seconds=60.0)),
    ],
    ids=["new", "same", "same-on-another-device", "swapped", "wiped", "swapped-before-start", "waited-long-enough"],
)
def test_a_disk_that_may_be_taken(found: Found, known: Known) -> None:
    assert why_not_ours(found, known, wait_seconds=60.0) == ""


@pytest.mark.parametrize(
    "found, known, advice",
    [
        (look(before="disk-1", after="disk-1"), OURS, "mount the disk again, or restart the agent"),
        (look(before="disk-0", after="disk-1"), OURS, "looked at again"),
        (look("store-1", before="disk-1", after="disk-0"), OURS, "looked at again"),
        (look(), Known(store_id="store-1", waited_seconds=59.0), "if a mount is missing, mount it"),
    ],
    ids=["unmounted", "unmounted-meanwhile", "mounted-meanwhile", "not-there-at-the-start"],
)
def test_a_disk_that_is_left_alone_says_what_to_do(found: Found, known: Known, advice: str) -> None:
    assert advice in why_not_ours(found, known, wait_seconds=60.0)


def test_nothing_is_made_while_the_mount_is_away_and_nothing_fetched_again_afterwards(rig: NodeRig) -> None:
    iris, other = rig.model("iris"), rig.model("other")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.disk.mount("root")
        rig.assign(iris, other)
        rig.start_pod("pod", other)
        await rig.sleep(300)
        assert (rig.state(iris), rig.reason(iris)) == ("DownloadError", "StorageUnreadable")
        assert (rig.state(other), rig.reason(other)) == ("DownloadError", "StorageUnreadable")
        condition = rig.node.status.conditions[0]
        assert (condition.type, condition.status, condition.reason) == ("StorageReady", "False", "DiskVanished")
        assert "mount the disk again" in condition.message
        assert (rig.disk.files, rig.disk.directories) == ({}, [])
        rig.disk.mount("disk-0")
        await rig.sleep(60)

    rig.run(scenario)
    assert (rig.state(iris), rig.state(other)) == ("Downloaded", "Downloaded")
    assert rig.node.status.conditions[0].status == "True"
    assert rig.mover.bytes_moved == 200
    assert "StoreReplaced" not in {event.reason for event in rig.cluster.all(Event)}


def test_a_download_stops_when_its_disk_goes_and_goes_on_when_it_is_back(rig: NodeRig) -> None:
    iris = rig.model("iris", size_bytes=800)
    rig.options = msgspec.structs.replace(rig.options, rescan_seconds=0.05)
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(0.2)
        rig.disk.mount("root")
        await rig.sleep(60)
        assert not [path for path in rig.disk.files if "/files/" in path]
        rig.disk.mount("disk-0")
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.published(iris) == rig.expected(iris)
    assert rig.mover.bytes_moved < 800 + 10 * 8


def test_no_view_is_made_for_a_pod_while_the_mount_is_away(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.cluster.remove(type(rig.node), rig.node.name)
        rig.disk.mount("root")
        rig.start_pod("pod", rig.model("other"))
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.disk.directories == []


def test_an_agent_that_starts_before_the_mount_waits_for_it(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)
    rig.settle(30)
    store_id = rig.node.status.store_id
    rig.disk.mount("root")

    async def scenario() -> None:
        rig.start()
        await rig.sleep(50)
        assert (rig.state(iris), rig.reason(iris)) == ("DownloadError", "StorageUnreadable")
        assert rig.node.status.conditions[0].reason == "DiskVanished"
        assert rig.disk.directories == []
        rig.disk.mount("disk-0")
        await rig.sleep(30)

    rig.run(scenario)
    assert (rig.state(iris), rig.node.status.store_id) == ("Downloaded", store_id)
    assert rig.mover.bytes_moved == 100


def test_an_agent_that_is_restarted_takes_an_empty_disk_in_the_end_and_says_so(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)
    rig.settle(30)
    store_id = rig.node.status.store_id
    rig.disk.mount("new")
    rig.settle(120)
    assert rig.published(iris) == rig.expected(iris)
    assert rig.node.status.store_id not in ("", store_id)
    assert "StoreReplaced" in {event.reason for event in rig.cluster.all(Event)}
