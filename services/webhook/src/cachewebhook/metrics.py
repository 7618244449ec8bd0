"""What the webhook counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class WebhookMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.admissions = Counter(
            "localmodel_webhook_admissions_total",
            "Pods that were admitted, by what was decided: Mounted, or the reason why a pod was left alone.",
            ["reason"],
            registry=registry,
        )
        self.validations = Counter(
            "localmodel_webhook_validations_total",
            "Objects that were validated.",
            ["kind", "operation", "allowed"],
            registry=registry,
        )
        self.refused_requests = Counter(
            "localmodel_webhook_refused_requests_total",
            "HTTP requests that were no review that could be answered, by status code.",
            ["code"],
            registry=registry,
        )
        self.review_seconds = Histogram(
            "localmodel_webhook_review_duration_seconds",
            "How long the answer to a review took, without waiting for news.",
            ["path"],
            buckets=(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
            registry=registry,
        )
