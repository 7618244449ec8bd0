"""An agent that is killed a hundred times: in downloads, publishes and evictions, on a real small file system.

Whenever a model is seen it is whole; what is fetched beyond the models is at most what was on its way at each kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec
import pytest

from cacheagent.adapters.posix_disk import PosixDisk
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.names import POD_KEY_LABEL, storage_key
from cachecore.resources.core import Container, Pod, PodSpec
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import LocalModelInfo, LocalModelNode, LocalModelNodeSpec, NodeStoragePolicy
from cachecore.store import layout
from cachecore.store.digest import digest_of_contents
from cachecore.store.verify import verify_copy
from cachesim.apiserver import ApiServer, InMemoryClient
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION
from cachesim.apiserver.http import HttpFront
from cachesim.definitions import load_definitions
from cachesim.host.kubeconfig import write_kubeconfig
from cachesim.host.loop_thread import LoopThread
from cachesim.localcluster.testing_nursery import Nursery
from cachesim.localcluster.testing_s3 import TestingS3

logger = logging.getLogger(__name__)

KILLS = 100
SEED = int(os.environ.get("LOCALMODEL_TEST_SEED", "20"))
NODE = "node-1"
PART_BYTES = 2**20
CONNECTIONS = 3
FILES = {"weights-1": 9 * 2**20 + 123, "weights-2": 6 * 2**20, "vocabulary": 700_000, "config": 2000, "sub/empty": 0}
MODELS = {
    f"model-{number}": {path: random.Random(f"{number}{path}").randbytes(size) for path, size in FILES.items()}
    for number in range(3)
}
MODEL_BYTES = sum(FILES.values())
# Two of the three fit.
LIMIT_BYTES = MODEL_BYTES * 27 // 10
S3_BYTES_PER_SECOND = 80 * 2**20
LONGEST_LIFE_SECONDS = 2.0
KEYS = {name: storage_key(f"s3://models/{name}") for name in MODELS}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of 96 MiB in a file."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("making a file system needs mkfs.ext4")
    image, root = tmp_path / "image", tmp_path / "store"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(96 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


class Api:
    """The API server with the one node's models, and the pods that use them."""

    def __init__(self, kubeconfig: Path) -> None:
        self._loop = LoopThread("api")
        self._server = ApiServer(AsyncioRuntime())
        self._client = InMemoryClient(self._server, user_agent="test")
        self._assigned: list[str] = []
        self._front = self._loop.run(self._start())
        write_kubeconfig(kubeconfig, url=self._front.url, authority=b"", user="agent", token="good")

    async def _start(self) -> HttpFront:
        for definition in load_definitions():
            await self._server.create(CUSTOM_RESOURCE_DEFINITION, definition)
        metadata = ObjectMeta(name=NODE)
        await self._client.create(LocalModelNode(metadata=metadata, spec=self._spec()))
        front = HttpFront(self._server, users_by_token={"good": "agent"})
        await front.start()
        return front

    def close(self) -> None:
        self._loop.run(self._front.stop())
        self._loop.stop()

    def use(self, model: str, before: str) -> None:
        """A pod that waits for the model replaces the one that has used another."""
        if model not in self._assigned:
            # Not all at once: what is on its way for nobody would be given up, and its bytes be nobody's fault.
            self._assigned.append(model)
        self._loop.run(self._replace(model, before))

    async def _replace(self, model: str, before: str) -> None:
        node = await self._client.get(LocalModelNode, NODE)
        await self._client.update(msgspec.structs.replace(node, spec=self._spec()))
        if before:
            await self._client.delete(Pod, before, namespace="default", grace_period_seconds=0)
        metadata = ObjectMeta(name=model, namespace="default", labels={POD_KEY_LABEL: KEYS[model]})
        spec = PodSpec(node_name=NODE, containers=(Container(name="main", image="main"),))
        await self._client.create(Pod(metadata=metadata, spec=spec))

    def _spec(self) -> LocalModelNodeSpec:
        models = [LocalModelInfo(source_model_uri=f"s3://models/{name}", model_name=name) for name in self._assigned]
        return LocalModelNodeSpec(local_models=tuple(models), storage=NodeStoragePolicy(limit=LIMIT_BYTES))


class Watcher:
    """Looks at what pods would see, all the time, in a thread of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.published = dict.fromkeys(MODELS, 0)
        self.looks = 0
        self.problems: list[str] = []
        self._seen: dict[str, tuple[int, int]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def evictions(self) -> int:
        return sum(self.published.values()) - len(self._seen)

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            for model in MODELS:
                self._look(model)

    def _look(self, model: str) -> None:
        folder = self.root / layout.published_path(KEYS[model])
        identity = _identity(folder)
        new = identity is not None and self._seen.get(model) != identity
        if identity is None:
            self._seen.pop(model, None)
            return
        problem = _difference(folder, MODELS[model], contents=new)
        if _identity(folder) != identity:
            # It went while we looked. Pods that use it would have kept it.
            return
        self.looks += 1
        if problem:
            self.problems.append(f"{model}: {problem}")
        if new:
            self._seen[model] = identity
            self.published[model] += 1


def _identity(folder: Path) -> tuple[int, int] | None:
    """Of one publication: a rename changes the time."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


