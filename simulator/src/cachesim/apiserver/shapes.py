"""How lists and maps merge: by key, as a set, or as one value. From a CRD's schema, or known for the built-in kinds."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from cachesim.apiserver.resources import JsonObject, ResourceType


class Shape(Protocol):
    """One position in an object."""

    @property
    def atomic(self) -> bool:
        """A map or a list that is replaced whole."""
        ...

    @property
    def is_set(self) -> bool:
        """A list of scalars in which each value is owned by itself."""
        ...

    @property
    def merge_keys(self) -> tuple[str, ...]:
        """The fields that identify an item of a list of objects; empty when the list is none such."""
        ...

    def child(self, field: str) -> Shape: ...

    def item(self) -> Shape: ...

    def key_default(self, field: str) -> Any:
        """What a merge key has where an item leaves it out."""
        ...


class CoreShape(msgspec.Struct, frozen=True):
    """The built-in kinds, by field name: a name merges the same way wherever it occurs in the kinds that are served."""

    field: str = ""
    parent: str = ""
    in_item: bool = False

    @property
    def atomic(self) -> bool:
        return not self.in_item and self.field in _ATOMIC_MAPS

    @property
    def is_set(self) -> bool:
        return self.field == "finalizers"

    @property
    def merge_keys(self) -> tuple[str, ...]:
        if self.in_item:
            return ()
        if self.field == "ports":
            inside_container = self.parent in ("containers", "initContainers", "ephemeralContainers")
            return ("containerPort", "protocol") if inside_container else ("port", "protocol")
        return _MERGE_KEYS.get(self.field, ())

    def child(self, field: str) -> CoreShape:
        return CoreShape(field, self.field)

    def item(self) -> CoreShape:
        return CoreShape(self.field, self.parent, True)

    def key_default(self, field: str) -> Any:
        return "TCP" if field == "protocol" else None


_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "addresses": ("type",),
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
    "webhooks": ("name",),
}
_ATOMIC_MAPS = frozenset(
    {"selector", "nodeSelector", "labelSelector", "namespaceSelector", "objectSelector", "secretRef"}
)


class SchemaShape:
    """A position described by an OpenAPI schema with Kubernetes' list and map types."""

    def __init__(self, schema: JsonObject) -> None:
        self._schema = schema
        self._children: dict[str, Shape] = {}
        self._item: Shape | None = None
        list_type = schema.get("x-kubernetes-list-type", "atomic") if schema.get("type") == "array" else ""
        self.atomic: bool = list_type == "atomic" or schema.get("x-kubernetes-map-type") == "atomic"
        self.is_set: bool = list_type == "set"
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        self.merge_keys: tuple[str, ...] = tuple(keys) if list_type == "map" else ()

    def child(self, field: str) -> Shape:
        found = self._children.get(field)
        if found is None:
            schema = (self._schema.get("properties") or {}).get(field)
            if schema is None:
                additional = self._schema.get("additionalProperties")
                schema = additional if isinstance(additional, dict) else {}
            found = self._children[field] = SchemaShape(schema)
        return found

    def item(self) -> Shape:
        if self._item is None:
            items = self._schema.get("items")
            self._item = SchemaShape(items if isinstance(items, dict) else {})
        return self._item

    def key_default(self, field: str) -> Any:
        item = self._schema.get("items") or {}
        return ((item.get("properties") or {}).get(field) or {}).get("default")


class CustomResourceShape:
    """The root of a custom resource: metadata merges as everywhere, the rest as its schema says."""

    atomic = False
    is_set = False
    merge_keys: tuple[str, ...] = ()

    def __init__(self, schema: JsonObject) -> None:
        self._schema = SchemaShape(schema)

    def child(self, field: str) -> Shape:
        return CoreShape("metadata") if field == "metadata" else self._schema.child(field)

    def item(self) -> Shape:
        return self._schema.item()

    def key_default(self, field: str) -> Any:
        return None


def shape_of(resource_type: ResourceType) -> Shape:
    """The root shape of a kind."""
    if not resource_type.custom:
        return CoreShape()
    return CustomResourceShape(resource_type.schema or {})
