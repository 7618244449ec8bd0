"""The loop that every reconciler runs in: take a key, reconcile it, come back when asked, back off when it failed."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

import msgspec
from prometheus_client import CollectorRegistry

from cachecore.controller.metrics import ControllerMetrics
from cachecore.controller.queue import Backoff, WorkQueue
from cachecore.errors import ApiError, Conflict, LocalModelError
from cachecore.ports.runtime import Runtime
from cachecore.tasks import TaskGroup

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)

logger = logging.getLogger(__name__)


class Result(msgspec.Struct, frozen=True):
    """What a reconcile asks for: to be called again after a while, or (None) only when something changes."""

    requeue_after_seconds: float | None = None


class Reconciler(Protocol[K_contra]):
    """Makes the world as it should be for one key; level-triggered and idempotent."""

    async def reconcile(self, request: K_contra) -> Result: ...


class Controller(Generic[K]):
    """Workers over one queue. A request is anything hashable; no two workers ever have the same one at a time."""

    def __init__(
        self,
        runtime: Runtime,
        name: str,
        reconciler: Reconciler[K],
        *,
        workers: int = 1,
        backoff: Backoff = Backoff(),
        metrics: ControllerMetrics | None = None,
    ) -> None:
        self.name = name
        self._runtime = runtime
        self._reconciler = reconciler
        self._workers = workers
        self._queue: WorkQueue[K] = WorkQueue(runtime, backoff)
        self._metrics = metrics if metrics is not None else ControllerMetrics(CollectorRegistry())
        self._depth = self._metrics.queue_depth.labels(name)
        self._active = self._metrics.active_workers.labels(name)
        self._duration_seconds = self._metrics.duration_seconds.labels(name)
        self._succeeded = self._metrics.reconciles.labels(name, "success")
        self._requeued = self._metrics.reconciles.labels(name, "requeue_after")
        self._working = 0

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs; delayed requests don't count."""
        return len(self._queue) == 0 and self._working == 0

    def enqueue(self, request: K, *, delay_seconds: float = 0.0) -> None:
        """Ask for a reconcile; many requests for one key before its turn are one."""
        self._queue.add_after(request, delay_seconds)
        self._depth.set(len(self._queue))

    async def run(self) -> None:
        """Reconcile until cancelled."""
        group = TaskGroup(self._runtime)
        for number in range(self._workers):
            group.spawn(self._work(), name=f"{self.name}-{number}")
        await group.join()

    async def _work(self) -> None:
        while True:
            request = await self._queue.get()
            self._working += 1
            self._active.set(self._working)
            self._depth.set(len(self._queue))
            try:
                await self._reconcile(request)
            finally:
                self._queue.done(request)
                self._working -= 1
                self._active.set(self._working)
                self._depth.set(len(self._queue))

    async def _reconcile(self, request: K) -> None:
        start = self._runtime.monotonic()
        try:
            result = await self._reconciler.reconcile(request)
        except Exception as error:  # noqa: BLE001 - one bad object must not stop the controller of all the others
            self._failed(request, error)
        else:
            self._queue.forget(request)
            if result.requeue_after_seconds is not None:
                self._queue.add_after(request, result.requeue_after_seconds)
            (self._succeeded if result.requeue_after_seconds is None else self._requeued).inc()
        self._duration_seconds.observe(self._runtime.monotonic() - start)

    def _failed(self, request: K, error: Exception) -> None:
        least_seconds = error.retry_after_seconds if isinstance(error, ApiError) else 0.0
        delay = self._queue.add_failed(request, least_seconds=least_seconds)
        self._metrics.reconciles.labels(self.name, "error").inc()
        self._metrics.errors.labels(self.name, type(error).__name__).inc()
        logger.log(
            # A conflict is how optimistic concurrency works: somebody else wrote first; the retry reads what it was.
            logging.DEBUG if isinstance(error, Conflict) else logging.WARNING,
            "reconcile of %s failed, again in %.1f s: %s: %s",
            request,
            delay,
            type(error).__name__,
            error,
            # What is not one of our errors is a bug: where it came from is what matters then.
            exc_info=None if isinstance(error, LocalModelError) else error,
            extra={"controller": self.name, "request": str(request), "attempt": self._queue.failures(request)},
        )
