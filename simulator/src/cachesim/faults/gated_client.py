"""The ClusterClient port of one process, through its gate; and its watches, which have weather of their own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from cachecore.ports import ClusterClient, Watch, WatchEvent, WatchEventType
from cachecore.resources.meta import Resource
from cachesim.faults.gate import Gate
from cachesim.faults.weather import ApiWeather
from cachesim.passing_client import PassingClient
from cachesim.runtime import SimpyRuntime

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

# How often a watch that is held back looks whether it may go on.
_HELD_SECONDS = 0.5


class GatedClient(PassingClient):
    """What a ClusterClient is asked, a site each: `update LocalModelNode/node-1`, `patch Node/node-1`."""

    def __init__(self, runtime: SimpyRuntime, client: ClusterClient, gate: Gate, weather: ApiWeather) -> None:
        super().__init__(client)
        self._runtime = runtime
        self._gate = gate
        self._weather = weather
        self._stale_until_seconds = 0.0

    def through(self, verb: str, subject: str, call: Callable[[], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        return self._gate.call(verb, subject, call)

    def watched(self, watch: Watch[R]) -> Watch[R]:
        return _GatedWatch(watch, self)

    def go_stale(self, lasting_seconds: float) -> None:
        """From now on, and for so long, its watches deliver nothing."""
        self._stale_until_seconds = max(self._stale_until_seconds, self._runtime.monotonic() + lasting_seconds)

    async def pass_event(self, event: WatchEvent[R] | None) -> int:
        """Hold an event back as long as it must be; answer how often it is delivered."""
        if not self._stale_until_seconds and self._weather.calm():
            return 1
        while self._weather.holds_watches() or self._runtime.monotonic() < self._stale_until_seconds:
            await self._runtime.sleep(_HELD_SECONDS)
        if event is None or event.type is WatchEventType.BOOKMARK:
            return 1
        if self._weather.drops_event():
            return 0
        return 2 if self._weather.repeats_event() else 1


class _GatedWatch(Generic[R]):
    def __init__(self, watch: Watch[R], client: GatedClient) -> None:
        self._watch = watch
        self._client = client
        self._again: WatchEvent[R] | None = None

    async def receive(self) -> WatchEvent[R] | None:
        again, self._again = self._again, None
        if again is not None:
            return again
        while True:
            event = await self._watch.receive()
            times = await self._client.pass_event(event)
            if times:
                self._again = event if times > 1 else None
                return event

    async def close(self) -> None:
        await self._watch.close()
