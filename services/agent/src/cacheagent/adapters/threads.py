"""Blocking work in threads, for adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(executor: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `work`, done in a thread.

    A thread can't be stopped. So a cancellation is delivered when the work has ended: otherwise it would still write
    while the one who cancelled it believes that the path is his.
    """
    return await in_stoppable_thread(executor, lambda: work(*args, **kwargs), lambda: None)


async def in_stoppable_thread(executor: Executor, work: Callable[[], T], stop: Callable[[], None]) -> T:
    """As `in_thread`, of work that `stop` tells to end soon."""
    future = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop()
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        if not future.cancelled():
            future.exception()
        raise
