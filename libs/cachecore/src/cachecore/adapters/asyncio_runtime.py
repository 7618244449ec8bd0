"""The `Runtime` port over asyncio: real time, one event loop."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from cachecore.errors import TaskCancelled
from cachecore.ports.runtime import Signal, Task

T = TypeVar("T")

logger = logging.getLogger(__name__)

# How long a failed task may wait for its joiner before the failure is logged: the joiner is often only a step behind.
UNJOINED_GRACE_SECONDS = 1.0


class AsyncioTask(Generic[T]):
    """A `Task` over an asyncio.Task."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self._task = task
        self.joined = False

    @property
    def name(self) -> str:
        return self._task.get_name()

    def cancel(self) -> None:
        self._task.cancel()

    def done(self) -> bool:
        return self._task.done()

    async def join(self) -> T:
        self.joined = True
        if not self._task.done():
            # Not `await task`: that would pass the cancellation of the joiner on to the joined.
            await asyncio.wait([self._task])
        if self._task.cancelled():
            raise TaskCancelled(f"task {self.name} was cancelled")
        return self._task.result()


class AsyncioSignal:
    """A `Signal` whose timed wait needs no task of its own, unlike asyncio.wait_for."""

    def __init__(self) -> None:
        self._is_set = False
        # A dictionary, as an ordered set: waiters wake in the order in which they came.
        self._waiters: dict[asyncio.Future[bool], None] = {}

    def set(self) -> None:
        self._is_set = True
        for waiter in self._waiters:
            _resolve(waiter, True)

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        if self._is_set:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters[waiter] = None
        timer = None if timeout_seconds is None else loop.call_later(max(0.0, timeout_seconds), _resolve, waiter, False)
        try:
            return await waiter
        finally:
            del self._waiters[waiter]
            if timer is not None:
                timer.cancel()


def _resolve(waiter: asyncio.Future[bool], outcome: bool) -> None:
    if not waiter.done():
        waiter.set_result(outcome)


class AsyncioRuntime:
    """Production's runtime. Without a seed, chance comes from the system."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        # asyncio keeps only weak references to tasks; one that is forgotten here could vanish in mid-run.
        self._tasks: dict[asyncio.Task[Any], AsyncioTask[Any]] = {}

    @property
    def random(self) -> random.Random:
        return self._random

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> Task[T]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        spawned = AsyncioTask(task)
        self._tasks[task] = spawned
        task.add_done_callback(self._ended)
        return spawned

    def signal(self) -> Signal:
        return AsyncioSignal()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        spawned = self._tasks.pop(task)
        if not task.cancelled() and not spawned.joined:
            # asyncio itself reports the failure if the loop ends before this timer does.
            task.get_loop().call_later(UNJOINED_GRACE_SECONDS, _report_unjoined, task, spawned)


def _report_unjoined(task: asyncio.Task[Any], spawned: AsyncioTask[Any]) -> None:
    if spawned.joined:
        return
    error = task.exception()
    if error is not None:
        logger.error("task %s failed and nobody waits for it: %s", task.get_name(), error, exc_info=error)
