"""What goes wrong, what status says of it, and that it heals by itself."""

from __future__ import annotations

import msgspec
import pytest

from cacheagent.testing import NodeRig
from cachecore.errors import (
    AccessDenied,
    ApiUnavailable,
    Conflict,
    DiskFailure,
    DiskFull,
    DiskReadOnly,
    LocalModelError,
    SourceNotFound,
    SourceUnavailable,
)
from cachecore.resources.core import Event


@pytest.mark.parametrize(
    "error, reason",
    [
        (SourceNotFound("there is no bucket models"), "SourceNotFound"),
        (AccessDenied("the credentials are refused"), "AccessDenied"),
        (SourceUnavailable("503"), "SourceUnavailable"),
    ],
)
def test_a_source_that_fails_is_an_error_until_it_heals(rig: NodeRig, error: LocalModelError, reason: str) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.source.faults.fail("list", error, times=None)
        rig.start()
        await rig.sleep(1)
        status = rig.status(iris)
        assert status is not None
        assert (status.state, status.reason, status.message) == ("DownloadError", reason, str(error))
        assert status.attempts == 1
        assert status.next_retry_time is not None
        await rig.sleep(60)
        rig.source.faults.heal()
        await rig.sleep(120)

    rig.run(scenario)
    assert rig.state(iris) == "Downloaded"


def test_retries_back_off(rig: NodeRig) -> None:
    rig.assign(rig.model("iris"))
    rig.source.faults.fail("list", SourceUnavailable("503"), times=None)
    rig.settle(600)
    # 2, 4, 8, 16, 32, then each minute.
    assert 10 <= rig.source.faults.count("list") <= 18


def test_a_retry_costs_one_status_write(rig: NodeRig) -> None:
    rig.assign(rig.model("iris"))
    rig.source.faults.fail("list", SourceUnavailable("503"), times=None)
    rig.settle(600)
    assert rig.status_writes() <= rig.source.faults.count("list") + 1


@pytest.mark.parametrize("error", [DiskFull("no space left"), DiskFailure("EIO"), DiskReadOnly("EROFS")])
def test_a_disk_that_refuses_to_write_is_a_reason_until_it_heals(rig: NodeRig, error: LocalModelError) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.disk.faults.fail("allocate", error, times=None)
        rig.start()
        await rig.sleep(10)
        assert (rig.state(iris), rig.reason(iris)) == ("DownloadError", type(error).__name__)
        rig.disk.faults.heal()
        await rig.sleep(120)

    rig.run(scenario)
    assert rig.state(iris) == "Downloaded"


