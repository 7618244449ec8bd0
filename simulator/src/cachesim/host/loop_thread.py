"""An event loop in a thread of its own, for callers that are no coroutines: tests, mostly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from cachecore.errors import DeadlineExceeded

T = TypeVar("T")


class LoopThread:
    """Runs coroutines, one or many at once, and waits for each from outside. `stop` it in the end."""

    def __init__(self, name: str, *, enter: Callable[[], None] | None = None) -> None:
        """`enter` is called in the thread, before all else; what it raises is raised, and no thread is left."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name)
        self._thread.start()
        if enter is not None:
            try:
                self.run(_call(enter))
            except BaseException:
                self.stop()
                raise

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_seconds: float = 110.0) -> T:
        """What the coroutine answers; raises what it raises.

        One that takes longer is cancelled, and cleans up; then `DeadlineExceeded` says where it had been waiting.
        """
        return asyncio.run_coroutine_threadsafe(_within(coroutine, timeout_seconds), self._loop).result()

    def stop(self) -> None:
        try:
            self.run(self._loop.shutdown_asyncgens())
            self.run(self._loop.shutdown_default_executor())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _call(function: Callable[[], None]) -> None:
    function()


async def _within(coroutine: Coroutine[Any, Any, T], timeout_seconds: float) -> T:
    task = asyncio.ensure_future(coroutine)
    done, _ = await asyncio.wait([task], timeout=timeout_seconds)
    if done:
        return task.result()
    waiting = " > ".join(_places(coroutine))
    task.cancel()
    await asyncio.wait([task])
    raise DeadlineExceeded(f"not done within {timeout_seconds:g} seconds; it waited in {waiting}")


def _places(awaited: Any) -> Iterator[str]:
    """Where a suspended coroutine is, from the outermost call to the innermost."""
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        yield f"{frame.f_code.co_name} (line {frame.f_lineno} of {frame.f_code.co_filename.rpartition('/')[2]})"
        awaited = awaited.cr_await
