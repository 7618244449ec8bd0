"""What the agent counts, for Prometheus. The registry is given, never the global one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cachecore.resources.serving import CopyState, NodeStorageStatus

_SECONDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class AgentMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.downloads = Counter(
            "localmodel_downloads_total", "Downloads that ended, by result.", ["result"], registry=registry
        )
        self.fetched_bytes = Counter(
            "localmodel_fetched_bytes_total", "Bytes that came from the sources.", registry=registry
        )
        self.evictions = Counter(
            "localmodel_evictions_total", "Copies that were evicted, by reason.", ["reason"], registry=registry
        )
        self.download_seconds = Histogram(
            "localmodel_download_seconds",
            "Duration of the downloads that succeeded.",
            registry=registry,
            buckets=_SECONDS,
        )
        self.copies = Gauge("localmodel_copies", "Copies on this node, by state.", ["state"], registry=registry)
        self.storage_bytes = Gauge(
            "localmodel_storage_bytes",
            "The node's storage for models: limit, used, reserved.",
            ["kind"],
            registry=registry,
        )
        self.status_writes = Counter(
            "localmodel_status_writes_total", "Writes of this node's LocalModelNode status.", registry=registry
        )

        # Looked up once: they are set at each reconcile.
        self._copies = [(state, self.copies.labels(state.value)) for state in CopyState]
        self._limit, self._used, self._reserved = (
            self.storage_bytes.labels(kind) for kind in ("limit", "used", "reserved")
        )

    def show(self, states: list[CopyState], storage: NodeStorageStatus) -> None:
        for state, copies in self._copies:
            copies.set(states.count(state))
        self._limit.set(storage.limit)
        self._used.set(storage.used)
        self._reserved.set(storage.reserved)
