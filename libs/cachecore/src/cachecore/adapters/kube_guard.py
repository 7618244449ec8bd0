"""What happens in the last moment before a request's bytes are sent: it may be refused, and a write is sent only once.

Between a write's call and its bytes lies a connection that is made, TLS and all: long enough for a process to be
stopped there past its lease. So a check at the call is not enough. And aiohttp sends a PUT or DELETE again by itself
when the connection breaks: whether that is safe, only the caller knows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TypeAlias

import aiohttp

Check: TypeAlias = Callable[[], None]


class SentBefore(aiohttp.ClientError):
    """The connection broke after a write had been sent: whether it was applied is not known."""


class _Write:
    def __init__(self, check: Check | None) -> None:
        self.check = check
        self.sent = False


_write: ContextVar[_Write | None] = ContextVar("write", default=None)


@contextlib.contextmanager
def writing(check: Check | None) -> Iterator[None]:
    """Inside, this task sends one write, and asks `check` before: what that raises is raised instead of sending."""
    if check is not None:
        check()
    token = _write.set(_Write(check))
    try:
        yield
    finally:
        _write.reset(token)


def trace_config() -> aiohttp.TraceConfig:
    """For the session of the requests."""
    # aiohttp tells of both *before* it sends. Up to Python 3.11 the loop goes round between them, and only the first
    # one's error reaches the caller as it is.
    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(_before_headers)
    config.on_request_chunk_sent.append(_before_body)
    return config


async def _before_headers(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, _parameters: aiohttp.TraceRequestHeadersSentParams
) -> None:
    write = _write.get()
    if write is None:
        return
    if write.sent:
        raise SentBefore("the connection broke after the request was sent")
    _ask(write)
    write.sent = True


async def _before_body(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, _parameters: aiohttp.TraceRequestChunkSentParams
) -> None:
    write = _write.get()
    if write is not None:
        _ask(write)


def _ask(write: _Write) -> None:
    if write.check is not None:
        write.check()
