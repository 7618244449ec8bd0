"""What the manager counts, and a client that counts its writes."""

from __future__ import annotations

from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge

from cachecore.controller.metrics import ControllerMetrics
from cachecore.ports.cluster import ClusterClient, Patch, ResourceList, Watch
from cachecore.resources.meta import Resource

R = TypeVar("R", bound=Resource)


class ManagerMetrics:
    """All metrics of the manager, on the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.controllers = ControllerMetrics(registry)
        self.writes = Counter(
            "localmodel_manager_writes_total",
            "Writes to the API server, by verb and kind; the subresource status is told as Kind/status.",
            ["verb", "kind"],
            registry=registry,
        )
        self.caches = Gauge(
            "localmodel_manager_caches", "Caches, by the status of their condition Ready.", ["ready"], registry=registry
        )
        self.copies = Gauge(
            "localmodel_manager_copies", "Copies on nodes, by their state.", ["state"], registry=registry
        )
        self.leading = Gauge(
            "localmodel_manager_leading", "1 while this process leads, and may write.", registry=registry
        )


class CountingClient:
    """A `ClusterClient` that counts the writes which pass through it."""

    def __init__(self, client: ClusterClient, metrics: ManagerMetrics) -> None:
        self._client = client
        self._metrics = metrics
        self.writes = 0

    def _count(self, verb: str, kind: type[Resource], subresource: str = "") -> None:
        self.writes += 1
        name = kind.resource_type.kind
        self._metrics.writes.labels(verb, f"{name}/{subresource}" if subresource else name).inc()

    async def get(self, kind: type[R], name: str, namespace: str = "") -> R:
        return await self._client.get(kind, name, namespace)

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
        return await self._client.list(
            kind,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
        )

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
        return await self._client.watch(
            kind,
            resource_version=resource_version,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
        )

    async def create(self, resource: R) -> R:
        self._count("create", type(resource))
        return await self._client.create(resource)

    async def update(self, resource: R) -> R:
        self._count("update", type(resource))
        return await self._client.update(resource)

    async def update_status(self, resource: R) -> R:
        self._count("update", type(resource), "status")
        return await self._client.update_status(resource)

    async def patch(self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = "") -> R:
        self._count("patch", kind, subresource)
        return await self._client.patch(kind, name, patch, namespace=namespace, subresource=subresource)

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
        self._count("delete", kind)
        await self._client.delete(
            kind,
            name,
            namespace=namespace,
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
            grace_period_seconds=grace_period_seconds,
        )
