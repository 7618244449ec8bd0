"""Time and concurrency, as production code sees them."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Task(Protocol[T_co]):
    """A coroutine that runs beside its spawner."""

    @property
    def name(self) -> str: ...

    def cancel(self) -> None:
        """Throw the runtime's cancellation, a BaseException, at the task's next await. No-op once done."""

    def done(self) -> bool: ...

    async def join(self) -> T_co:
        """Wait for the end: return the result, re-raise the task's exception, or raise `TaskCancelled`.

        A cancellation of the *joining* task is not a `TaskCancelled`: it passes through, and leaves the joined one be.
        """
        ...


class Signal(Protocol):
    """A flag that coroutines wait for; it stays set until cleared (level-triggered)."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def is_set(self) -> bool: ...

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until set; answer False when `timeout_seconds` passed first. Returns at once when already set."""
        ...


class Runtime(Protocol):
    """Clock, tasks, signals and chance. The same seed and the same answers of the other ports give the same run."""

    @property
    def random(self) -> random.Random:
        """The only source of chance: jitter, tie-breaks, identities."""
        ...

    def now(self) -> float:
        """Wall clock, Unix seconds. It may jump: use it for timestamps that people or other nodes read."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never fall: use it for durations, rates and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> Task[T]:
        """Start a coroutine beside this one. An exception that nobody joins is logged, never lost in silence."""
        ...

    def signal(self) -> Signal: ...
