"""Serves the application with uvicorn, on a socket that is bound before anything is promised."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import uvicorn

from cachesim.apiserver.http.app import PodLogs, create_app
from cachesim.apiserver.server import ApiServer
from cachesim.host.ports import bind


class HttpFront:
    """`async with HttpFront(server) as front:` the server is reached at `front.url`.

    `users_by_token` None lets everybody in as the admin. A port of 0 is any free one. With `tls` (the files of a
    certificate and of its key) it speaks HTTPS: kubectl sends no token over plain HTTP.
    """

    def __init__(
        self,
        server: ApiServer,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        users_by_token: Mapping[str, str] | None = None,
        pod_logs: PodLogs | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self._server = server
        self._socket = bind(address, port)
        host, bound_port = self._socket.getsockname()[:2]
        self.port: int = bound_port
        self.url = f"{'https' if tls else 'http'}://{host}:{bound_port}"
        config = uvicorn.Config(
            create_app(server, users_by_token=users_by_token, pod_logs=pod_logs),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
        )
        self._uvicorn = _Uvicorn(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve; return once a connection is accepted."""
        self._serving = asyncio.create_task(self._uvicorn.serve(sockets=[self._socket]), name="http-front")
        while not self._uvicorn.started:
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """End the open watches in good order, then stop listening."""
        self._uvicorn.end()
        self._server.disconnect_watches()
        if self._serving is not None:
            await self._serving
            self._serving = None
        self._socket.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class _Uvicorn(uvicorn.Server):
    """The signals belong to the program, not to this one of its parts; and it ends at once when told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        # A tick keeps the Date header fresh, which needs one each second.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._told.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
