"""What tests ask of a server over HTTP beside its verbs: tables, webhooks over TLS."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from typing import Self

import msgspec
from aiohttp import web

from cachesim.apiserver.http.raw_client import HttpVerbs
from cachesim.apiserver.resources import JsonObject, ResourceType
from cachesim.apiserver.testing_webhooks import DOWN, WebhookFunctions
from cachesim.host.certificates import ServerCertificate

_ADDRESS = "127.0.0.1"


class HttpBackstage:
    """`async with` it; the webhooks are served from when the first of them is asked for until the end."""

    def __init__(
        self,
        verbs: HttpVerbs,
        functions: WebhookFunctions,
        certificate: ServerCertificate,
        compact: Callable[[int], Awaitable[None]],
    ) -> None:
        self._verbs = verbs
        self._certificate = certificate
        self._compact = compact
        self._runner: web.AppRunner | None = None
        self.functions = functions

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            # The transports of TLS connections close in the loop's next turns.
            await asyncio.sleep(0)

    async def compact(self, revision: int) -> None:
        await self._compact(revision)

    async def table(
        self, resource_type: ResourceType, namespace: str, name: str = "", include: str = "Metadata"
    ) -> JsonObject:
        return await self._verbs.table(resource_type, namespace=namespace, name=name, include=include)

    async def webhook_address(self, name: str) -> JsonObject:
        if name not in self.functions:
            return {"url": DOWN}
        if self._runner is None:
            self._runner = await self._serve()
        port = self._runner.addresses[0][1]
        bundle = base64.b64encode(self._certificate.authority).decode()
        return {"url": f"https://{_ADDRESS}:{port}/{name}", "caBundle": bundle}

    async def _serve(self) -> web.AppRunner:
        application = web.Application()
        application.router.add_post("/{name}", self._answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate.certificate, self._certificate.private_key)
        # A webhook that is given up has no reason to go on; and a server keeps its connections to them open.
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, _ADDRESS, 0, ssl_context=context).start()
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        review = msgspec.json.decode(await request.read())
        answer = await self.functions.answer(request.match_info["name"], review)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
