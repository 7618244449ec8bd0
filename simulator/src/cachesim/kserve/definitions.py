"""KServe's own kinds, as far as a cluster without KServe needs them."""

from __future__ import annotations

from cachecore.resources.meta import JsonObject
from cachecore.resources.serving import GROUP


def kserve_definitions() -> list[JsonObject]:
    """KServe's services, which the local cluster takes as they come: their schemas are KServe's own business.

    Each in the version that the services read: our own API server serves no kind in two.
    """
    return [
        _definition("InferenceService", "inferenceservices", "isvc", "v1beta1"),
        _definition("LLMInferenceService", "llminferenceservices", "llmisvc", "v1alpha2"),
    ]


def _definition(kind: str, plural: str, short_name: str, version: str) -> JsonObject:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    columns = [
        {"name": "URL", "type": "string", "jsonPath": ".status.url"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short_name],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [served]},
    }
