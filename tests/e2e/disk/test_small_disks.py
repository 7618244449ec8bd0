"""The agent on real, small file systems that fill up, go read-only, fail, and are unmounted under it.

Each trouble gives a state and a reason, and heals by itself when it passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cacheagent import reconciler
from cacheagent.adapters.part_mover import RangeMover
from cacheagent.adapters.posix_disk import PosixDisk
from cacheagent.agent import Agent
from cacheagent.assembly import TransferLimits
from cacheagent.options import AgentOptions
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.controller.queue import Backoff
from cachecore.names import storage_key
from cachecore.ports import Allocation, ObjectInfo
from cachecore.resources.core import Event
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import (
    LocalModelInfo,
    LocalModelNode,
    LocalModelNodeSpec,
    LocalModelNodeStatus,
    NodeStoragePolicy,
)
from cachecore.store import layout
from cachecore.store.verify import VerifyReport, verify_copy
from cachecore.testing import FakeCluster, FakeObjectStore, FakeObjectStores

if TYPE_CHECKING:
    from tests.e2e.disk.conftest import Mounts

NODE = "node-a"
MIB = 2**20
DEADLINE_SECONDS = 20.0


class Source(FakeObjectStore):
    """A source that does something, once, when it has been read for so many times."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.then: dict[int, Callable[[], object]] = {}
        self.delay_seconds = 0.0

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        self.reads += 1
        if action := self.then.pop(self.reads, None):
            action()
        await asyncio.sleep(self.delay_seconds)
        return await super().read(source, offset_bytes, length_bytes)


class Disk(PosixDisk):
    """The production disk, on which somebody else does something, once, before room is taken."""

    before_allocation: Callable[[], object] | None = None

    async def allocate(self, files: Sequence[Allocation]) -> None:
        action, self.before_allocation = self.before_allocation, None
        if action is not None:
            action()
        await super().allocate(files)


