"""The objects that an administrator of a simulated cluster applies."""

from __future__ import annotations

from typing import Any

from cachecore.quantity import quantity_bytes
from cachesim.simulation.scenario import Model, Scenario
from cachesim.simulation.workload import model_uri
from cachesim.simulation.world import GROUP_PATH

GROUP = "workers"
# Takes a node out of the group when its value is "no".
MEMBER_LABEL = "localmodel.example.com/member"
STORAGE_CLASS = "local-models"

JsonObject = dict[str, Any]


def model_files(model: Model) -> dict[str, int]:
    """The objects that S3 has of a model, in bytes by name."""
    size = quantity_bytes(model.size)
    shares = [size // model.files] * (model.files - 1)
    shares.append(size - sum(shares))
    return {f"model-{number:05}.safetensors": share for number, share in enumerate(shares, 1)}


def namespace_object(name: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def group_object(scenario: Scenario) -> JsonObject:
    """The node group over every node that does not say otherwise."""
    group = scenario.group
    members = {
        "matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "Exists"},
            {"key": MEMBER_LABEL, "operator": "NotIn", "values": ["no"]},
        ]
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "LocalModelNodeGroup",
        "metadata": {"name": GROUP},
        "spec": {
            "storageLimit": group.storage_limit,
            "eviction": {
                "policy": group.policy,
                "highWatermark": group.high_watermark,
                "lowWatermark": group.low_watermark,
            },
            "maxConcurrentDownloads": group.max_concurrent_downloads,
            "persistentVolumeSpec": {
                "capacity": {"storage": group.storage_limit},
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": STORAGE_CLASS,
                "local": {"path": GROUP_PATH},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [members]}},
            },
            "persistentVolumeClaimSpec": {
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": STORAGE_CLASS,
                "resources": {"requests": {"storage": group.storage_limit}},
            },
        },
    }


def cache_object(model: Model, name: str = "") -> JsonObject:
    """The model's cache, under its name or another."""
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
        "metadata": {"name": name or model.name},
        "spec": spec,
    }


def namespace_cache_object(model: Model, namespace: str) -> JsonObject:
    body = cache_object(model)
    metadata = {**body["metadata"], "namespace": namespace}
    return {**body, "kind": "LocalModelNamespaceCache", "metadata": metadata}


def service_object(name: str, namespace: str, uri: str, replicas: int, node: str) -> JsonObject:
    """An InferenceService, on one node if it says so."""
    selector = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    model = {"modelFormat": {"name": "huggingface"}, "storageUri": uri}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"predictor": {"minReplicas": replicas, "model": model, **selector}},
    }


def webhook_configurations() -> list[JsonObject]:
    """Pods are mutated, and never refused: a webhook that fails leaves them uncached. Our kinds are validated."""
    kinds = ["localmodelcaches", "localmodelnamespacecaches", "localmodelnodegroups", "localmodelnodes"]
    common = {"failurePolicy": "Ignore", "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "localmodel"},
            "webhooks": [
                {
                    **common,
                    "name": "pods.localmodel.kserve.io",
                    "clientConfig": {"url": "https://webhook.localmodel-system.svc/mutate-pods"},
                    "rules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                    ],
                    "reinvocationPolicy": "IfNeeded",
                }
            ],
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "localmodel"},
            "webhooks": [
                {
                    **common,
                    "name": "localmodels.localmodel.kserve.io",
                    "clientConfig": {"url": "https://webhook.localmodel-system.svc/validate-localmodels"},
                    "rules": [
                        {
                            "apiGroups": ["serving.kserve.io"],
                            "apiVersions": ["v1alpha1"],
                            "operations": ["CREATE", "UPDATE", "DELETE"],
                            "resources": kinds,
                        }
                    ],
                }
            ],
        },
    ]
