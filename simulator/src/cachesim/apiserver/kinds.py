"""What is special about the built-in kinds: the defaults, the finalizers and the status that a new object gets."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from cachesim.apiserver.builtin_admission import gated_conditions, new_node, with_patience
from cachesim.apiserver.crd import default_definition, new_definition
from cachesim.apiserver.quality_of_service import quality_of_service
from cachesim.apiserver.resources import JsonObject, ResourceType

_Default = Callable[[JsonObject], JsonObject]


def prepare_new(resource_type: ResourceType, item: JsonObject) -> JsonObject:
    """A built-in object as the server stores it first: defaults filled in, status reset to its first phase."""
    prepare = _PREPARE.get((resource_type.group, resource_type.kind))
    return prepare(default(resource_type, item)) if prepare else default(resource_type, item)


def default(resource_type: ResourceType, item: JsonObject) -> JsonObject:
    """The object with the defaults of its kind. The same object when nothing is missing."""
    fill = _DEFAULTS.get((resource_type.group, resource_type.kind))
    return fill(item) if fill else item


def names_are_labels(resource_type: ResourceType) -> bool:
    return not resource_type.group and resource_type.kind == "Namespace"


def with_spec(item: JsonObject, **values: Any) -> JsonObject:
    """The object with those spec fields where they are absent."""
    spec = item.get("spec") or {}
    missing = {key: value for key, value in values.items() if spec.get(key) in (None, "")}
    return {**item, "spec": {**spec, **missing}} if missing else item


def _with_finalizer(item: JsonObject, finalizer: str) -> JsonObject:
    metadata = item["metadata"]
    present = metadata.get("finalizers") or []
    if finalizer in present:
        return item
    return {**item, "metadata": {**metadata, "finalizers": [*present, finalizer]}}


def _default_pod(item: JsonObject) -> JsonObject:
    return with_spec(
        with_patience(item),
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        serviceAccountName="default",
        securityContext={},
        enableServiceLinks=True,
    )


def _new_pod(item: JsonObject) -> JsonObject:
    status = {"phase": "Pending", "qosClass": quality_of_service(item.get("spec") or {})}
    conditions = gated_conditions(item)
    return {**item, "status": {**status, "conditions": conditions} if conditions else status}


def _new_namespace(item: JsonObject) -> JsonObject:
    metadata = item["metadata"]
    labels = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
    return {
        **item,
        "metadata": {**metadata, "labels": labels},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _default_volume(item: JsonObject) -> JsonObject:
    return with_spec(item, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")


def _new_volume(item: JsonObject) -> JsonObject:
    return {**_with_finalizer(item, "kubernetes.io/pv-protection"), "status": {"phase": "Pending"}}


def _default_claim(item: JsonObject) -> JsonObject:
    return with_spec(item, volumeMode="Filesystem")


def _new_claim(item: JsonObject) -> JsonObject:
    return {**_with_finalizer(item, "kubernetes.io/pvc-protection"), "status": {"phase": "Pending"}}


def _default_secret(item: JsonObject) -> JsonObject:
    item = item if item.get("type") else {**item, "type": "Opaque"}
    plain = item.get("stringData")
    if not plain:
        return item
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    without = {key: value for key, value in item.items() if key != "stringData"}
    return {**without, "data": {**(item.get("data") or {}), **encoded}}


def _default_storage_class(item: JsonObject) -> JsonObject:
    filled = {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}
    missing = {key: value for key, value in filled.items() if not item.get(key)}
    return {**item, **missing} if missing else item


def _default_webhooks(item: JsonObject) -> JsonObject:
    webhooks = [
        {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            **({"reinvocationPolicy": "Never"} if item.get("kind") == "MutatingWebhookConfiguration" else {}),
            **webhook,
        }
        for webhook in item.get("webhooks") or []
    ]
    return {**item, "webhooks": webhooks} if webhooks else item


def _without_status(item: JsonObject) -> JsonObject:
    return {key: value for key, value in item.items() if key != "status"}


_DEFAULTS: dict[tuple[str, str], _Default] = {
    ("", "Pod"): _default_pod,
    ("", "PersistentVolume"): _default_volume,
    ("", "PersistentVolumeClaim"): _default_claim,
    ("", "Secret"): _default_secret,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): default_definition,
    ("storage.k8s.io", "StorageClass"): _default_storage_class,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _default_webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _default_webhooks,
}
_PREPARE: dict[tuple[str, str], _Default] = {
    ("", "Pod"): _new_pod,
    ("", "Node"): new_node,
    ("", "Namespace"): _new_namespace,
    ("", "PersistentVolume"): _new_volume,
    ("", "PersistentVolumeClaim"): _new_claim,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): new_definition,
    ("apps", "Deployment"): _without_status,
    ("apps", "DaemonSet"): _without_status,
}
