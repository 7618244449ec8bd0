"""An API server on the loopback that answers what a test tells it to, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from aiohttp import web

from cachecore.adapters.kube import KubeClient, connect

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Scenario: TypeAlias = Callable[[KubeClient], Awaitable[Any]]


class Connecting(Protocol):
    """`cachecore.adapters.kube.connect`, or what a test does around it."""

    async def __call__(self, kubeconfig: str, *, user_agent: str) -> KubeClient: ...


NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "a", "resourceVersion": "5", "creationTimestamp": None, "managedFields": [{"manager": "x"}]},
    "spec": {"podCIDR": "10.0.0.0/24"},
}


class ScriptedApiServer:
    """Answers with `handler`; remembers the requests as (method, path with query, headers, body)."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self._tls = tls

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, str(request.rel_url), dict(request.headers), body))
        return await self.handler(request)

    def run(self, folder: Path, scenario: Scenario, *, token: str = "secret", connecting: Connecting = connect) -> Any:
        """Serve, connect (by a kubeconfig with that token), run `scenario`, stop."""

        async def main() -> Any:
            runner = web.ServerRunner(web.Server(self.answer), shutdown_timeout=0.01)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
            await site.start()
            port = runner.addresses[0][1]
            path = write_kubeconfig(folder, f"{'https' if self._tls else 'http'}://127.0.0.1:{port}", token)
            try:
                client = await connecting(str(path), user_agent="tester/1")
                try:
                    return await scenario(client)
                finally:
                    await client.close()
            finally:
                await runner.cleanup()

        return asyncio.run(main())


def write_kubeconfig(folder: Path, server: str, token: str) -> Path:
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": token}}],
    }
    path.write_text(json.dumps(content))
    return path


def always(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(content, status=status, headers=headers)

    return handler


def refusal(code: int, reason: str = "", message: str = "no") -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def events(*lines: Any, pause_seconds: float = 0.0) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(json.dumps(line).encode() + b"\n")
        await asyncio.sleep(pause_seconds)
        return response

    return handler