def test_a_disk_that_cannot_be_read_is_neither_believed_nor_changed(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.disk.faults.fail("list_directory", DiskFailure("EIO"), times=None)
        await rig.sleep(60)
        assert (rig.state(iris), rig.reason(iris)) == ("DownloadError", "StorageUnreadable")
        condition = rig.node.status.conditions[0]
        assert (condition.type, condition.status, condition.reason) == ("StorageReady", "False", "DiskFailure")
        rig.disk.faults.heal()
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.state(iris) == "Downloaded"
    assert rig.node.status.conditions[0].status == "True"
    assert rig.mover.bytes_moved == 100


def test_a_foreign_writer_that_fills_the_disk_is_waited_for(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.disk.capacity_bytes, rig.disk.foreign_bytes = 10_000, 9_950
    rig.policy = msgspec.structs.replace(rig.policy, limit=10_000)
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        assert (rig.state(iris), rig.reason(iris)) == ("InsufficientStorage", "DiskFilledByOthers")
        rig.disk.foreign_bytes = 0
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.state(iris) == "Downloaded"


def test_a_wrong_digest_is_an_error_and_publishes_nothing(rig: NodeRig) -> None:
    iris = msgspec.structs.replace(rig.model("iris"), digest="blake3:00")
    rig.assign(iris)
    rig.settle(600)
    assert (rig.state(iris), rig.reason(iris)) == ("DownloadError", "DigestMismatch")
    assert rig.published(iris) == {}
    # It is not downloaded over and over.
    assert rig.mover.bytes_moved == 100


def test_a_digest_that_is_put_right_is_tried_at_once(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(msgspec.structs.replace(iris, digest="blake3:00"))

    async def scenario() -> None:
        rig.start()
        await rig.sleep(60)
        rig.assign(iris)
        await rig.sleep(10)

    rig.run(scenario)
    assert rig.state(iris) == "Downloaded"


def test_a_hostile_listing_is_refused(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.source.put("s3://models/iris/../evil", b"x")
    rig.assign(iris)
    rig.settle()
    assert (rig.state(iris), rig.reason(iris)) == ("DownloadError", "HostileName")


def test_a_scheme_without_driver_says_which_there_are(rig: NodeRig) -> None:
    iris = msgspec.structs.replace(rig.model("iris"), source_model_uri="ftp://models/iris")
    rig.assign(iris)
    rig.settle()
    status = rig.status(iris)
    assert status is not None
    assert status.reason == "UnsupportedScheme"
    assert "s3" in status.message


def test_a_conflict_is_resolved_with_the_newer_object(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)
    rig.cluster.faults.fail("update_status", Conflict("stale"), times=2)
    rig.settle()
    assert rig.state(iris) == "Downloaded"


def test_an_api_server_that_is_away_costs_no_download(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)
    rig.cluster.faults.fail("update_status", ApiUnavailable("away"), times=5)
    rig.settle(120)
    assert rig.state(iris) == "Downloaded"
    assert rig.mover.bytes_moved == 100


def test_an_eviction_waits_until_it_has_been_told(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.cluster.faults.fail("update_status", ApiUnavailable("away"), times=None)
        rig.assign()
        await rig.sleep(60)
        assert rig.published(iris) == rig.expected(iris)
        rig.cluster.faults.heal()
        await rig.sleep(60)

    rig.run(scenario)
    assert rig.published(iris) == {}


def test_an_eviction_is_called_off_for_a_pod_that_the_watch_has_not_shown(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        # The watch is deaf from here on; only a list tells.
        rig.cluster._watches = [watch for watch in rig.cluster._watches if "Pod" not in str(watch._selection)]
        rig.start_pod("pod", iris)
        rig.assign()
        await rig.sleep(20)
        assert rig.cluster.faults.count("list", "Pod/*") > 1
        assert rig.published(iris) == rig.expected(iris)

    rig.run(scenario)


def test_what_happens_is_told_in_events(rig: NodeRig) -> None:
    iris = rig.model("iris")
    rig.assign(iris)

    async def scenario() -> None:
        rig.start()
        await rig.sleep(30)
        rig.assign()
        await rig.sleep(30)

    rig.run(scenario)
    assert {event.reason for event in rig.cluster.all(Event)} == {"Downloading", "Downloaded", "Evicted"}


def test_a_larger_model_than_declared_is_known_before_room_is_made(rig: NodeRig) -> None:
    iris, liar = rig.model("iris"), rig.model("liar", size_bytes=5000)
    rig.assign(iris, msgspec.structs.replace(liar, size=10, priority=9))
    rig.settle()
    assert rig.state(iris) == "Downloaded"
    assert rig.state(liar) == "InsufficientStorage"


def test_a_smaller_model_than_declared_fits(rig: NodeRig) -> None:
    iris = msgspec.structs.replace(rig.model("iris"), size="10Gi")
    rig.assign(iris)
    rig.settle()
    assert rig.state(iris) == "Downloaded"


def test_a_cache_that_is_made_again_is_tried_at_once(rig: NodeRig) -> None:
    iris = rig.model("iris")

    async def scenario() -> None:
        rig.source.faults.fail("list", SourceNotFound("there is no bucket models"), times=None)
        rig.assign(iris)
        rig.start()
        await rig.sleep(300)
        rig.assign()
        await rig.sleep(1)
        rig.source.faults.heal()
        rig.assign(iris)
        await rig.sleep(1)

    rig.run(scenario)
    assert rig.state(iris) == "Downloaded"


def test_a_digest_that_was_put_right_is_tried_at_once_and_its_failure_forgotten(rig: NodeRig) -> None:
    iris = msgspec.structs.replace(rig.model("iris"), digest="blake3:" + "0" * 64)

    async def scenario() -> None:
        rig.assign(iris)
        rig.start()
        await rig.sleep(30)
        assert rig.reason(iris) == "DigestMismatch"
        rig.source.faults.fail("list", SourceUnavailable("503"), times=None)
        rig.assign(msgspec.structs.replace(iris, digest=""))
        await rig.sleep(30)

    rig.run(scenario)
    assert rig.reason(iris) == "SourceUnavailable"
