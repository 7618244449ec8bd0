"""Every test of this folder is a coroutine that takes `api`, and runs on each server of the suite."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, cast

import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.testing import VirtualRuntime
from cachesim.apiserver import ApiServer
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from cachesim.apiserver.http import HttpFront
from cachesim.apiserver.http.raw_client import HttpVerbs
from cachesim.apiserver.testing import ContractApi, ContractServer, ContractTest, typed
from cachesim.apiserver.testing_kinds import WIDGET_DEFINITION


class MemoryServer:
    """The in-memory server on virtual time, anew for each test."""

    def run(self, test: ContractTest) -> None:
        runtime = VirtualRuntime()

        async def main() -> None:
            server = ApiServer(runtime)
            server.spawn_controllers()
            api = ContractApi(server, runtime, namespace="contract")
            await server.create(NAMESPACE, typed(NAMESPACE, {"metadata": {"name": "contract"}}))
            await server.create(CUSTOM_RESOURCE_DEFINITION, WIDGET_DEFINITION)
            await test(api)

        runtime.run(main())


class HttpServer:
    """The in-memory server in real time behind its HTTP front, anew for each test."""

    def run(self, test: ContractTest) -> None:
        asyncio.run(self._run(test))

    async def _run(self, test: ContractTest) -> None:
        runtime = AsyncioRuntime()
        server = ApiServer(runtime)
        server.spawn_controllers()
        await server.create(NAMESPACE, typed(NAMESPACE, {"metadata": {"name": "contract"}}))
        await server.create(CUSTOM_RESOURCE_DEFINITION, WIDGET_DEFINITION)
        async with HttpFront(server) as front, HttpVerbs(front.url) as verbs:
            await test(ContractApi(verbs, runtime, namespace="contract"))


SERVERS: dict[str, type[ContractServer]] = {"http": HttpServer, "memory": MemoryServer}


@pytest.fixture(params=sorted(SERVERS))
def contract_server(request: pytest.FixtureRequest) -> ContractServer:
    return SERVERS[request.param]()


@pytest.fixture
def api(contract_server: ContractServer) -> ContractServer:
    """What a test asks for; it gets the `ContractApi` that the server makes when the test runs."""
    return contract_server


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on its server."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = list(inspect.signature(pyfuncitem.obj).parameters)
    others: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names if name != "api"}

    async def test(api: ContractApi) -> None:
        await pyfuncitem.obj(api, **others)

    server = cast("ContractServer", pyfuncitem.funcargs["api"])
    server.run(test)
    return True
