"""The Runtime port on SimPy: production coroutines, unmodified, in virtual time.

SimPy drives a native coroutine like any generator; what it must receive are SimPy events, so every await of this
runtime ends in `_occurrence`. SimPy's own Interrupt is an Exception, which production code could swallow: it is
translated at the await into `Cancelled` or `Crashed`, which are not.

Ties are broken by SimPy's total order (time, priority, event number); the seed decides everything else.
"""

from __future__ import annotations

import logging
import math
import random
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

import simpy

from cachecore.errors import TaskCancelled

T = TypeVar("T")

logger = logging.getLogger(__name__)

# 2026-01-01T00:00:00Z: timestamps in a simulated world look like timestamps, and are the same in every run.
START_SECONDS = 1_767_225_600.0
# By then whoever is going to join a task that has failed has come to it.
JOINED_WITHIN_SECONDS = 30.0
# Two deadlines this close are one: a time that was added up differently must not wake anybody twice.
_ROUNDING_SECONDS = 1e-9


class Cancelled(BaseException):
    """Thrown at a task's await by `Task.cancel`."""


class Crashed(BaseException):
    """Thrown at every await of a host that has crashed; whatever a late `finally` awaits gets it again."""


@types.coroutine
def _occurrence(event: simpy.Event) -> Generator[simpy.Event, Any, Any]:
    """The one way in which a coroutine waits: it yields a SimPy event and translates the interrupt."""
    try:
        return (yield event)
    except simpy.Interrupt as interrupt:
        cause = interrupt.cause
        if not isinstance(cause, BaseException):
            raise
        raise cause from None


class SimpyTask(Generic[T]):
    """One coroutine in one SimPy process, which itself never fails: the outcome is kept for `join`."""

    def __init__(self, runtime: SimpyRuntime, coroutine: Coroutine[Any, Any, T], name: str) -> None:
        self._runtime = runtime
        self._name = name
        self._coroutine = coroutine
        self._result: T | None = None
        self._error: BaseException | None = None
        self.ended: simpy.Event = runtime.environment.event()
        self._joined = False
        self._started = False
        self.interruption_on_its_way = False
        # What it will meet at its next await, when it was cancelled by itself or before it began.
        self.interrupted: BaseException | None = None
        # SimPy asks of a generator only `send` and `throw`, which a native coroutine has.
        self.process = runtime.environment.process(self._drive())  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        return self._name

    def done(self) -> bool:
        return self.ended.triggered

    def cancel(self) -> None:
        self.throw(Cancelled(f"task {self._name} was cancelled"))

    def throw(self, error: BaseException) -> None:
        """Throw at the next await; a task that has not begun never begins."""
        if self.done() or self.interruption_on_its_way:
            return
        if self._started and self._runtime.environment.active_process is not self.process:
            self.interruption_on_its_way = True
            self.process.interrupt(error)
        else:
            self.interrupted = error

    def take_interruption(self) -> BaseException:
        """What a task that cancelled itself meets at its next await."""
        error, self.interrupted = self.interrupted, None
        assert error is not None  # noqa: S101 - for the type checker: the caller has looked
        return error

    async def join(self) -> T:
        self._joined = True
        if not self.done():
            await self._runtime.wait_for(self.ended)
        return self.outcome()

    def outcome(self) -> T:
        """The result or the error of a task that is done, as `join` gives it."""
        if isinstance(self._error, Cancelled | Crashed):
            raise TaskCancelled(f"task {self._name} was cancelled")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # set when there is no error

    async def _drive(self) -> None:
        self._started = True
        try:
            if self.interrupted is not None:
                self._coroutine.close()
                self._error = self.interrupted
            else:
                self._result = await self._coroutine
        except (Cancelled, Crashed) as error:
            self._error = error
        except Exception as error:  # noqa: BLE001  # kept for whoever joins; reported when nobody does
            self._error = error
            self._runtime.note_failure(self, error)
        finally:
            self._runtime.forget(self)
            self.ended.succeed()

    @property
    def joined(self) -> bool:
        return self._joined