class Node:
    """An agent with the production disk below `root`, its cluster and its source in memory."""

    def __init__(self, root: Path) -> None:
        self.runtime = AsyncioRuntime(seed=0)
        self.cluster = FakeCluster(self.runtime)
        self.source = Source()
        self.disk = Disk(str(root))
        self._mover = RangeMover(self.disk, connections=2)
        self._options = AgentOptions(
            node_name=NODE,
            transfer=TransferLimits(part_bytes=MIB // 4),
            connections_initial=1,
            connections_max=1,
            rescan_seconds=0.2,
            retry=Backoff(base_seconds=0.05, max_seconds=0.2),
            progress_seconds=0.05,
            remember_seconds=0.05,
            start_jitter_seconds=0.0,
        )

    def model(self, name: str, size_bytes: int, files: int = 1) -> LocalModelInfo:
        uri = f"s3://models/{name}"
        for number in range(files):
            self.source.put(f"{uri}/file-{number}", os.urandom(size_bytes // files))
        return LocalModelInfo(source_model_uri=uri, model_name=name, size=size_bytes)

    def assign(self, *entries: LocalModelInfo) -> None:
        spec = LocalModelNodeSpec(local_models=entries, storage=NodeStoragePolicy(limit="1Gi"))
        self.cluster.add(LocalModelNode(metadata=ObjectMeta(name=NODE), spec=spec))

    async def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        agent = self.start()
        try:
            await scenario
        finally:
            agent.cancel()
            await asyncio.wait([agent])
            self._mover.close()
            self.disk.close()

    def start(self) -> asyncio.Task[None]:
        stores = FakeObjectStores({"s3": self.source})
        agent = Agent(self.runtime, self.cluster, self.disk, stores, self._mover, self._options)
        return asyncio.create_task(agent.run())

    @property
    def status(self) -> LocalModelNodeStatus:
        node = self.cluster.peek(LocalModelNode, NODE)
        assert node is not None
        return node.status

    def word(self, entry: LocalModelInfo) -> str:
        """State and reason."""
        key = storage_key(entry.source_model_uri)
        found = next((model for model in self.status.models if model.key == key), None)
        return f"{found.state} {found.reason}".strip() if found is not None else ""

    async def until(self, entry: LocalModelInfo, *words: str, storage: str = "") -> None:
        """Wait for one of these states with its reason, and for the reason of the condition StorageReady."""

        def reached() -> bool:
            conditions = {condition.type: condition.reason for condition in self.status.conditions}
            return self.word(entry) in words and storage in ("", conditions.get("StorageReady", ""))

        for _ in range(int(DEADLINE_SECONDS / 0.02)):
            if reached():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{self.word(entry)!r} {self.status.conditions} instead of {words} {storage}")

    async def verified(self, entry: LocalModelInfo) -> VerifyReport:
        return await verify_copy(self.disk, storage_key(entry.source_model_uri))


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "DISK_RETRY_SECONDS", 0.05)


def fill(root: Path, *, but_bytes: int = 0) -> Path:
    """Somebody else takes what is left."""
    foreign = root / "foreign"
    found = os.statvfs(root)
    left_bytes = found.f_bavail * found.f_frsize - but_bytes
    with foreign.open("ab", buffering=0) as file:
        for step_bytes in (MIB, 64 * 1024, 1024):
            # A file system tells of more than it gives.
            with contextlib.suppress(OSError):
                while left_bytes >= step_bytes:
                    file.write(bytes(step_bytes))
                    left_bytes -= step_bytes
    return foreign


def use_up_inodes(root: Path) -> Path:
    folder = root / "foreign"
    folder.mkdir()
    with contextlib.suppress(OSError):
        for number in range(10_000):
            (folder / str(number)).touch()
    return folder


def test_a_disk_that_others_have_filled_is_waited_for(mounts: Mounts) -> None:
    mounts.tmpfs("size=8m")
    node = Node(mounts.root)
    iris = node.model("iris", 2 * MIB)
    foreign = fill(mounts.root, but_bytes=MIB)

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "InsufficientStorage DiskFilledByOthers")
        foreign.unlink()
        await node.until(iris, "Downloaded", storage="StorageUsable")

    asyncio.run(node.run(scenario()))


def test_room_is_taken_before_the_first_byte_and_given_back_when_it_is_not_enough(mounts: Mounts) -> None:
    mounts.image(mounts.make_image(32 * MIB))
    node = Node(mounts.root)
    huge, other = node.model("huge", 16 * MIB), node.model("other", 2 * MIB)
    node.disk.before_allocation = lambda: fill(mounts.root, but_bytes=8 * MIB)

    async def scenario() -> None:
        node.assign(huge)
        # The first when somebody looked just then.
        await node.until(huge, "InsufficientStorage DiskFilledByOthers", "DownloadError DiskFull")
        assert node.source.reads == 0
        node.assign(huge, other)
        await node.until(other, "Downloaded")
        (mounts.root / "foreign").unlink()
        await node.until(huge, "Downloaded", storage="StorageUsable")

    asyncio.run(node.run(scenario()))


def test_a_disk_that_others_fill_during_a_download_costs_no_byte_twice(mounts: Mounts) -> None:
    mounts.image(mounts.make_image(32 * MIB))
    node = Node(mounts.root)
    iris = node.model("iris", 4 * MIB)
    node.source.then[8] = lambda: fill(mounts.root)

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "DownloadError DiskFull")
        (mounts.root / "foreign").unlink()
        await node.until(iris, "Downloaded", storage="StorageUsable")
        assert (await node.verified(iris)).ok

    asyncio.run(node.run(scenario()))
    assert node.source.bytes_read <= 4 * MIB + MIB // 4


def test_a_file_system_without_inodes_is_told_from_a_full_one(mounts: Mounts) -> None:
    mounts.tmpfs("size=8m,nr_inodes=60")
    node = Node(mounts.root)
    iris, many = node.model("iris", MIB), node.model("many", MIB, files=20)

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "Downloaded")
        foreign = use_up_inodes(mounts.root)
        (foreign / "0").unlink()
        node.assign(iris, many)
        await node.until(many, "DownloadError InodesExhausted")
        assert node.word(iris) == "Downloaded"
        shutil.rmtree(foreign)
        await node.until(many, "Downloaded", storage="StorageUsable")

    asyncio.run(node.run(scenario()))


