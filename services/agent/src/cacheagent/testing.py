"""One node for tests: an agent over the fakes, and what a test arranges and sees around it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from cacheagent.agent import Agent
from cacheagent.assembly import TransferLimits
from cacheagent.options import AgentOptions
from cachecore.controller.queue import Backoff
from cachecore.names import POD_KEY_LABEL, storage_key
from cachecore.ports import Task
from cachecore.resources.core import Pod, PodSpec, PodStatus
from cachecore.resources.meta import ObjectMeta
from cachecore.resources.serving import (
    CopyState,
    LocalModelInfo,
    LocalModelNode,
    LocalModelNodeSpec,
    ModelCopyStatus,
    NodeStoragePolicy,
)
from cachecore.store import layout
from cachecore.testing import (
    FakeCluster,
    FakeDisk,
    FakeObjectStore,
    FakeObjectStores,
    FakePartMover,
    VirtualRuntime,
)
from cachecore.timestamps import format_timestamp

T = TypeVar("T")

NODE = "node-a"
PART_BYTES = 8


class NodeRig:
    """A node called `node-a`. Models are made of 8-byte parts, so that a few bytes have several."""

    def __init__(self, *, capacity_bytes: int = 1 << 20, limit_bytes: int = 1000, seed: int = 0) -> None:
        self.runtime = VirtualRuntime(seed=seed)
        self.cluster = FakeCluster(self.runtime)
        self.disk = FakeDisk(capacity_bytes)
        self.source = FakeObjectStore()
        self.stores = FakeObjectStores({"s3": self.source})
        self.mover = FakePartMover(self.disk, self.runtime, seconds_per_byte=0.001)
        self.policy = NodeStoragePolicy(limit=limit_bytes)
        self.options = AgentOptions(
            node_name=NODE,
            transfer=TransferLimits(part_bytes=PART_BYTES, backoff_seconds=0.1),
            start_jitter_seconds=0.0,
            connections_initial=2,
            connections_max=2,
            retry=Backoff(base_seconds=2.0, max_seconds=60.0),
        )
        self._running: Task[None] | None = None

    # What a test arranges.

    def model(self, name: str, size_bytes: int = 100, files: int = 1) -> LocalModelInfo:
        """A model in the store, and the entry that asks for it."""
        uri = f"s3://models/{name}"
        for number in range(files):
            content = bytes((number + index + len(name)) % 251 for index in range(size_bytes // files))
            self.source.put(f"{uri}/file-{number}.bin", content)
        return LocalModelInfo(source_model_uri=uri, model_name=name, size=size_bytes)

    def assign(self, *entries: LocalModelInfo) -> None:
        """What the manager does: the whole spec at once."""
        spec = LocalModelNodeSpec(local_models=entries, storage=self.policy)
        node = self.cluster.peek(LocalModelNode, NODE)
        if node is None:
            self.cluster.add(LocalModelNode(metadata=ObjectMeta(name=NODE), spec=spec))
            return
        metadata = msgspec.structs.replace(node.metadata, generation=node.metadata.generation + 1)
        self.cluster.add(msgspec.structs.replace(node, metadata=metadata, spec=spec))

    def start_pod(self, name: str, entry: LocalModelInfo) -> None:
        """A pod of this node that carries the model's key."""
        self.cluster.add(
            Pod(
                metadata=ObjectMeta(
                    name=name,
                    namespace="team",
                    labels={POD_KEY_LABEL: storage_key(entry.source_model_uri)},
                    creation_timestamp=format_timestamp(self.runtime.now()),
                ),
                spec=PodSpec(node_name=NODE),
                status=PodStatus(phase="Running"),
            )
        )

    def stop_pod(self, name: str) -> None:
        self.cluster.remove(Pod, name, "team")

    def agent(self) -> Agent:
        """An agent as it starts: it knows nothing but its ports."""
        return Agent(self.runtime, self.cluster, self.disk, self.stores, self.mover, self.options)

    def start(self) -> None:
        self._running = self.runtime.spawn(self.agent().run(), name="agent")

    def kill(self) -> None:
        """The agent's process is gone; the disk stays as it is."""
        if self._running is not None:
            self._running.cancel()

    def run(self, scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self.runtime.run(scenario())

    def settle(self, seconds: float = 60.0) -> None:
        """An agent works for that long, and is killed."""

        async def scenario() -> None:
            self.start()
            await self.runtime.sleep(seconds)
            self.kill()

        self.run(scenario)

    async def sleep(self, seconds: float = 60.0) -> None:
        await self.runtime.sleep(seconds)

    # What a test sees.

    @property
    def node(self) -> LocalModelNode:
        node = self.cluster.peek(LocalModelNode, NODE)
        if node is None:
            raise AssertionError("nothing has been assigned yet")
        return node

    def status(self, entry: LocalModelInfo) -> ModelCopyStatus | None:
        key = storage_key(entry.source_model_uri)
        return next((model for model in self.node.status.models if model.key == key), None)

    def state(self, entry: LocalModelInfo) -> CopyState | None:
        status = self.status(entry)
        return None if status is None else status.state

    def reason(self, entry: LocalModelInfo) -> str:
        status = self.status(entry)
        return "" if status is None else status.reason

    def published(self, entry: LocalModelInfo) -> dict[str, bytes]:
        """The files that a pod would see, by their path in the model."""
        root = f"{layout.published_path(storage_key(entry.source_model_uri))}/"
        return {path.removeprefix(root): content for path, content in self.disk.files.items() if path.startswith(root)}

    def expected(self, entry: LocalModelInfo) -> dict[str, bytes]:
        """The files that the source has."""
        root = f"{entry.source_model_uri}/"
        return {
            path.removeprefix(root): content for path, content in self.source.objects.items() if path.startswith(root)
        }

    def status_writes(self) -> int:
        return self.cluster.faults.count("update_status")
