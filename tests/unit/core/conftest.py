"""Every runtime, for the tests that hold them all to the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest
import simpy

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.ports import Runtime
from cachecore.testing import VirtualRuntime
from cachesim.runtime import SimpyRuntime

Scenario: TypeAlias = Callable[[Runtime], Coroutine[Any, Any, Any]]
Execute: TypeAlias = Callable[[Scenario], Any]


def on_asyncio(scenario: Scenario) -> Any:
    async def main() -> Any:
        return await scenario(AsyncioRuntime(seed=0))

    return asyncio.run(main())


def on_virtual_time(scenario: Scenario) -> Any:
    runtime = VirtualRuntime(seed=0)
    return runtime.run(scenario(runtime))


def on_simpy(scenario: Scenario) -> Any:
    runtime = SimpyRuntime(simpy.Environment(), seed=0)
    try:
        return runtime.run(scenario(runtime))
    finally:
        runtime.close()


RUNTIMES = {"asyncio": on_asyncio, "virtual": on_virtual_time, "simpy": on_simpy}


@pytest.fixture(params=list(RUNTIMES.values()), ids=list(RUNTIMES))
def execute(request: pytest.FixtureRequest) -> Execute:
    run: Execute = request.param
    return run