def test_a_file_system_without_inodes_at_the_start_is_a_condition(mounts: Mounts) -> None:
    mounts.tmpfs("size=8m,nr_inodes=20")
    foreign = use_up_inodes(mounts.root)
    node = Node(mounts.root)
    iris = node.model("iris", MIB)

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "DownloadError StorageUnreadable", storage="InodesExhausted")
        shutil.rmtree(foreign)
        await node.until(iris, "Downloaded", storage="StorageUsable")

    asyncio.run(node.run(scenario()))


def test_a_disk_that_turns_read_only_keeps_its_copies_and_refuses_new_ones(mounts: Mounts) -> None:
    mounts.tmpfs("size=8m")
    node = Node(mounts.root)
    iris, other = node.model("iris", MIB), node.model("other", MIB)

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "Downloaded")
        mounts.remount("ro")
        node.assign(iris, other)
        await node.until(other, "DownloadError DiskReadOnly", storage="DiskReadOnly")
        assert node.word(iris) == "Downloaded"
        mounts.remount("rw")
        await node.until(other, "Downloaded", storage="StorageUsable")

    asyncio.run(node.run(scenario()))


def test_a_mount_that_goes_leaves_the_disk_below_alone_and_nothing_is_fetched_again(mounts: Mounts) -> None:
    image = mounts.make_image(32 * MIB)
    mounts.image(image)
    node = Node(mounts.root)
    iris, other = node.model("iris", MIB), node.model("other", MIB)

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "Downloaded")
        mounts.unmount()
        node.assign(iris, other)
        await node.until(iris, "DownloadError StorageUnreadable", storage="DiskVanished")
        await node.until(other, "DownloadError StorageUnreadable")
        await asyncio.sleep(0.5)
        assert os.listdir(mounts.root) == []
        mounts.image(image)
        await node.until(iris, "Downloaded", storage="StorageUsable")
        await node.until(other, "Downloaded")

    asyncio.run(node.run(scenario()))
    assert node.source.bytes_read == 2 * MIB
    assert "StoreReplaced" not in {event.reason for event in node.cluster.all(Event)}


def test_a_mount_that_goes_during_a_download_is_waited_for(mounts: Mounts) -> None:
    image = mounts.make_image(32 * MIB)
    mounts.image(image)
    node = Node(mounts.root)
    iris = node.model("iris", 4 * MIB)
    node.source.then[8] = mounts.unmount

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "DownloadError StorageUnreadable", storage="DiskVanished")
        await asyncio.sleep(0.5)
        assert os.listdir(mounts.root) == []
        mounts.image(image)
        await node.until(iris, "Downloaded", storage="StorageUsable")
        assert (await node.verified(iris)).ok

    asyncio.run(node.run(scenario()))
    assert node.source.bytes_read <= 4 * MIB + 2 * MIB // 4


def test_a_disk_that_is_wiped_is_filled_again_and_it_is_told(mounts: Mounts) -> None:
    mounts.tmpfs("size=8m")
    node = Node(mounts.root)
    iris = node.model("iris", MIB)

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "Downloaded")
        before = node.status.store_id
        for entry in mounts.root.iterdir():
            shutil.rmtree(entry)
        for _ in range(500):
            if node.status.store_id != before:
                break
            await asyncio.sleep(0.02)
        await node.until(iris, "Downloaded", storage="StorageUsable")
        assert (await node.verified(iris)).ok

    asyncio.run(node.run(scenario()))
    assert "StoreReplaced" in {event.reason for event in node.cluster.all(Event)}


def test_what_a_failing_device_lost_is_fetched_again_though_the_page_cache_has_it(mounts: Mounts) -> None:
    image = mounts.make_image(32 * MIB, features="^resize_inode,^has_journal")
    mounts.image(image)
    node = Node(mounts.root)
    iris = node.model("iris", 4 * MIB)
    node.source.then[8] = lambda: mounts.resize_device(image, MIB)

    async def scenario() -> None:
        node.assign(iris)
        await node.until(iris, "DownloadError DiskFailure")
        assert not (mounts.root / layout.published_path(storage_key(iris.source_model_uri))).exists()
        mounts.resize_device(image, 32 * MIB)
        await node.until(iris, "Downloaded", storage="StorageUsable")
        mounts.unmount()
        mounts.image(image)
        assert (await node.verified(iris)).ok

    asyncio.run(node.run(scenario()))
