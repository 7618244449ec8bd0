"""A proxy in front of an API server that fails on demand: refuses, resets, loses answers, cuts watches, is away.

Plain HTTP in front, on loopback; whoever speaks through it sends his own token.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeAlias

import aiohttp
import msgspec
from aiohttp import web

from cachesim.host.kubeconfig import write_kubeconfig
from cachesim.host.ports import ADDRESS, bind

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade"})


class FaultKind(enum.Enum):
    REFUSE = "refuse"
    """Answered by the proxy, with `status` and `retry_after_seconds`; not forwarded."""
    RESET = "reset"
    """The connection breaks; not forwarded."""
    LOSE_ANSWER = "lose the answer"
    """Forwarded and carried out; then the connection breaks."""
    CUT = "cut"
    """Forwarded; the connection breaks after `seconds`: for watches."""
    DELAY = "delay"
    """Forwarded after `seconds`."""


class ProxyFault(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one request."""

    kind: FaultKind
    status: int = 503
    retry_after_seconds: float = 0.0
    seconds: float = 0.0


class ProxyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request, as far as faults are chosen by it."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes

    @property
    def watches(self) -> bool:
        return "watch" in self.query

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")


Chooser: TypeAlias = Callable[[ProxyRequest], ProxyFault | None]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A request that came, and what was done to it."""

    request: ProxyRequest
    fault: ProxyFault | None


class FaultProxy:
    """`async with FaultProxy(url, tls) as proxy:` forwards to `url`; `choose` says what goes wrong, None: nothing."""

    def __init__(self, upstream_url: str, tls: ssl.SSLContext) -> None:
        self._upstream_url = upstream_url.rstrip("/")
        self._tls = tls
        self._stack = contextlib.AsyncExitStack()
        self._open: dict[asyncio.Transport, None] = {}
        self._away = False
        self.choose: Chooser = lambda _request: None
        self.seen: list[Seen] = []

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
                # Bytes pass as they are.
                auto_decompress=False,
            )
        )
        # Who goes takes what was forwarded for him along, or watches would stay open behind us.
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        listening = bind(ADDRESS, 0)
        await web.SockSite(runner, listening).start()
        self.url = f"http://{ADDRESS}:{listening.getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut_all()
        await self._stack.aclose()

    def write_kubeconfig(self, path: Path, *, user: str, token: str, authority: bytes) -> Path:
        write_kubeconfig(path, url=self.url, authority=authority, user=user, token=token)
        return path

    def cut_all(self) -> None:
        """Break every connection that a request is on."""
        for transport in self._open:
            transport.abort()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Inside, every connection is broken, and so is every new one."""
        self._away = True
        self.cut_all()
        try:
            yield
        finally:
            self._away = False

    def faults(self, kind: FaultKind) -> list[ProxyRequest]:
        """The requests that this happened to."""
        return [seen.request for seen in self.seen if seen.fault is not None and seen.fault.kind is kind]

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        transport = incoming.transport
        if transport is None or self._away:
            return _broken(transport)
        body = await incoming.read()
        request = ProxyRequest(method=incoming.method, path=incoming.path, query=dict(incoming.query), body=body)
        fault = self.choose(request)
        self.seen.append(Seen(request=request, fault=fault))
        self._open[transport] = None
        try:
            return await self._pass(incoming, body, transport, fault)
        except (aiohttp.ClientError, OSError):
            # The one behind is away, or the one in front has gone.
            return _broken(transport)
        finally:
            self._open.pop(transport, None)

    async def _pass(
        self, incoming: web.BaseRequest, body: bytes, transport: asyncio.Transport, fault: ProxyFault | None
    ) -> web.StreamResponse:
        kind = fault.kind if fault is not None else None
        if fault is not None and kind is FaultKind.REFUSE:
            return _refusal(fault)
        if kind is FaultKind.RESET:
            return _broken(transport)
        if fault is not None and kind is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds)
        headers = {name: text for name, text in incoming.headers.items() if name.lower() not in _HOP_BY_HOP}
        async with self._session.request(
            incoming.method, self._upstream_url + incoming.raw_path, headers=headers, data=body or None
        ) as answer:
            if kind is FaultKind.LOSE_ANSWER:
                await answer.read()
                return _broken(transport)
            timer = None
            if fault is not None and kind is FaultKind.CUT:
                timer = asyncio.get_running_loop().call_later(fault.seconds, transport.abort)
            try:
                return await _stream(incoming, answer)
            finally:
                if timer is not None:
                    timer.cancel()


async def _stream(incoming: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = [(name, text) for name, text in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
    response = web.StreamResponse(status=answer.status)
    response.headers.extend(headers)
    response.enable_chunked_encoding()
    await response.prepare(incoming)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


def _broken(transport: asyncio.Transport | None) -> web.StreamResponse:
    """Break the connection as a crash does: with a reset."""
    if transport is not None:
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        transport.abort()
    # The server asks for an answer also where it can't go anywhere.
    return web.Response(status=500)


def _refusal(fault: ProxyFault) -> web.Response:
    content = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": fault.status, "message": "a fault"}
    headers = {"Retry-After": f"{fault.retry_after_seconds:g}"} if fault.retry_after_seconds else {}
    return web.Response(status=fault.status, body=json.dumps(content), content_type="application/json", headers=headers)
