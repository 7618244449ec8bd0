"""A host's view of the API server: each request takes time, and a crashed host's answers reach nobody."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from cachecore.ports import ClusterClient, Patch, ResourceList, Watch, WatchEvent
from cachecore.resources.meta import Resource
from cachesim.runtime import SimpyRuntime

R = TypeVar("R", bound=Resource)


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


class LaggedClient:
    """The ClusterClient port of one host, over the in-memory one: `latency_seconds` each way, with jitter.

    A write is applied half-way: a host that crashes while it waits for the answer has written all the same.
    """

    def __init__(self, runtime: SimpyRuntime, client: ClusterClient, *, latency_seconds: float) -> None:
        self._runtime = runtime
        self._client = client
        self._latency_seconds = latency_seconds

    def lag(self) -> Coroutine[Any, Any, None]:
        return self._runtime.sleep(self._latency_seconds * (0.5 + self._runtime.random.random()))

    async def get(self, kind: type[R], name: str, namespace: str = "") -> R:
        await self.lag()
        found = await self._client.get(kind, name, namespace)
        await self.lag()
        return found

    async def list(
        self,
        kind: type[R],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> ResourceList[R]:
        await self.lag()
        page = await self._client.list(
            kind,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
        )
        await self.lag()
        return page

    async def watch(
        self,
        kind: type[R],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float = 300.0,
    ) -> Watch[R]:
        await self.lag()
        watch = await self._client.watch(
            kind,
            resource_version=resource_version,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )
        return _LaggedWatch(watch, self)

    async def create(self, resource: R) -> R:
        await self.lag()
        created = await self._client.create(resource)
        await self.lag()
        return created

    async def update(self, resource: R) -> R:
        await self.lag()
        updated = await self._client.update(resource)
        await self.lag()
        return updated

    async def update_status(self, resource: R) -> R:
        await self.lag()
        updated = await self._client.update_status(resource)
        await self.lag()
        return updated

    async def patch(self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = "") -> R:
        await self.lag()
        patched = await self._client.patch(kind, name, patch, namespace=namespace, subresource=subresource)
        await self.lag()
        return patched

    async def delete(
        self,
        kind: type[R],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        await self.lag()
        await self._client.delete(
            kind,
            name,
            namespace=namespace,
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
            grace_period_seconds=grace_period_seconds,
        )
        await self.lag()
