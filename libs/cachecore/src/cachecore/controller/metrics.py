"""What controllers count. The registry is always passed in, never the global one; time is the runtime's."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ControllerMetrics:
    """One instance serves all controllers of a process; the label `controller` tells them apart."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reconciles = Counter(
            "localmodel_controller_reconcile_total",
            "Reconciles, by result: success, requeue_after, error.",
            ["controller", "result"],
            registry=registry,
        )
        self.errors = Counter(
            "localmodel_controller_reconcile_errors_total",
            "Reconciles that raised, by the error's class.",
            ["controller", "error"],
            registry=registry,
        )
        self.queue_depth = Gauge(
            "localmodel_controller_queue_depth",
            "Keys that wait to be reconciled.",
            ["controller"],
            registry=registry,
        )
        self.duration_seconds = Histogram(
            "localmodel_controller_reconcile_duration_seconds",
            "How long a reconcile took.",
            ["controller"],
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0),
            registry=registry,
        )
        self.active_workers = Gauge(
            "localmodel_controller_active_workers",
            "Reconciles that run at this moment.",
            ["controller"],
            registry=registry,
        )
