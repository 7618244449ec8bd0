"""The story from its first step to its last, and what is reported of it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.errors import InvalidInput, LocalModelError
from cachecore.ports import Runtime
from cachecore.quantity import format_bytes
from cachesim.demo import ending, pressing, starting
from cachesim.demo.manifests import Sizes
from cachesim.demo.models import Model, describe_model, generate_model
from cachesim.demo.outcome import DemoReport, ModelReport, S3Report, StepOutcome
from cachesim.demo.screen import Screen
from cachesim.demo.stage import Stage
from cachesim.localcluster import LocalCluster, LocalClusterOptions

MODEL_NAME = "demo-llm"
LEAST_NODES = 2
_FILLERS = 3
_SLOW_FILES = 8
_LOG_LINES = 200
_MOST_COMPLAINTS = 4

Step = tuple[str, str, Callable[[Stage], Awaitable[str]]]

STEPS: tuple[Step, ...] = (
    ("seed", "Put a model into S3", starting.seed),
    ("start-uncached", "Start a pod without the cache", starting.start_uncached),
    ("apply-cache", "Apply a node group and a cache", starting.apply_cache),
    ("download", "The nodes' agents download the model", starting.download),
    ("start-cached", "Start the same pod with the cache", starting.start_cached),
    ("start-more", "Start more pods, from an InferenceService", starting.start_more),
    ("pressure", "Cache more models than there is room", pressing.pressure),
    ("come-back", "Use the evicted model again", pressing.come_back),
    ("crash", "kill -9 an agent in the middle of a download", pressing.crash),
    ("lose-node", "Lose a node", ending.lose_node),
    ("return-node", "The node comes back, with its disk", ending.return_node),
    ("delete-all", "Delete everything", ending.delete_all),
)


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`model` is a directory of the user's own; empty: one of `model_bytes` is generated."""

    cluster: LocalClusterOptions
    model_bytes: int = 256 * 2**20
    model: str = ""
    keep: bool = False
    pace_seconds: float = 0.0


class Story:
    """Tells it once. `report` is filled as it goes, so it is there whenever it ends; `told`: it came to its end."""

    def __init__(self, options: DemoOptions, screen: Screen, runtime: Runtime | None = None) -> None:
        self.report = DemoReport()
        self.names: dict[str, str] = {}
        self.told = False
        self._options = options
        self._screen = screen
        self._runtime = runtime or AsyncioRuntime()
        self._begun = self._runtime.monotonic()

    async def tell(self, wait_for_the_end: Callable[[LocalCluster], Awaitable[None]]) -> bool:
        """Whether every step was as it should be. With `keep`, the cluster goes when `wait_for_the_end` returns."""
        options = self._options
        check_options(options)
        with tempfile.TemporaryDirectory(prefix="localmodel-demo-") as directory:
            models = prepare_models(options, Path(directory))
            check_disk(options, models[0])
            self._introduce(models)
            async with self._cluster() as cluster:
                stage = Stage(cluster, self._runtime, self._screen, self.report, models)
                try:
                    well = await self._tell_steps(stage)
                finally:
                    stage.view.stop()
                await self._count(stage)
                self.report.ok = well
                if options.keep:
                    self._summarize()
                    await wait_for_the_end(cluster)
            if not options.keep:
                self._summarize()
        return self.report.ok

    def _summarize(self) -> None:
        self.told = True
        self._screen.summary(self.report, self.names, self._runtime.monotonic() - self._begun)

    def _introduce(self, models: list[Model]) -> None:
        model = models[0]
        self.names = {one.key: one.name for one in models}
        self.report.model = ModelReport(
            uri=model.uri, key=model.key, bytes_total=model.bytes_total, digest=model.digest
        )
        cluster = self._options.cluster
        self.report.cluster = cluster.control_plane
        rate = cluster.s3_bytes_per_second
        network = f", S3 at {format_bytes(rate)}/s as over a network" if rate else ""
        plane = ", Kubernetes' own control plane" if cluster.control_plane == "kube" else ""
        size = format_bytes(model.bytes_total)
        self._screen.title(f"localmodel demo: {cluster.nodes} nodes, a model of {size}{network}{plane}")

    @contextlib.asynccontextmanager
    async def _cluster(self) -> AsyncIterator[LocalCluster]:
        """The cluster, its start and its end told as steps."""
        cluster = LocalCluster(self._options.cluster)
        begun = self._runtime.monotonic()
        with self._screen.step("Start a cluster on this machine"):
            await cluster.__aenter__()
        self._finish("start-cluster", begun, f"API server {cluster.api_url}, S3 {cluster.s3.endpoint_url}")
        ended = False
        try:
            yield cluster
            begun = self._runtime.monotonic()
            with self._screen.step("Stop the cluster"):
                ended = True
                await cluster.__aexit__(None, None, None)
            self._finish("stop-cluster", begun, "every process and every mount is gone")
        finally:
            if not ended:
                await cluster.__aexit__(None, None, None)

    async def _tell_steps(self, stage: Stage) -> bool:
        for name, title, act in STEPS:
            begun = self._runtime.monotonic()
            try:
                with self._screen.step(title):
                    detail = await act(stage)
            except LocalModelError as error:
                self._finish(name, begun, str(error), ok=False)
                self._point_at_logs(stage.cluster)
                return False
            self._finish(name, begun, detail)
            await self._runtime.sleep(self._options.pace_seconds)
        return True

    def _finish(self, name: str, begun: float, detail: str, *, ok: bool = True) -> None:
        seconds = round(self._runtime.monotonic() - begun, 3)
        outcome = StepOutcome(name=name, ok=ok, seconds=seconds, detail=detail)
        self.report.steps.append(outcome)
        self._screen.done(outcome)

    async def _count(self, stage: Stage) -> None:
        counters = await stage.counters()
        self.report.s3 = S3Report(get_requests=counters.get_requests, bytes=counters.bytes_served)
        self.report.evictions = stage.view.evictions

    def _point_at_logs(self, cluster: LocalCluster) -> None:
        """What the parts have complained of last, and where there is more."""
        for name in ("manager", "webhook", *(f"agent-{node}" for node in cluster.nodes)):
            for complaint in complaints(cluster.logs(name, lines=_LOG_LINES)):
                self._screen.note(f"{name}: {complaint}")
        self._screen.note(f"logs: {cluster.state}/logs; --state DIR keeps them, --keep keeps the cluster")


