"""The frame of a service's process: one event loop, an orderly end, one clear line when it cannot run."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.errors import LocalModelError

logger = logging.getLogger(__name__)


def run_service(main: Callable[[AsyncioRuntime], Coroutine[Any, Any, Any]]) -> int:
    """Run `main` until it ends, or until SIGTERM or SIGINT cancels it; answer the process' exit code.

    A `LocalModelError` is what a person can act on: one line on standard error, and 1. Anything else is a bug: its
    traceback goes to the log, and 1 as well.
    """
    try:
        return asyncio.run(_run(main))
    except KeyboardInterrupt:
        # A second Ctrl-C, while the first one's cleaning up was under way.
        return 130


async def _run(main: Callable[[AsyncioRuntime], Coroutine[Any, Any, Any]]) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(main(AsyncioRuntime()), name="main")
    stopped_by: list[str] = []

    def stop(number: signal.Signals) -> None:
        stopped_by.append(number.name)
        logger.info("stopping on %s", number.name)
        task.cancel()
        # A second one ends the process as if there were no frame.
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        await asyncio.wait([task])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return _exit_code(task, stopped_by)


def _exit_code(task: asyncio.Task[Any], stopped_by: list[str]) -> int:
    if task.cancelled():
        return 0 if stopped_by else 1
    error = task.exception()
    if error is None:
        return 0
    if isinstance(error, LocalModelError):
        logger.error("%s", error, extra={"error_class": type(error).__name__})
        sys.stderr.write(f"error: {error}\n")
        return 1
    logger.critical("a bug ended the service: %s: %s", type(error).__name__, error, exc_info=error)
    return 1
