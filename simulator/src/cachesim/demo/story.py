"""The story from its first step to its last, and what is reported of it."""

from __future__ import annotations

import contextlib
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
from cachesim.demo.venue import Venue

MODEL_NAME = "demo-llm"
# Files of the model whose download is interrupted must not be so small that an agent fetches all of them at once.
_LEAST_MODEL_BYTES = 24 * 2**20
_FILLERS = 3
_SLOW_FILES = 8
_LOG_LINES = 200
_MOST_COMPLAINTS = 4

Step = tuple[str, str, Callable[[Stage], Awaitable[str]]]

# Of these, a cluster that somebody has does without.
_LOSSES = ("lose-node", "return-node")
STEPS: tuple[Step, ...] = (
    ("seed", "Put a model into S3", starting.seed),
    ("start-uncached", "Start a pod without the cache", starting.start_uncached),
    ("apply-cache", "Apply a node group and a cache", starting.apply_cache),
    ("download", "The nodes' agents download the model", starting.download),
    ("start-cached", "Start the same pod with the cache", starting.start_cached),
    ("start-more", "Start more pods, from an InferenceService", starting.start_more),
    ("pressure", "Cache more models than there is room", pressing.pressure),
    ("come-back", "Use the evicted model again", pressing.come_back),
    ("crash", "Kill an agent in the middle of a download", pressing.crash),
    ("lose-node", "Lose a node", ending.lose_node),
    ("return-node", "The node comes back, with its disk", ending.return_node),
    ("delete-all", "Delete everything", ending.delete_all),
)


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`model` is a directory of the user's own; empty: one of `model_bytes` is generated."""

    model_bytes: int = 256 * 2**20
    model: str = ""
    keep: bool = False
    pace_seconds: float = 0.0


class Story:
    """Tells it once. `report` is filled as it goes, so it is there whenever it ends; `told`: it came to its end."""

    def __init__(self, venue: Venue, options: DemoOptions, screen: Screen, runtime: Runtime | None = None) -> None:
        self.report = DemoReport(cluster=venue.kind)
        self.names: dict[str, str] = {}
        self.told = False
        self._venue = venue
        self._options = options
        self._screen = screen
        self._runtime = runtime or AsyncioRuntime()
        self._begun = self._runtime.monotonic()

    async def tell(self) -> bool:
        """Whether every step was as it should be. Raises `InvalidInput` before anything is begun."""
        options = self._options
        if not options.model and options.model_bytes < _LEAST_MODEL_BYTES:
            raise InvalidInput(
                f"--model-size: {format_bytes(_LEAST_MODEL_BYTES)} is the least that the demo can tell something with"
            )
        self._venue.check_size(None if options.model else options.model_bytes)
        with tempfile.TemporaryDirectory(prefix="localmodel-demo-") as directory:
            models = prepare_models(options, Path(directory))
            self._venue.check_model(models[0])
            self._introduce(models)
            async with self._opened():
                stage = Stage(self._venue, self._runtime, self._screen, self.report, models)
                try:
                    well = await self._tell_steps(stage)
                finally:
                    stage.view.stop()
                await self._count(stage)
                self.report.ok = well
                if options.keep:
                    self._summarize()
                    await self._venue.keep()
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
        self._screen.title(f"localmodel demo: {self._venue.describe(format_bytes(model.bytes_total))}")

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        """The venue, its opening and its close told as steps."""
        venue = self._venue
        begun = self._runtime.monotonic()
        with self._screen.step(venue.opening):
            detail = await venue.open()
        self._finish("start-cluster", begun, detail)
        ended = False
        try:
            yield
            begun = self._runtime.monotonic()
            with self._screen.step(venue.closing):
                ended = True
                detail = await venue.close()
            self._finish("stop-cluster", begun, detail)
        finally:
            if not ended:
                await venue.close()

    async def _tell_steps(self, stage: Stage) -> bool:
        for name, title, act in STEPS:
            if name in _LOSSES and not self._venue.loses_nodes:
                continue
            begun = self._runtime.monotonic()
            try:
                with self._screen.step(title):
                    detail = await act(stage)
            except LocalModelError as error:
                self._finish(name, begun, str(error), ok=False)
                await self._point_at_logs()
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

    async def _point_at_logs(self) -> None:
        """What the parts have complained of last, and where there is more."""
        for name, log in (await self._venue.service_logs(_LOG_LINES)).items():
            for complaint in complaints(log):
                self._screen.note(f"{name}: {complaint}")
        self._screen.note(self._venue.hint)


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
