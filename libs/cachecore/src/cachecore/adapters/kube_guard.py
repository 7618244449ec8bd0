"""Asks, in the last moment before a request's bytes are sent, whether they still may be.

Between a write's call and its bytes lies a connection that is made, TLS and all: long enough for a process to be
stopped there past its lease. So a check at the call is not enough.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TypeAlias

import aiohttp

Check: TypeAlias = Callable[[], None]

_check: ContextVar[Check | None] = ContextVar("check", default=None)


@contextlib.contextmanager
def asking(check: Check | None) -> Iterator[None]:
    """Inside, this task's requests ask `check`, which raises what is to be raised instead of sending."""
    if check is not None:
        check()
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def trace_config() -> aiohttp.TraceConfig:
    """For the session of the requests."""
    # aiohttp tells of both *before* it sends. Up to Python 3.11 the loop goes round between them, and only the first
    # one's error reaches the caller as it is.
    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(_ask)
    config.on_request_chunk_sent.append(_ask)
    return config


async def _ask(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    _parameters: aiohttp.TraceRequestHeadersSentParams | aiohttp.TraceRequestChunkSentParams,
) -> None:
    check = _check.get()
    if check is not None:
        check()
