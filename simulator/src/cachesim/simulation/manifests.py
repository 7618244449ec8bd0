"""The objects that an administrator of a simulated cluster applies."""

from __future__ import annotations

from typing import Any

from cachesim.simulation.scenario import Model, Scenario
from cachesim.simulation.workload import model_uri
from cachesim.simulation.world import GROUP_PATH

GROUP = "workers"
STORAGE_CLASS = "local-models"

JsonObject = dict[str, Any]


def namespace_object(name: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def group_object(scenario: Scenario) -> JsonObject:
    """The node group over every node."""
    group = scenario.group
    every_node = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "LocalModelNodeGroup",
        "metadata": {"name": GROUP},
        "spec": {
            "storageLimit": group.storage_limit,
            "eviction": {"highWatermark": group.high_watermark, "lowWatermark": group.low_watermark},
            "maxConcurrentDownloads": group.max_concurrent_downloads,
            "persistentVolumeSpec": {
                "capacity": {"storage": group.storage_limit},
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": STORAGE_CLASS,
                "local": {"path": GROUP_PATH},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [every_node]}},
            },
            "persistentVolumeClaimSpec": {
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": STORAGE_CLASS,
                "resources": {"requests": {"storage": group.storage_limit}},
            },
        },
    }


def cache_object(model: Model) -> JsonObject:
    spec: JsonObject = {
        "sourceModelUri": model_uri(model),
        "modelSize": model.size,
        "nodeGroups": [GROUP],
        "priority": model.priority,
        "pinned": model.pinned,
    }
    if model.copies is not None:
        spec["copies"] = model.copies
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "LocalModelCache",
        "metadata": {"name": model.name},
        "spec": spec,
    }


def webhook_configurations() -> list[JsonObject]:
    """Pods are mutated, and never refused: a webhook that fails leaves them uncached."""
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "localmodel"},
            "webhooks": [
                {
                    "name": "pods.localmodel.kserve.io",
                    "clientConfig": {"url": "https://webhook.localmodel-system.svc/mutate-pods"},
                    "rules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                    ],
                    "failurePolicy": "Ignore",
                    "reinvocationPolicy": "IfNeeded",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                }
            ],
        }
    ]
