from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from cachecore.adapters.status_server import StatusServer, bind_socket
from cachecore.errors import InvalidInput


def ask(
    path: str, *, ready: Callable[[], bool] = lambda: True, healthy: Callable[[], bool] = lambda: True
) -> tuple[int, str]:
    """Start a server, ask it once, stop it by a cancellation."""

    async def main() -> tuple[int, str]:
        registry = CollectorRegistry()
        Counter("localmodel_things", "Things.", registry=registry).inc(3)
        server = StatusServer(address="127.0.0.1", port=0, registry=registry, ready=ready, healthy=healthy)
        server.bind()
        serving = asyncio.create_task(server.run())
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{server.port}{path}") as response,
        ):
            answer = response.status, await response.text()
        serving.cancel()
        await asyncio.wait([serving])
        assert serving.cancelled()
        return answer

    return asyncio.run(main())


def test_a_healthy_service_says_so() -> None:
    assert ask("/healthz") == (200, "healthy\n")


def test_an_unhealthy_service_says_so() -> None:
    assert ask("/healthz", healthy=lambda: False) == (503, "not healthy\n")


def test_readiness_is_another_question_than_health() -> None:
    assert ask("/readyz", ready=lambda: False) == (503, "not ready\n")
    assert ask("/readyz") == (200, "ready\n")


def test_metrics_are_those_of_the_registry_that_was_given() -> None:
    status, text = ask("/metrics")
    assert status == 200
    assert "localmodel_things_total 3.0" in text
    assert "python_info" not in text


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    taken = bind_socket("127.0.0.1", 0)
    port = taken.getsockname()[1]
    try:
        with pytest.raises(InvalidInput, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            bind_socket("127.0.0.1", port)
    finally:
        taken.close()
