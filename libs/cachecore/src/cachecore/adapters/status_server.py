"""What a service tells about itself over HTTP: /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from cachecore.errors import InvalidInput

logger = logging.getLogger(__name__)


class StatusServer:
    """Serves until cancelled. `ready` and `healthy` are asked at each request.

    The registry is the service's own, never the global one, so that two services fit in one process.
    """

    def __init__(
        self,
        *,
        address: str,
        port: int,
        registry: CollectorRegistry,
        ready: Callable[[], bool],
        healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        self.address = address
        self.port = port
        self._app = status_app(registry, ready, healthy)
        self._socket: socket.socket | None = None

    def bind(self) -> None:
        """Take the port now (0: a free one, told by `port`). Raises `InvalidInput` when it is taken."""
        self._socket = bind_socket(self.address, self.port)
        self.port = self._socket.getsockname()[1]

    async def run(self) -> None:
        if self._socket is None:
            self.bind()
        assert self._socket is not None  # noqa: S101 - for the type checker
        logger.info("health and metrics on http://%s:%d", self.address, self.port, extra={"port": self.port})
        await serve(uvicorn.Config(self._app, log_config=None, access_log=False, lifespan="off"), self._socket)


def status_app(registry: CollectorRegistry, ready: Callable[[], bool], healthy: Callable[[], bool]) -> FastAPI:
    """The application, for a service that has a server already."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    # A probe that fails must say so at once, and every handler answers at once: none of them needs a thread.
    app.add_api_route("/healthz", _probe("healthy", healthy), methods=["GET"])
    app.add_api_route("/readyz", _probe("ready", ready), methods=["GET"])

    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/metrics", metrics, methods=["GET"])
    return app


def _probe(word: str, holds: Callable[[], bool]) -> Callable[[], object]:
    async def probe() -> Response:
        if holds():
            return Response(f"{word}\n", media_type="text/plain")
        return Response(f"not {word}\n", status_code=503, media_type="text/plain")

    return probe


def bind_socket(address: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises `InvalidInput`, in one clear line, when it can't be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; without it each answer waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise InvalidInput(f"cannot listen on {address}:{port}: {error.strerror or error}") from error
    listening.setblocking(False)
    return listening


class _Server(uvicorn.Server):
    """uvicorn, without its own signal handlers: the process' frame has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(config: uvicorn.Config, listening: socket.socket) -> None:
    """Serve on a socket until cancelled, then end in good order, within two seconds."""
    config.timeout_graceful_shutdown = config.timeout_graceful_shutdown or 2
    server = _Server(config)
    # The server runs beside, so that a cancellation of this coroutine can ask it to end, instead of tearing it down.
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listening]), name="http-server")
    try:
        await asyncio.wait([serving])
    finally:
        server.should_exit = True
        await asyncio.wait([serving])
        listening.close()
    serving.result()
