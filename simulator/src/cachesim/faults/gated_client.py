"""The ClusterClient port of one process, through its gate; and its watches, which have weather of their own."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from cachecore.ports import ClusterClient, Patch, ResourceList, Watch, WatchEvent, WatchEventType
from cachecore.resources.meta import Resource
from cachesim.faults.gate import Gate
from cachesim.faults.weather import ApiWeather
from cachesim.runtime import SimpyRuntime

R = TypeVar("R", bound=Resource)

# How often a watch that is held back looks whether it may go on.
_HELD_SECONDS = 0.5


class GatedClient:
    """What a ClusterClient is asked, a site each: `update LocalModelNode/node-1`, `patch Node/node-1`."""

    def __init__(self, runtime: SimpyRuntime, client: ClusterClient, gate: Gate, weather: ApiWeather) -> None:
        self._runtime = runtime
        self._client = client
        self._gate = gate
        self._weather = weather
        self._stale_until_seconds = 0.0

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

    def get(self, kind: type[R], name: str, namespace: str = "") -> Coroutine[Any, Any, R]:
        return self._gate.call("get", _subject(kind, name), lambda: self._client.get(kind, name, namespace))

    def list(
        self,
        kind: type[R],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Coroutine[Any, Any, ResourceList[R]]:
        return self._gate.call(
            "list",
            kind.resource_type.kind,
            lambda: self._client.list(
                kind,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=limit,
                continue_token=continue_token,
                resource_version=resource_version,
            ),
        )

    def watch(
        self,
        kind: type[R],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float = 300.0,
    ) -> Coroutine[Any, Any, Watch[R]]:
        async def open_watch() -> Watch[R]:
            watch = await self._client.watch(
                kind,
                resource_version=resource_version,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                timeout_seconds=timeout_seconds,
            )
            return _GatedWatch(watch, self)

        return self._gate.call("watch", kind.resource_type.kind, open_watch)

    def create(self, resource: R) -> Coroutine[Any, Any, R]:
        subject = _subject(type(resource), resource.name)
        return self._gate.call("create", subject, lambda: self._client.create(resource))

    def update(self, resource: R) -> Coroutine[Any, Any, R]:
        subject = _subject(type(resource), resource.name)
        return self._gate.call("update", subject, lambda: self._client.update(resource))

    def update_status(self, resource: R) -> Coroutine[Any, Any, R]:
        subject = _subject(type(resource), resource.name)
        return self._gate.call("update_status", subject, lambda: self._client.update_status(resource))

    def patch(
        self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = ""
    ) -> Coroutine[Any, Any, R]:
        return self._gate.call(
            "patch",
            _subject(kind, name),
            lambda: self._client.patch(kind, name, patch, namespace=namespace, subresource=subresource),
        )

    def delete(
        self,
        kind: type[R],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
    ) -> Coroutine[Any, Any, None]:
        return self._gate.call(
            "delete",
            _subject(kind, name),
            lambda: self._client.delete(
                kind,
                name,
                namespace=namespace,
                uid=uid,
                resource_version=resource_version,
                propagation=propagation,
                grace_period_seconds=grace_period_seconds,
            ),
        )


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


def _subject(kind: type[Resource], name: str) -> str:
    # Events have random names: what they are about is not a site.
    plural = kind.resource_type.kind
    return plural if plural == "Event" else f"{plural}/{name}"
