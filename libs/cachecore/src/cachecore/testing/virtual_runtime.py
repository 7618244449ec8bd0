"""A `Runtime` on virtual time: deterministic, without dependencies, as fast as the work itself.

One heap holds what will happen, ordered by (time, rank, sequence); the clock jumps to the next entry. Nothing else
runs, so the same coroutines and the same seed give the same run.
"""

from __future__ import annotations

import heapq
import random
import types
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from cachecore.errors import TaskCancelled
from cachecore.ports.runtime import Signal, Task

T = TypeVar("T")

EPOCH_SECONDS = 1_700_000_000.0

# Of what is due at one instant, work goes first, then those who wait for the instant's work to be done.
_WORK_RANK = 0
_SETTLED_RANK = 1


class VirtualCancelled(BaseException):
    """The cancellation that `Task.cancel` throws: no production code can swallow it."""


class Deadlock(AssertionError):
    """Nothing is due any more, and the coroutine that runs the test still waits."""


@types.coroutine
def _suspend() -> Generator[None, Any, Any]:
    """Give control back to the runtime, until it sends the outcome of what is waited for."""
    return (yield)


class VirtualTask(Generic[T]):
    """One coroutine in the runtime. `wait` numbers its suspensions: a late wake-up of an earlier one is void."""

    def __init__(self, runtime: VirtualRuntime, coroutine: Coroutine[Any, Any, T], name: str) -> None:
        self._runtime = runtime
        self._coroutine = coroutine
        self._name = name
        self.wait = 0
        self._running = False
        self._cancel_at_next_await = False
        self._cancelled = False
        self._ended = VirtualSignal(runtime)
        self._result: T
        self.error: BaseException | None = None
        self.joined = False

    @property
    def name(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"VirtualTask({self._name})"

    def cancel(self) -> None:
        if self.done():
            return
        if self._running:
            self._cancel_at_next_await = True
        else:
            self.wait += 1
            self._runtime.wake_later(0.0, self, VirtualCancelled())

    def done(self) -> bool:
        return self._ended.is_set()

    async def join(self) -> T:
        self.joined = True
        await self._ended.wait()
        if self._cancelled:
            raise TaskCancelled(f"task {self._name} was cancelled")
        if self.error is not None:
            raise self.error
        return self._result

    def step(self, outcome: Any) -> None:
        """Run to the next suspension; a `VirtualCancelled` outcome is thrown, anything else is sent."""
        self.wait += 1
        self._running = True
        try:
            if isinstance(outcome, VirtualCancelled):
                self._coroutine.throw(outcome)
            else:
                self._coroutine.send(outcome)
        except StopIteration as stop:
            self._result = stop.value
            self._ended.set()
        except VirtualCancelled:
            self._cancelled = True
            self._ended.set()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the runtime keeps it for the joiner, or raises it at the end
            self.error = error
            self._ended.set()
        finally:
            self._running = False
        if self._cancel_at_next_await and not self.done():
            self._cancel_at_next_await = False
            self.cancel()


class VirtualSignal:
    def __init__(self, runtime: VirtualRuntime) -> None:
        self._runtime = runtime
        self._is_set = False
        self._waiters: list[tuple[VirtualTask[Any], int]] = []

    def set(self) -> None:
        self._is_set = True
        waiters, self._waiters = self._waiters, []
        for task, wait in waiters:
            if task.wait == wait:
                self._runtime.wake_later(0.0, task, True)

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        if self._is_set:
            return True
        task = self._runtime.running
        self._waiters = [(other, wait) for other, wait in self._waiters if other.wait == wait]
        self._waiters.append((task, task.wait))
        if timeout_seconds is not None:
            self._runtime.wake_later(timeout_seconds, task, False)
        return bool(await _suspend())


class VirtualRuntime:
    """Time passes only when everybody waits.

    `strict`: `run` raises, at its end, the failure of a task that nobody joined. `clock_skew_seconds` is added to
    `now()`, and may be changed at any time: a wall clock that jumps.
    """

    def __init__(self, seed: int = 0, *, strict: bool = True) -> None:
        self._random = random.Random(seed)
        self._strict = strict
        self._time = 0.0
        self._sequence = 0
        self._due: list[tuple[float, int, int, VirtualTask[Any], int, Any]] = []
        self._running: VirtualTask[Any] | None = None
        # In the order of spawning, for a cancellation at the end in a fixed order.
        self._tasks: dict[VirtualTask[Any], None] = {}
        self._failed: list[VirtualTask[Any]] = []
        self.clock_skew_seconds = 0.0

    @property
    def random(self) -> random.Random:
        return self._random

    @property
    def running(self) -> VirtualTask[Any]:
        if self._running is None:
            raise RuntimeError("await this within a coroutine that VirtualRuntime.run or spawn started")
        return self._running

    def now(self) -> float:
        return EPOCH_SECONDS + self._time + self.clock_skew_seconds

    def monotonic(self) -> float:
        return self._time

    async def sleep(self, seconds: float) -> None:
        self.wake_later(seconds, self.running, None)
        await _suspend()

    async def settle(self) -> None:
        """Wait until everybody else waits for a later instant: the clock stands still."""
        self.wake_later(0.0, self.running, None, rank=_SETTLED_RANK)
        await _suspend()

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> Task[T]:
        return self._start(coroutine, name)

    def signal(self) -> Signal:
        return VirtualSignal(self)

    def run(self, coroutine: Coroutine[Any, Any, T], *, timeout_seconds: float | None = 86_400.0) -> T:
        """Run to the end of `coroutine`, then cancel what is left. Raises `Deadlock` when it can never end.

        Tasks that only wait for time to pass never deadlock, so a run longer than `timeout_seconds` of virtual time
        fails as well.
        """
        main = self._start(coroutine, "main")
        main.joined = True
        deadline = None if timeout_seconds is None else self._time + timeout_seconds
        try:
            while not main.done() and self._advance(deadline):
                pass
            stuck = None if main.done() else self._describe_waiting()
        finally:
            self._cancel_all()
        if main.error is not None:
            raise main.error
        failed = [task for task in self._failed if not task.joined]
        self._failed.clear()
        if self._strict and failed and failed[0].error is not None:
            failed[0].error.add_note(f"in task {failed[0].name}, which nobody joined")
            raise failed[0].error
        if stuck is not None:
            raise Deadlock(stuck)
        return _result_of(main)

    def wake_later(self, seconds: float, task: VirtualTask[Any], outcome: Any, *, rank: int = _WORK_RANK) -> None:
        """Continue `task` with `outcome`, unless something else has continued it before."""
        self._sequence += 1
        due = self._time + max(0.0, seconds)
        heapq.heappush(self._due, (due, rank, self._sequence, task, task.wait, outcome))

    def _start(self, coroutine: Coroutine[Any, Any, T], name: str) -> VirtualTask[T]:
        task = VirtualTask(self, coroutine, name)
        self._tasks[task] = None
        self.wake_later(0.0, task, None)
        return task

    def _advance(self, deadline: float | None = None) -> bool:
        """Run one step of one task; False when nothing is due (before the deadline)."""
        while self._due:
            due, _, _, task, wait, outcome = self._due[0]
            if task.wait != wait or task.done():
                heapq.heappop(self._due)
                continue
            if deadline is not None and due > deadline:
                return False
            heapq.heappop(self._due)
            self._time = due
            self._step(task, outcome)
            return True
        return False

    def _step(self, task: VirtualTask[Any], outcome: Any) -> None:
        previous, self._running = self._running, task
        try:
            task.step(outcome)
        finally:
            self._running = previous
        if task.done():
            del self._tasks[task]
            if task.error is not None:
                self._failed.append(task)

    def _cancel_all(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        # A task that was cancelled may wait in its cleaning-up; one that never ends is given up after an hour.
        deadline = self._time + 3600.0
        while self._tasks and self._advance(deadline):
            pass
        self._tasks.clear()
        self._due.clear()

    def _describe_waiting(self) -> str:
        names = ", ".join(task.name for task in self._tasks)
        return f"after {self._time:g} virtual seconds no end is in sight; still waiting: {names}"


def _result_of(task: VirtualTask[T]) -> T:
    joined = task.join()
    try:
        joined.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("the joined task has not ended")
