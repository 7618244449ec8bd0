"""A download goes on when its credentials change under it, and ends when they are meant to be refused."""

from __future__ import annotations

import base64

import msgspec
import pytest

from cacheagent.testing import PART_BYTES, NodeRig
from cachecore.errors import AccessDenied, ApiUnavailable
from cachecore.ports import Checksum, Credentials, ObjectInfo, ObjectStore
from cachecore.resources.core import Event, Secret
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import CopyState, LocalModelInfo, Storage
from cachecore.testing import FakeObjectStore

SIZE_BYTES = 100


def rotate(rig: NodeRig, key: str) -> None:
    entry = msgspec.json.encode({"access_key_id": key, "secret_access_key": f"{key}-secret"})
    rig.cluster.add(
        Secret(
            metadata=ObjectMeta(name="storage-config", namespace="localmodel-system"),
            data={"mine": base64.b64encode(entry).decode()},
        )
    )


class Door:
    """The rig's source, for those who have the key of the day."""

    def __init__(self, source: FakeObjectStore) -> None:
        self.source = source
        self.key = "old"
        self.opened: list[str] = []

    async def open(self, uri: str, credentials: Credentials) -> ObjectStore:
        self.opened.append(credentials.get("AWS_ACCESS_KEY_ID"))
        return Behind(self, self.opened[-1])


class Behind:
    def __init__(self, door: Door, key: str) -> None:
        self._door, self._key = door, key

    @property
    def _source(self) -> FakeObjectStore:
        if self._key != self._door.key:
            raise AccessDenied(f"the key {self._key} is refused")
        return self._door.source

    async def list(self, uri: str) -> list[ObjectInfo]:
        return await self._source.list(uri)

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        return await self._source.read(source, offset_bytes, length_bytes)

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        return await self._source.checksum(source)


@pytest.fixture
def door(rig: NodeRig) -> Door:
    rotate(rig, "old")
    door = Door(rig.source)
    rig.stores = door  # type: ignore[assignment]
    return door


@pytest.fixture
def iris(rig: NodeRig) -> LocalModelInfo:
    entry = msgspec.structs.replace(rig.model("iris", SIZE_BYTES), storage=Storage(key="mine"))
    rig.assign(entry)
    return entry


async def until_half(rig: NodeRig) -> None:
    rig.start()
    while rig.mover.bytes_moved < SIZE_BYTES // 2:
        await rig.sleep(0.001)


def troubles(rig: NodeRig) -> list[str]:
    return [event.reason for event in rig.cluster.all(Event) if event.type == "Warning"]


def test_rotated_credentials_go_on_where_the_old_ones_stopped(rig: NodeRig, door: Door, iris: LocalModelInfo) -> None:
    async def scenario() -> None:
        await until_half(rig)
        rotate(rig, "new")
        door.key = "new"
        await rig.sleep()

    rig.run(scenario)
    assert rig.published(iris) == rig.expected(iris)
    assert (door.opened, troubles(rig)) == (["old", "new"], [])
    assert rig.mover.bytes_moved == SIZE_BYTES


def test_credentials_that_are_rotated_twice_go_on_twice(rig: NodeRig, door: Door, iris: LocalModelInfo) -> None:
    async def scenario() -> None:
        await until_half(rig)
        for key in ("new", "newer"):
            rotate(rig, key)
            door.key = key
            while key not in door.opened:
                await rig.sleep(0.001)
        await rig.sleep()

    rig.run(scenario)
    assert rig.published(iris) == rig.expected(iris)
    assert (door.opened, troubles(rig)) == (["old", "new", "newer"], [])


def test_the_same_credentials_get_a_second_chance(rig: NodeRig, door: Door, iris: LocalModelInfo) -> None:
    rig.mover.faults.fail("move", AccessDenied("refused for a moment"), skip=5)
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)
    assert (door.opened, troubles(rig)) == (["old", "old"], [])


def test_a_refusal_that_is_meant_ends_the_attempt_and_keeps_what_has_come(
    rig: NodeRig, door: Door, iris: LocalModelInfo
) -> None:
    meant = rig.mover.faults.fail("move", AccessDenied("refused"), skip=5, times=None)
    rig.settle(1)
    status = rig.status(iris)
    assert status is not None
    assert (status.state, status.reason) == (CopyState.DOWNLOAD_ERROR, "AccessDenied")
    assert status.message == "refused; they are those of entry mine of secret localmodel-system/storage-config"
    rig.mover.faults.faults.remove(meant)
    rig.settle()
    assert rig.published(iris) == rig.expected(iris)
    assert rig.mover.bytes_moved <= SIZE_BYTES + PART_BYTES


def test_a_secret_that_is_gone_half_way_is_named(rig: NodeRig, door: Door, iris: LocalModelInfo) -> None:
    async def scenario() -> None:
        await until_half(rig)
        rig.cluster.remove(Secret, "storage-config", "localmodel-system")
        door.key = "new"
        await rig.sleep(1)

    rig.run(scenario)
    status = rig.status(iris)
    assert status is not None
    assert status.message == "secret localmodel-system/storage-config can't be read: NotFound"


def test_an_api_server_that_is_away_then_is_waited_for(rig: NodeRig, door: Door, iris: LocalModelInfo) -> None:
    async def scenario() -> None:
        await until_half(rig)
        rotate(rig, "new")
        door.key = "new"
        rig.cluster.faults.fail("get", ApiUnavailable("away"), "Secret/*")
        await rig.sleep(1)
        assert rig.reason(iris) == "CredentialsUnavailable"
        await rig.sleep()

    rig.run(scenario)
    assert rig.published(iris) == rig.expected(iris)
    assert rig.mover.bytes_moved == SIZE_BYTES


def test_a_source_that_grew_meanwhile_starts_over_with_more_room(
    rig: NodeRig, door: Door, iris: LocalModelInfo
) -> None:
    async def scenario() -> None:
        await until_half(rig)
        rotate(rig, "new")
        door.key = "new"
        rig.source.put(f"{iris.source_model_uri}/more.bin", bytes(SIZE_BYTES))
        await rig.sleep(1)
        assert rig.reason(iris) == "SourceChanged"
        await rig.sleep()

    rig.run(scenario)
    assert rig.published(iris) == rig.expected(iris)
