"""Pods that come and go: starts are a Poisson process, models follow a Zipf law, each pod is deleted in its time.

Traffic with patterns is drawn beforehand, as for a plan: then a pod's lifetime begins when it is Ready.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from cachecore.errors import AlreadyExists, ApiError, NotFound
from cachecore.names import (
    DEFAULT_MODEL_MOUNT_PATH,
    INFERENCE_SERVICE_LABEL,
    STORAGE_INITIALIZER_CONTAINER,
    STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION,
    STORAGE_INITIALIZER_VOLUME,
    pod_keys,
)
from cachecore.ports import ClusterClient, Runtime, Signal, Task, WatchEventType
from cachecore.resources.core import Container, Pod, PodSpec, Volume, VolumeMount
from cachecore.resources.meta import ObjectMeta
from cachecore.store.layout import published_path
from cachesim.simulation.scenario import Model, Scenario, Traffic
from cachesim.simulation.units import duration_seconds
from cachesim.simulation.world import World

if TYPE_CHECKING:
    from cachesim.planning.starts import Starts

NAMESPACE = "serving"


def model_uri(model: Model) -> str:
    return f"s3://models/{model.name}"


def predictor_pod(name: str, model: Model, namespace: str = NAMESPACE, node: str = "") -> Pod:
    """A pod as KServe's controller and pod webhook leave it: the storage initializer fills an emptyDir."""
    uri = model_uri(model)
    provision = VolumeMount(name=STORAGE_INITIALIZER_VOLUME, mount_path=DEFAULT_MODEL_MOUNT_PATH)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            labels={INFERENCE_SERVICE_LABEL: model.name},
            annotations={STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION: uri},
        ),
        spec=PodSpec(
            node_selector={"kubernetes.io/hostname": node} if node else {},
            init_containers=(
                Container(
                    name=STORAGE_INITIALIZER_CONTAINER,
                    image="kserve/storage-initializer",
                    args=(uri, DEFAULT_MODEL_MOUNT_PATH),
                    volume_mounts=(provision,),
                ),
            ),
            containers=(
                Container(
                    name="kserve-container",
                    image="server",
                    volume_mounts=(
                        VolumeMount(
                            name=STORAGE_INITIALIZER_VOLUME, mount_path=DEFAULT_MODEL_MOUNT_PATH, read_only=True
                        ),
                    ),
                ),
            ),
            volumes=(Volume(name=STORAGE_INITIALIZER_VOLUME, empty_dir={}),),
        ),
    )


def make_workload(
    runtime: Runtime, client: ClusterClient, world: World, scenario: Scenario, traffic: Traffic, seed: int
) -> Workload:
    """The workload of a scenario: traffic with patterns is drawn beforehand."""
    starts = None
    if not traffic.is_plain:
        # Imported late: numpy brings threads, which a campaign that forks its workers should not have.
        from cachesim.planning.traffic import draw_starts

        starts = draw_starts(scenario, traffic, seed)
    return Workload(runtime, client, world, traffic, scenario.models, starts)


class Workload:
    """Starts and ends pods, and notes how long each took to be Ready and whether its model was already there."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        world: World,
        traffic: Traffic,
        models: tuple[Model, ...],
        starts: Starts | None = None,
    ) -> None:
        """`starts` are what is replayed; None lets them be drawn one by one, as the traffic says."""
        self._runtime = runtime
        self._client = client
        self._world = world
        self._traffic = traffic
        self._models = models
        self._starts = starts
        self._ready: dict[str, Signal] = {}
        self._weights = [1 / rank**traffic.zipf for rank in range(1, len(models) + 1)]
        self._created_at: dict[str, float] = {}
        self._hit: dict[str, bool] = {}
        self._starting: Task[None] | None = None
        self._living: dict[str, Task[None]] = {}
        self.start_seconds: list[float] = []
        self.hits = 0

    def begin(self) -> None:
        self._starting = self._runtime.spawn(self.run(), name="workload")

    def end(self) -> None:
        """No pod comes or goes any more: those that are there stay."""
        for task in [self._starting, *self._living.values()]:
            if task is not None:
                task.cancel()

    async def run(self) -> None:
        """Start pods until cancelled."""
        if self._starts is not None:
            await self._replay(self._starts)
            return
        await self._runtime.sleep(duration_seconds(self._traffic.begin))
        number = 0
        while True:
            await self._runtime.sleep(self._runtime.random.expovariate(self._traffic.starts_per_hour / 3600))
            number += 1
            model = self._runtime.random.choices(self._models, weights=self._weights)[0]
            name = f"{model.name}-{number}"
            self._living[name] = self._runtime.spawn(self._live(predictor_pod(name, model)), name=f"pod {name}")

    async def _replay(self, starts: Starts) -> None:
        begin = self._runtime.monotonic()
        for number, (seconds, index, lifetime) in enumerate(
            zip(starts.seconds, starts.models, starts.lifetime_seconds, strict=True), 1
        ):
            await self._runtime.sleep(begin + float(seconds) - self._runtime.monotonic())
            model = self._models[int(index)]
            pod = predictor_pod(f"{model.name}-{number}", model)
            self._ready[pod.name] = self._runtime.signal()
            task = self._runtime.spawn(self._live_once_ready(pod, float(lifetime)), name=f"pod {pod.name}")
            self._living[pod.name] = task

    async def observe(self) -> None:
        """Watch the pods, and note when they are bound and Ready; until cancelled."""
        page = await self._client.list(Pod, namespace=NAMESPACE)
        version = page.resource_version
        while True:
            watch = await self._client.watch(Pod, namespace=NAMESPACE, resource_version=version)
            while (event := await watch.receive()) is not None:
                version = event.resource_version
                if event.type is not WatchEventType.BOOKMARK:
                    self._note(event.resource)

    async def _live(self, pod: Pod) -> None:
        lifetime = self._runtime.random.expovariate(1 / duration_seconds(self._traffic.lifetime))
        self._created_at[pod.name] = self._runtime.monotonic()
        await self._insist(lambda: self._client.create(pod))
        await self._end_after(pod, lifetime)

    async def _live_once_ready(self, pod: Pod, lifetime: float) -> None:
        self._created_at[pod.name] = self._runtime.monotonic()
        await self._insist(lambda: self._client.create(pod))
        await self._ready[pod.name].wait()
        del self._ready[pod.name]
        await self._end_after(pod, lifetime)

    async def _end_after(self, pod: Pod, lifetime: float) -> None:
        await self._runtime.sleep(lifetime)
        await self._insist(lambda: self._client.delete(Pod, pod.name, namespace=NAMESPACE))
        self._living.pop(pod.name, None)

    async def _insist(self, request: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Repeat a request until the API server took it, or answers that there is nothing left to do."""
        while True:
            try:
                await request()
            except (NotFound, AlreadyExists):
                return
            except ApiError:
                await self._runtime.sleep(1.0)
            else:
                return

    def _note(self, pod: Pod) -> None:
        if pod.spec.node_name and pod.name not in self._hit:
            keys = pod_keys(pod)
            disk = self._world.disks[pod.spec.node_name]
            self._hit[pod.name] = bool(keys) and all(disk.find(published_path(key)) is not None for key in keys)
        created_at = self._created_at.get(pod.name)
        if pod.ready and created_at is not None:
            del self._created_at[pod.name]
            self.start_seconds.append(self._runtime.monotonic() - created_at)
            self.hits += self._hit[pod.name]
            if pod.name in self._ready:
                self._ready[pod.name].set()
