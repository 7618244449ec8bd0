"""What a real API server asks of a kubelet for `kubectl logs`: one server for all nodes of the local cluster.

Only the logs of containers are served: /containerLogs/{namespace}/{pod}/{container}, with the parameters that the API
server passes on. It is known by its certificate; nobody else on this machine is let in.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Self

from aiohttp import web

from cachecore.errors import ApiError
from cachesim.apiserver.builtin import POD
from cachesim.apiserver.http import PodLogs
from cachesim.apiserver.verbs import RawVerbs
from cachesim.host.ports import ADDRESS


class KubeletServer:
    """`async with` it; `port` is valid inside."""

    port: int

    def __init__(
        self, verbs: RawVerbs, logs: PodLogs, *, certificate: Path, private_key: Path, authority: Path
    ) -> None:
        self._verbs = verbs
        self._logs = logs
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._tls.load_cert_chain(certificate, private_key)
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._read)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, 0, ssl_context=self._tls).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _read(self, request: web.Request) -> web.StreamResponse:
        names, query = request.match_info, request.query
        tail = query.get("tailLines", "")
        try:
            pod = await self._verbs.get(POD, names["pod"], names["namespace"])
            pieces = self._logs.read(
                pod,
                names["container"],
                follow=query.get("follow") == "true",
                tail_lines=int(tail) if tail.isdigit() else None,
                previous=query.get("previous") == "true",
            )
            # The first piece is awaited here, so that an error still becomes an answer's code.
            first = await anext(pieces, b"")
        except ApiError as error:
            return web.Response(status=error.status_code, text=error.message)
        response = web.StreamResponse(headers={"content-type": "text/plain"})
        await response.prepare(request)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        return response
