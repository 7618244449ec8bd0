from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachesim.apiserver import ApiServer
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION
from cachesim.apiserver.http import HttpFront
from cachesim.definitions import load_definitions

Visit = Callable[[ApiServer, aiohttp.ClientSession], Awaitable[Any]]


@pytest.fixture
def visit() -> Callable[..., Any]:
    """Runs a coroutine function with a server and an HTTP session to its front."""

    def run(test: Visit, *, token: str = "good", **front: Any) -> Any:
        async def main() -> Any:
            server = ApiServer(AsyncioRuntime())
            for definition in load_definitions():
                await server.create(CUSTOM_RESOURCE_DEFINITION, definition)
            async with (
                HttpFront(server, users_by_token={"good": "ada"}, **front) as serving,
                aiohttp.ClientSession(serving.url, headers={"authorization": f"Bearer {token}"}) as session,
            ):
                return await test(server, session)

        return asyncio.run(main())

    return run
