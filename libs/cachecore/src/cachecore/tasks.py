"""Structured concurrency over the `Runtime` port: groups of tasks, and deadlines."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from cachecore.errors import DeadlineExceeded, TaskCancelled
from cachecore.ports.runtime import Runtime, Task

T = TypeVar("T")


class _Observed(Coroutine[Any, Any, T]):
    """A coroutine whose end is told to `ended`, with its error if it has one.

    A wrapping `async def` would not do: one that is cancelled before its first step never runs its `finally`, and
    leaves the coroutine inside it never awaited.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], ended: Callable[[Exception | None], None]) -> None:
        self._coroutine = coroutine
        self._ended = ended
        self.__name__ = getattr(coroutine, "__name__", "coroutine")
        self.__qualname__ = getattr(coroutine, "__qualname__", "coroutine")

    def send(self, value: Any) -> Any:
        try:
            return self._coroutine.send(value)
        except BaseException as error:
            self._tell(error)
            raise

    def throw(self, *arguments: Any) -> Any:
        try:
            return self._coroutine.throw(*arguments)
        except BaseException as error:
            self._tell(error)
            raise

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        # A frame of its own, entered once: `send` would be a call for each step.
        try:
            result = yield from self._coroutine.__await__()
        except GeneratorExit:
            # Let go without having ended, as by `close`.
            raise
        except BaseException as error:
            self._tell(error)
            raise
        self._ended(None)
        return result

    def _tell(self, error: BaseException) -> None:
        """The end, also when it was cancelled or crashed: only its own failures are told with their error."""
        self._ended(error if isinstance(error, Exception) and not isinstance(error, StopIteration) else None)


class TaskGroup:
    """Tasks that live and die together: the first failure cancels the others at once, `join` raises it.

    A task that ends well, or that somebody cancelled, leaves the others alone.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tasks: dict[int, Task[Any]] = {}
        self._spawned = 0
        self._failure: Exception | None = None
        self._cancelled = False

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> Task[T]:
        """Start a member. In a group that has failed or was cancelled it is cancelled before its first step."""
        number = self._spawned
        self._spawned += 1
        task = self._runtime.spawn(_Observed(coroutine, lambda error: self._ended(number, error)), name=name)
        self._tasks[number] = task
        if self._failure is not None or self._cancelled:
            task.cancel()
        return task

    def _ended(self, number: int, error: Exception | None) -> None:
        if error is None:
            # Forgotten at once, or a group that spawns for ever would grow for ever.
            self._tasks.pop(number, None)
        elif self._failure is None:
            # The siblings go from here, not from `join`: a group fails also while nobody is joining it yet.
            self._failure = error
            self._cancel(but=number)

    async def join(self) -> None:
        """Wait for every member. Raises the first failure when all have ended.

        When the joining task is cancelled itself, it cancels all members and waits for their ends, too: what a member
        cleans up may still need what the joiner closes after it.
        """
        try:
            await self._ends()
        finally:
            # Nothing is left but in a cancellation. In a crash this wait fails like every other, which is as well.
            if self._tasks:
                self.cancel()
            await self._ends()
        if self._failure is not None:
            raise self._failure

    async def _ends(self) -> None:
        while self._tasks:
            number, task = next(iter(self._tasks.items()))
            await _end_of(task)
            self._tasks.pop(number, None)

    def cancel(self) -> None:
        """Cancel every member, also one that is spawned from now on; `join` still waits for their ends."""
        self._cancelled = True
        self._cancel()

    def _cancel(self, but: int | None = None) -> None:
        for number, task in list(self._tasks.items()):
            if number != but:
                task.cancel()


async def _end_of(task: Task[Any]) -> None:
    try:
        await task.join()
    except TaskCancelled:
        return
    except Exception:  # noqa: BLE001 - the group has it already, and raises the first one
        return


async def within(runtime: Runtime, timeout_seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of `coroutine`; when it takes longer it is cancelled, and `DeadlineExceeded` raised after its end.

    It has ended also when the caller is cancelled.
    """
    ended = runtime.signal()
    name = getattr(coroutine, "__name__", "within")
    task = runtime.spawn(_Observed(coroutine, lambda _error: ended.set()), name=name)
    try:
        if not await ended.wait(timeout_seconds):
            task.cancel()
        return await task.join()
    except TaskCancelled as error:
        raise DeadlineExceeded(f"{name} did not end within {timeout_seconds:g} seconds") from error
    finally:
        if not task.done():
            # The caller is being cancelled: what it waited for must not go on without it.
            task.cancel()
            await _end_of(task)
