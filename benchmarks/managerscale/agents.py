"""The agents of all nodes in one: they hold at once what their nodes' specs list, and say so."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from cacheagent.metrics import AgentMetrics
from cacheagent.reporter import Reporter
from cachecore import names
from cachecore.conditions import set_condition
from cachecore.controller.controller import Controller, Result
from cachecore.controller.informer import Informer
from cachecore.ports import ClusterClient, Runtime
from cachecore.progress import bytes_text, copies_text
from cachecore.resources.serving import (
    MODEL_STATUS_OF_STATE,
    CopyState,
    LocalModelNode,
    LocalModelNodeStatus,
    ModelCopyStatus,
    NodeStorageStatus,
)
from cachecore.tasks import TaskGroup
from cachecore.timestamps import format_timestamp
from managerscale.objects import LIMIT_BYTES, MODEL_BYTES, digest_of

# As many requests under way as this: 1,000 agents would not send theirs in one instant either.
_REQUESTS_AT_ONCE = 32


def agent_status(local: LocalModelNode, version: str, now: float) -> LocalModelNodeStatus:
    """What a real agent writes when it has all that the spec lists: every field that it sets is set."""
    before = {report.key: report for report in local.status.models}
    uris = {names.storage_key(entry.source_model_uri): entry.source_model_uri for entry in local.spec.local_models}
    models = tuple(before[key] if key in before else _held(key, uris[key], now) for key in sorted(uris))
    used_bytes = sum(report.bytes_total for report in models)
    word = MODEL_STATUS_OF_STATE[CopyState.DOWNLOADED]
    return LocalModelNodeStatus(
        model_status=dict.fromkeys(sorted(entry.status_key for entry in local.spec.local_models), word),
        models=models,
        storage=NodeStorageStatus(limit=LIMIT_BYTES, used=used_bytes, available=LIMIT_BYTES - used_bytes),
        store_id=f"store-of-{local.name}",
        observed_generation=local.metadata.generation,
        agent_version=version,
        conditions=set_condition(
            local.status.conditions, type="StorageReady", status=True, reason="StorageUsable", now=now
        ),
        progress=copies_text(len(models), len(models)),
        usage=bytes_text(used_bytes, LIMIT_BYTES),
    )


def _held(key: str, uri: str, now: float) -> ModelCopyStatus:
    return ModelCopyStatus(
        key=key,
        source_model_uri=uri,
        state=CopyState.DOWNLOADED,
        bytes_done=MODEL_BYTES,
        bytes_total=MODEL_BYTES,
        digest=digest_of(uri),
        last_used_time=format_timestamp(now),
    )


class FakeAgents:
    """Each node's status is written by the real agents' `Reporter`, so conflicts are met as they meet them."""

    def __init__(self, runtime: Runtime, client: ClusterClient, version: str = "1.0.0") -> None:
        self._runtime = runtime
        self._client = client
        self._version = version
        self._metrics = AgentMetrics(CollectorRegistry())
        self._reporters: dict[str, Reporter] = {}
        # What each agent has said last, to be compared in the end with what became of it.
        self.said: dict[str, LocalModelNodeStatus] = {}
        self._informer = Informer(runtime, client, LocalModelNode, resync_seconds=0)
        self._informer.add_listener(self._on_change)
        self._controller: Controller[str] = Controller(runtime, "agents", self, workers=_REQUESTS_AT_ONCE)

    def roll(self, version: str) -> None:
        """Every agent is replaced by one of another version."""
        self._version = version
        for local in self._informer.list():
            self._controller.enqueue(local.name)

    def all_run(self, version: str) -> bool:
        return all(status.agent_version == version for status in self.said.values())

    def holding(self, models: int) -> int:
        """How many agents have said that they hold so many models."""
        return sum(len(status.models) == models for status in self.said.values())

    async def run(self) -> None:
        group = TaskGroup(self._runtime)
        group.spawn(self._informer.run(), name="agents-informer")
        group.spawn(self._controller.run(), name="agents-controller")
        await group.join()

    async def reconcile(self, request: str) -> Result:
        seen = self._informer.get(request)
        if seen is None:
            self._reporters.pop(request, None)
            self.said.pop(request, None)
            return Result()
        reporter = self._reporters.get(request)
        if reporter is None:
            reporter = Reporter(self._runtime, self._client, self._metrics, progress_seconds=2.0)
            self._reporters[request] = reporter
        newest = reporter.newest(seen)
        status = agent_status(newest, self._version, self._runtime.now())
        wait_seconds = await reporter.write(newest, status)
        self.said[request] = status
        return Result(requeue_after_seconds=wait_seconds)

    def _on_change(self, _: LocalModelNode | None, new: LocalModelNode | None) -> None:
        local = new if new is not None else _
        if local is not None:
            self._controller.enqueue(local.name)
