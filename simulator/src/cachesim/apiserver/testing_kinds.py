"""The kind that the contract suite defines: one of everything that a schema can say."""

from __future__ import annotations

from typing import Any

from cachesim.apiserver.crd import types_of
from cachesim.apiserver.resources import JsonObject

GROUP = "contract.localmodel.test"

_PART: JsonObject = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 32},
        "size": {"type": "integer", "minimum": 1, "maximum": 100, "default": 1},
        "namespace": {"type": "string", "maxLength": 63},
    },
}
_SPEC: JsonObject = {
    "type": "object",
    "required": ["color"],
    "properties": {
        "color": {"type": "string", "enum": ["red", "green", "blue"]},
        "title": {"type": "string", "minLength": 2, "maxLength": 8, "pattern": "^[a-z]*$"},
        "replicas": {"type": "integer", "default": 1},
        "origin": {
            "type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "origin is immutable"}],
        },
        "size": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
        "since": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "maxItems": 3, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "order": {"type": "array", "minItems": 1, "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
        "parts": {
            "type": "array",
            "items": _PART,
            # A server refuses rules whose worst case would take it too long.
            "maxItems": 100,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(part, !has(part.__namespace__) || part.__namespace__ != 'forbidden')",
                    "message": "no part may be of the namespace forbidden",
                }
            ],
        },
        "settings": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "range": {
            "type": "object",
            "properties": {"low": {"type": "integer", "default": 1}, "high": {"type": "integer"}},
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.high) || self.low < self.high",
                    "messageExpression": "'high is below a low of ' + (self.low == 5 ? 'five' : 'another number')",
                    "fieldPath": ".low",
                    "reason": "FieldValueForbidden",
                }
            ],
        },
        "limit": {
            "type": "string",
            "x-kubernetes-validations": [
                {"rule": "isQuantity(self)", "message": "limit must be a quantity"},
                {
                    "rule": "!isQuantity(self) || quantity(self).compareTo(quantity('1Gi')) <= 0",
                    "message": "limit may be at most 1Gi",
                },
            ],
        },
        "once": {
            "type": "string",
            "x-kubernetes-validations": [
                {
                    "rule": "!oldSelf.hasValue() || oldSelf.value() == self",
                    "optionalOldSelf": True,
                    "message": "once is set once",
                }
            ],
        },
    },
}
_STATUS: JsonObject = {
    "type": "object",
    "properties": {
        "phase": {"type": "string"},
        "observedGeneration": {"type": "integer"},
        "conditions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "status"],
                "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
            },
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}
_VERSION: JsonObject = {
    "name": "v1",
    "served": True,
    "storage": True,
    "subresources": {"status": {}},
    "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
    "schema": {
        "openAPIV3Schema": {
            "type": "object",
            "required": ["spec"],
            "x-kubernetes-validations": [
                {"rule": "self.metadata.name.size() <= 40", "message": "the name may have at most 40 characters"}
            ],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "spec": _SPEC,
                "status": _STATUS,
            },
        }
    },
}


def definition(plural: str, kind: str, **spec: Any) -> JsonObject:
    """A definition of a namespaced kind with the suite's schema."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "shortNames": [f"{plural[:2]}x"]},
            "versions": [_VERSION],
            **spec,
        },
    }


WIDGET_DEFINITION = definition("widgets", "Widget")
WIDGET = types_of(WIDGET_DEFINITION)[0]