class SimpySignal:
    """A level-triggered flag; waiters wake in the order in which they came.

    Deadlines share a timer, which is kept when a wait is over before its time: who waits again and again until the same
    moment, as the reader of a watch, costs one event for it.
    """

    __slots__ = ("_runtime", "_set", "_timer_due", "_waiters")

    def __init__(self, runtime: SimpyRuntime) -> None:
        self._runtime = runtime
        self._set = False
        # Each with its deadline.
        self._waiters: dict[simpy.Event, float] = {}
        self._timer_due = math.inf

    def set(self) -> None:
        self._set = True
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.triggered:
                waiter.succeed(True)

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        if self._set:
            return True
        if timeout_seconds is not None and timeout_seconds <= 0:
            return False
        environment = self._runtime.environment
        waiter = simpy.Event(environment)
        due = math.inf
        if timeout_seconds is not None:
            due = environment.now + timeout_seconds
            if due < self._timer_due:
                self._arm(due)
        self._waiters[waiter] = due
        try:
            return bool(await self._runtime.wait_for(waiter))
        finally:
            self._waiters.pop(waiter, None)

    def _arm(self, due: float) -> None:
        self._timer_due = due
        timer = simpy.Timeout(self._runtime.environment, max(0.0, due - self._runtime.environment.now), due)
        timer.callbacks.append(self._expire)

    def _expire(self, timer: simpy.Event) -> None:
        if timer.value != self._timer_due:
            # An earlier one took its place.
            return
        self._timer_due = math.inf
        reached = timer.value + _ROUNDING_SECONDS
        late = [waiter for waiter, due in self._waiters.items() if due <= reached]
        for waiter in late:
            del self._waiters[waiter]
            waiter.succeed(False)
        next_due = min(self._waiters.values(), default=math.inf)
        if next_due < math.inf:
            self._arm(next_due)


class SimpyRuntime:
    """One host's clock, tasks, signals and chance; all hosts of a simulation share one SimPy environment.

    `crash` throws `Crashed` into every task of the host and fences it: whatever is still awaited there crashes again,
    so that a late `finally` cannot touch the world. `clock_skew_seconds` shifts the wall clock alone.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        *,
        seed: int,
        host: str = "",
        clock_skew_seconds: float = 0.0,
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self.environment = environment
        self.host = host
        self.clock_skew_seconds = clock_skew_seconds
        self._random = random.Random(f"{seed}/{host}")
        self._tasks: dict[simpy.Process, SimpyTask[Any]] = {}
        self._on_failure = on_failure
        self._crashed = False
        self._resumed: simpy.Event | None = None

    @property
    def random(self) -> random.Random:
        return self._random

    @property
    def crashed(self) -> bool:
        return self._crashed

    def now(self) -> float:
        return START_SECONDS + float(self.environment.now) + self.clock_skew_seconds

    def monotonic(self) -> float:
        return float(self.environment.now)

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return self.wait_for(simpy.Timeout(self.environment, max(0.0, seconds)))

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> SimpyTask[T]:
        if self._crashed:
            coroutine.close()
            raise Crashed(f"host {self.host} has crashed")
        task = SimpyTask(self, coroutine, name)
        self._tasks[task.process] = task
        return task

    def signal(self) -> SimpySignal:
        return SimpySignal(self)

    def crash(self) -> None:
        """Stop the host at this instant, whatever its tasks are awaiting."""
        self._crashed = True
        for task in list(self._tasks.values()):
            task.throw(Crashed(f"host {self.host} has crashed"))

    def pause(self, *, paused: bool) -> None:
        """Let nothing that waits go on until it is resumed; time passes all the same."""
        if paused and self._resumed is None:
            self._resumed = self.environment.event()
        elif not paused and self._resumed is not None:
            self._resumed.succeed()
            self._resumed = None

    def check_alive(self) -> None:
        """Raise `Crashed` where the host has: every port of a host calls it before it touches the world."""
        if self._crashed:
            raise Crashed(f"host {self.host} has crashed")

    async def wait_for(self, event: simpy.Event) -> Any:
        """Wait for one SimPy event. The only await of the simulator."""
        if self._crashed:
            self.check_alive()
        # The task that waits; None outside of this runtime's tasks.
        current = self._tasks.get(self.environment._active_proc)  # type: ignore[arg-type]
        if current is not None and current.interrupted is not None:
            raise current.take_interruption()
        try:
            result = await _occurrence(event)
            while self._resumed is not None:
                await _occurrence(self._resumed)
        finally:
            if current is not None:
                current.interruption_on_its_way = False
        if self._crashed:
            self.check_alive()
        return result

    def note_failure(self, task: SimpyTask[Any], error: BaseException) -> None:
        """An exception that nobody waits for must not vanish: it is reported once the task's joiners had their turn.

        Who joins many tasks comes to each in its turn: one that failed may have to wait until others have ended.
        """

        def report(_: simpy.Event) -> None:
            if not task.joined and not self._crashed:
                logger.error("task %s failed: %r", task.name, error, exc_info=error)
                if self._on_failure is not None:
                    self._on_failure(task.name, error)

        self.environment.timeout(JOINED_WITHIN_SECONDS).callbacks.append(report)

    def forget(self, task: SimpyTask[Any]) -> None:
        self._tasks.pop(task.process, None)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Drive the environment until the coroutine ends; return its result. For tests and command lines."""
        task = self.spawn(coroutine, name="main")
        self.environment.run(until=task.ended)
        return task.outcome()

    def close(self) -> None:
        """Let every task that still waits end now, so that no suspended coroutine is left to the garbage collector."""
        self.crash()
        while self._tasks and self.environment.peek() <= self.environment.now:
            self.environment.step()
