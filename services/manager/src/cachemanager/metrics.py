"""What the manager counts, and a client that counts its writes."""

from __future__ import annotations

import collections
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cachecore.controller.guarded_client import GuardedClient
from cachecore.controller.metrics import ControllerMetrics
from cachecore.ports.cluster import ClusterClient
from cachecore.resources.meta import Resource
from cachecore.resources.serving import CopyState
from cachemanager.fleet import Fleet
from cachemanager.status import READY, condition_status


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
        self.leading = Gauge(
            "localmodel_manager_leading", "1 while this process leads, and may write.", registry=registry
        )
        self._registry = registry
        self._written: dict[tuple[str, str], Counter] = {}

    def count_fleet(self, fleet: Fleet) -> None:
        """From now on the gauges tell of these caches and copies: counted when somebody asks, and not before."""
        self._registry.register(_FleetGauges(fleet))

    def wrote(self, verb: str, kind: str) -> None:
        counter = self._written.get((verb, kind))
        if counter is None:
            counter = self._written[verb, kind] = self.writes.labels(verb, kind)
        counter.inc()


class _FleetGauges(Collector):
    """Counts all caches and copies at each scrape."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def describe(self) -> Iterator[Metric]:
        yield from self._gauges()

    def collect(self) -> Iterator[Metric]:
        caches, copies = self._gauges()
        # Copied: a scrape may be answered by another thread.
        ready = collections.Counter(condition_status(one.status, READY) for one in list(self._fleet.caches.values()))
        for word in ("True", "False", "Unknown"):
            caches.add_metric([word], ready[word])
        states = collections.Counter(
            report.state for local in list(self._fleet.local_nodes.values()) for report in local.status.models
        )
        for state in CopyState:
            copies.add_metric([state.value], states[state])
        yield caches
        yield copies

    @staticmethod
    def _gauges() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "localmodel_manager_caches", "Caches, by the status of their condition Ready.", labels=["ready"]
            ),
            GaugeMetricFamily("localmodel_manager_copies", "Copies on nodes, by their state.", labels=["state"]),
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
        self._metrics.wrote(verb, f"{name}/{subresource}" if subresource else name)