def complaints(log: str) -> list[str]:
    """The last warnings and errors of a log of JSON lines; what is no JSON, such as a traceback, counts as one."""
    found = []
    for line in log.splitlines():
        try:
            record = msgspec.json.decode(line, type=_LogRecord)
        except msgspec.DecodeError:
            found.append(line)
            continue
        if record.level in ("warning", "error", "critical"):
            found.append(f"{record.level}: {record.message}")
    return found[-_MOST_COMPLAINTS:]


class _LogRecord(msgspec.Struct, frozen=True):
    level: str = ""
    message: str = ""


def check_options(options: DemoOptions) -> None:
    """Raises `InvalidInput`."""
    if options.cluster.nodes < LEAST_NODES:
        raise InvalidInput(
            f"--nodes {options.cluster.nodes}: the demo loses a node, so it needs {LEAST_NODES} at least"
        )
    if not options.model and options.model_bytes < 2**20:
        raise InvalidInput("--model-size: 1Mi is the least that the demo can tell something with")
    if not options.model:
        _check_space(options)


def _check_space(options: DemoOptions) -> None:
    """Before this machine's disk is full: the models lie in a folder, in S3, and on each node with its uncached pod."""
    needed = options.model_bytes * (4 + 3 * options.cluster.nodes)
    directory = tempfile.gettempdir()
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise InvalidInput(
            f"--model-size {format_bytes(options.model_bytes)} is too large: with {options.cluster.nodes} nodes the "
            f"demo writes up to {format_bytes(needed)}, {directory} has {format_bytes(free)} free"
        )


def prepare_models(options: DemoOptions, directory: Path) -> list[Model]:
    """The model, the fillers, and the one whose download is interrupted. Raises `InvalidInput`."""
    if options.model:
        model = describe_model(Path(options.model), MODEL_NAME)
    else:
        model = generate_model(directory / MODEL_NAME, MODEL_NAME, options.model_bytes)
    sizes = Sizes(model_bytes=model.bytes_total)
    fillers = [
        generate_model(directory / name, name, sizes.filler_bytes)
        for name in (f"filler-{number + 1}" for number in range(_FILLERS))
    ]
    # Of several files, so that there are whole ones when the download is interrupted.
    shard_bytes = -(-sizes.slow_bytes // _SLOW_FILES)
    slow = generate_model(directory / "latecomer", "latecomer", sizes.slow_bytes, shard_bytes=shard_bytes)
    return [model, *fillers, slow]


def check_disk(options: DemoOptions, model: Model) -> None:
    """Raises `InvalidInput` when the disks that were asked for can't hold what the story puts on them."""
    disk_bytes = options.cluster.disk_bytes
    needed = Sizes(model_bytes=model.bytes_total).disk_bytes
    if disk_bytes is not None and disk_bytes < needed:
        raise InvalidInput(
            f"--disk {format_bytes(disk_bytes)} is too small: with a model of {format_bytes(model.bytes_total)} "
            f"the demo needs {format_bytes(needed)} per node"
        )
