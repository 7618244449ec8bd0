"""A host's view of the API server: each request takes time, and a crashed host's answers reach nobody."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from cachecore.ports import ClusterClient, Watch, WatchEvent
from cachecore.resources.meta import Resource
from cachesim.passing_client import PassingClient
from cachesim.runtime import SimpyRuntime

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


class _LaggedWatch(Generic[R]):
    def __init__(self, watch: Watch[R], client: LaggedClient) -> None:
        self._watch = watch
        self._client = client

    async def receive(self) -> WatchEvent[R] | None:
        event = await self._watch.receive()
        await self._client.lag()
        return event

    async def close(self) -> None:
        await self._watch.close()


class LaggedClient(PassingClient):
    """The ClusterClient port of one host, over the in-memory one: `latency_seconds` each way, with jitter.

    A write is applied half-way: a host that crashes while it waits for the answer has written all the same.
    """

    def __init__(self, runtime: SimpyRuntime, client: ClusterClient, *, latency_seconds: float) -> None:
        super().__init__(client)
        self._runtime = runtime
        self._latency_seconds = latency_seconds

    def lag(self) -> Coroutine[Any, Any, None]:
        return self._runtime.sleep(self._latency_seconds * (0.5 + self._runtime.random.random()))

    async def through(self, verb: str, subject: str, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        await self.lag()
        answer = await call()
        # Of a watch, each event takes the way back instead.
        if verb != "watch":
            await self.lag()
        return answer

    def watched(self, watch: Watch[R]) -> Watch[R]:
        return _LaggedWatch(watch, self)