def _difference(folder: Path, expected: dict[str, bytes], *, contents: bool) -> str:
    try:
        found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}
        if found.keys() != expected.keys():
            return f"there are {sorted(found)}"
        for path, content in expected.items():
            if found[path].stat().st_size != len(content):
                return f"{path} has {found[path].stat().st_size} bytes"
            if contents and found[path].read_bytes() != content:
                return f"{path} has another content"
    except FileNotFoundError as error:
        return f"{error.filename} went"
    return ""


class Storm:
    """Kills one agent after the other; when a model is published, a pod waits for the next one."""

    def __init__(self, s3: TestingS3, api: Api, nursery: Nursery, root: Path) -> None:
        self._s3 = s3
        self._api = api
        self._nursery = nursery
        self._root = root
        self._chance = random.Random(SEED)
        self._wanted = ""
        self._use_next()

    def run(self, kills: int) -> None:
        for _ in range(kills):
            self._nursery.start()
            self._wait_for_a_moment()
            self._nursery.kill()
            if self.done:
                self._use_next()

    @property
    def done(self) -> bool:
        return self._published(self._wanted)

    def _published(self, model: str) -> bool:
        return (self._root / layout.published_path(KEYS[model])).exists()

    def _use_next(self) -> None:
        before, names = self._wanted, list(MODELS)
        self._wanted = names[(names.index(before) + 1) % len(names)] if before else names[0]
        self._api.use(self._wanted, before)

    def _moments(self) -> list[Callable[[], bool]]:
        """What a kill may wait for: as many bytes, and the steps of a publish and of an eviction as the disk shows."""
        key = KEYS[self._wanted]
        manifest, trash = self._root / layout.manifest_path(key), self._root / layout.TRASH_PATH
        journal = self._root / layout.staging_journal_path(key)
        enough_bytes = self._s3.total_sent_bytes() + self._chance.randrange(MODEL_BYTES)
        began = time.monotonic()
        life_seconds = self._chance.uniform(0, 0.5)
        return [
            lambda: self._s3.total_sent_bytes() >= enough_bytes,
            lambda: self._s3.total_sent_bytes() >= enough_bytes,
            lambda: self._s3.total_sent_bytes() >= enough_bytes,
            lambda: time.monotonic() - began >= life_seconds,
            journal.exists,
            manifest.exists,
            lambda: self.done,
            lambda: trash.is_dir() and any(trash.iterdir()),
        ]

    def _wait_for_a_moment(self) -> None:
        holds = self._chance.choice(self._moments())
        limit = time.monotonic() + LONGEST_LIFE_SECONDS
        while time.monotonic() < limit and not holds() and not self.done:
            time.sleep(0.001)
        time.sleep(self._chance.choice([0.0, self._chance.uniform(0, 0.003), self._chance.uniform(0, 0.03)]))

    def settle(self) -> None:
        """One more agent ends what is under way, and lives until two models are there, which is all that fit."""
        self._nursery.start()
        limit = time.monotonic() + 30
        while not self.done or sum(map(self._published, MODELS)) < 2:
            assert time.monotonic() < limit, "the last agent does not end what the others have begun"
            time.sleep(0.02)


@contextlib.contextmanager
def storm_over(root: Path, home: Path) -> Iterator[tuple[Storm, TestingS3, Watcher]]:
    kubeconfig = home / "kubeconfig"
    flags = ["--kubeconfig", str(kubeconfig), "--node-name", NODE, "--root", str(root), "--log-level", "warning"]
    flags += ["--address", "127.0.0.1", "--port", "0", "--connections", str(CONNECTIONS), "--progress-seconds", "0.5"]
    flags += ["--start-jitter-seconds", "0"]
    with contextlib.ExitStack() as stack:
        s3 = stack.enter_context(TestingS3())
        s3.bytes_per_second = S3_BYTES_PER_SECOND
        for model, contents in MODELS.items():
            for path, content in contents.items():
                s3.put(f"models/{model}/{path}", content)
        api = Api(kubeconfig)
        stack.callback(api.close)
        nursery = Nursery(flags, part_bytes=PART_BYTES, environment=s3.environment, log=home / "agent.log")
        stack.enter_context(nursery)
        watcher = stack.enter_context(Watcher(root))
        yield Storm(s3, api, nursery, root), s3, watcher


async def verified(root: Path) -> dict[str, str]:
    """The models that are there, and the digest that their bytes have."""
    disk = PosixDisk(str(root))
    try:
        reports = {name: await verify_copy(disk, KEYS[name]) for name in MODELS}
    finally:
        disk.close()
    return {name: report.digest for name, report in reports.items() if not report.found}


def test_a_hundred_kills_show_no_part_of_a_model_and_cost_little(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=__name__)
    with storm_over(root, tmp_path) as (storm, s3, watcher):
        storm.run(KILLS)
        storm.settle()
        sent_bytes = s3.total_sent_bytes()
    downloads = sum(watcher.published.values())
    extra_bytes = sent_bytes - downloads * MODEL_BYTES
    logger.info("seed %d: %d downloads, %d evictions", SEED, downloads, watcher.evictions)
    logger.info("%.2f parts came in vain for each kill", extra_bytes / KILLS / PART_BYTES)
    logger.info("the agents said:\n%s", (tmp_path / "agent.log").read_text())
    assert watcher.problems == []
    there = asyncio.run(verified(root))
    assert there == {name: digest_of_contents(MODELS[name], PART_BYTES) for name in there}
    assert len(there) == 2
    assert watcher.evictions >= 5
    assert extra_bytes <= KILLS * CONNECTIONS * PART_BYTES
