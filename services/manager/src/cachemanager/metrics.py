"""What the manager counts, and a client that counts its writes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from cachecore.controller.guarded_client import GuardedClient
from cachecore.controller.metrics import ControllerMetrics
from cachecore.ports.cluster import ClusterClient
from cachecore.resources.meta import Resource


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


class CountingClient(GuardedClient):
    """A `ClusterClient` that counts the writes which pass through it."""

    def __init__(self, client: ClusterClient, metrics: ManagerMetrics) -> None:
        super().__init__(client, self._count)
        self._metrics = metrics
        self.writes = 0

    def _count(self, verb: str, kind: type[Resource], subresource: str) -> None:
        self.writes += 1
        name = kind.resource_type.kind
        self._metrics.writes.labels(verb, f"{name}/{subresource}" if subresource else name).inc()
