"""What the steps of the story act on: the cluster, its models, and pods that tell what they have read."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from cachecore.errors import NotFound
from cachecore.ports import ClusterClient, Runtime
from cachecore.quantity import format_bytes
from cachecore.resources.core import Pod
from cachecore.resources.meta import R
from cachesim.demo import manifests
from cachesim.demo.manifests import Sizes
from cachesim.demo.models import Model
from cachesim.demo.outcome import DemoReport, StepFailed
from cachesim.demo.screen import Screen
from cachesim.demo.venue import Scene, Venue
from cachesim.demo.view import ClusterView
from cachesim.kserve.credentials import storage_environment
from cachesim.localcluster import S3Counters

# A slow machine moves 20 MB a second; below that, something is wrong.
_SLOWEST_BYTES_PER_SECOND = 20e6
_LEAST_TIMEOUT_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_GIVEN_UP = ("CrashLoopBackOff", "ErrImagePull", "RunContainerError")


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that has read its model. Seconds count from its creation: Ready, and every byte read."""

    pod: str
    node: str
    ready_seconds: float
    served_seconds: float
    digest: str
    bytes: int


class Stage:
    """One run of the story. Steps read and write it in their order."""

    def __init__(self, venue: Venue, runtime: Runtime, screen: Screen, report: DemoReport, models: list[Model]) -> None:
        self.venue = venue
        self.runtime = runtime
        self.screen = screen
        self.report = report
        self.model, *self.fillers, self.slow = models
        self.models = models
        self.sizes = Sizes(model_bytes=self.model.bytes_total)
        self.view = ClusterView(runtime, venue.client)
        self.lost_node = ""

    @property
    def client(self) -> ClusterClient:
        return self.venue.client

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.venue.nodes

    @property
    def scene(self) -> Scene:
        return self.venue.scene

    @property
    def pods(self) -> list[Pod]:
        """Those of the story."""
        return self.view.pods_of(self.scene.namespace)

    def pod(self, name: str) -> Pod | None:
        return self.view.pods.get(name, self.scene.namespace)

    async def apply_node_group(self, *, bandwidth_limit: int | None = None) -> None:
        group = manifests.node_group(self.scene, self.sizes.limit_bytes, bandwidth_limit=bandwidth_limit)
        await self.venue.apply(group)

    def name_of(self, key: str) -> str:
        """The name of the model with that key."""
        return next((model.name for model in self.models if model.key == key), key)

    def timeout_seconds(self, moved_bytes: int = 0) -> float:
        return _LEAST_TIMEOUT_SECONDS + moved_bytes / _SLOWEST_BYTES_PER_SECOND

    async def counters(self) -> S3Counters:
        return await self.venue.s3.counters()

    async def start_pod(self, name: str, model: Model) -> Served:
        """Create a pod that serves the model; answer when it has read all of it. Raises `StepFailed`."""
        environment = await storage_environment(self.client, self.scene.service_account, self.scene.namespace)
        wanted = manifests.pod(self.scene, name, model, environment)
        timeout_seconds = self.timeout_seconds(model.bytes_total)
        begun = self.runtime.monotonic()
        await self.client.create(wanted)
        pod = await self.view.until(
            lambda: self._ready(name), timeout_seconds, lambda: f"pod {name} is not ready: {self.why_not_ready(name)}"
        )
        ready_seconds = self.runtime.monotonic() - begun
        report = await self.read_report(pod, timeout_seconds)
        served_seconds = self.runtime.monotonic() - begun
        self._check_digest(name, model, report["digest"])
        return Served(
            pod=name,
            node=pod.spec.node_name,
            ready_seconds=ready_seconds,
            served_seconds=served_seconds,
            digest=report["digest"],
            bytes=report["bytes"],
        )

    async def read_report(self, pod: Pod, timeout_seconds: float) -> dict[str, Any]:
        """What the serving container of a pod has said of its model. Raises `StepFailed`."""
        deadline = self.runtime.monotonic() + timeout_seconds
        while self.runtime.monotonic() < deadline:
            if (report := await self.venue.reader_report(pod)) is not None:
                return report
            await self.runtime.sleep(_LOOK_SECONDS)
        raise StepFailed(f"pod {pod.name} has not read its model within {timeout_seconds:.0f} s")

    async def stop_pod(self, name: str) -> None:
        await self.client.delete(Pod, name, namespace=self.scene.namespace)
        await self.view.until(
            lambda: self.pod(name) is None,
            self.timeout_seconds(),
            lambda: f"pod {name} was deleted, and is still there",
        )

    async def download_everywhere(self, model: Model) -> float:
        """Wait, with a bar, until every node holds the model; answer the seconds. Raises `StepFailed`."""
        begun = self.runtime.monotonic()
        nodes, total_bytes = self.nodes, model.bytes_total * len(self.nodes)
        with self.screen.progress(model.name, total_bytes) as moved:

            def everywhere() -> bool:
                copies = [self.view.copy(node, model.key) for node in nodes]
                moved(min(total_bytes, sum(copy.bytes_done for copy in copies if copy is not None)))
                return len(self.view.holders(model.key)) >= len(nodes)

            await self.view.until(everywhere, self.timeout_seconds(total_bytes), lambda: self._why_not_held(model))
        return self.runtime.monotonic() - begun

    async def delete_object(self, kind: type[R], name: str, namespace: str = "") -> None:
        with contextlib.suppress(NotFound):
            await self.client.delete(kind, name, namespace=namespace)

    def why_not_ready(self, name: str) -> str:
        """What the pod itself says."""
        pod = self.pod(name)
        if pod is None:
            return "it is not there"
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            for state in (status.state, status.last_state):
                known = state.get("waiting") or state.get("terminated") or {}
                if known.get("message") or known.get("reason") in _GIVEN_UP:
                    return f"{status.name}: {known.get('reason', '')} {known.get('message', '')}".strip()
        for condition in pod.status.conditions:
            if condition.status == "False" and condition.message:
                return f"{condition.reason}: {condition.message}"
        return f"its phase is {pod.status.phase or 'unknown'}"

    def _ready(self, name: str) -> Pod | None:
        pod = self.pod(name)
        if pod is None:
            return None
        waiting = [
            status.state.get("waiting", {}).get("reason", "")
            for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
        ]
        if pod.status.phase == "Failed" or any(reason in _GIVEN_UP for reason in waiting):
            raise StepFailed(f"pod {name} does not start: {self.why_not_ready(name)}")
        return pod if pod.ready else None

    def _check_digest(self, pod: str, model: Model, digest: str) -> None:
        if digest != model.digest:
            raise StepFailed(f"pod {pod} read {digest}, but {model.name} is {model.digest}")

    def _why_not_held(self, model: Model) -> str:
        said = []
        for node in self.nodes:
            copy = self.view.copy(node, model.key)
            if copy is None:
                said.append(f"{node} knows nothing of it")
            else:
                done = f"{format_bytes(copy.bytes_done)} of {format_bytes(copy.bytes_total)}"
                said.append(f"{node} {copy.state} {done} {copy.reason} {copy.message}".rstrip())
        return f"{model.name} is on {len(self.view.holders(model.key))} of {len(self.nodes)} nodes: {'; '.join(said)}"
