"""OpenAPI v3: what `kubectl explain` reads, and where kubectl learns which parameters the server checks."""

from __future__ import annotations

from typing import Any

from cachesim.apiserver.http.schemas import BUILTIN_SCHEMAS, META_NAME, META_SCHEMA
from cachesim.apiserver.resources import JsonObject, ResourceRegistry, ResourceType

_PATCH_PARAMETERS = (
    ("dryRun", "string", "`All`: check and answer, but store nothing."),
    ("fieldManager", "string", "Who is writing; field ownership is kept under this name."),
    ("fieldValidation", "string", "What unknown and repeated fields lead to: Ignore, Warn or Strict."),
    ("force", "boolean", "Take fields over that another manager owns (server-side apply)."),
    ("pretty", "string", "Accepted and ignored."),
)
# No strategic merge here: kubectl then takes merge keys from its own Go types, which know more than our schemas.
_PATCH_TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")


class OpenApi:
    """The documents, made from the registry and kept until it changes."""

    def __init__(self, registry: ResourceRegistry) -> None:
        self._registry = registry
        self._generation = -1
        self._documents: dict[str, JsonObject] = {}

    def root(self) -> JsonObject:
        """/openapi/v3: the documents that there are; the hash in their URL changes when they may have."""
        paths = {
            _path(group, version): {
                "serverRelativeURL": f"/openapi/v3/{_path(group, version)}?hash={self._registry.generation}"
            }
            for group, version in self._group_versions()
        }
        return {"paths": paths}

    def document(self, path: str) -> JsonObject | None:
        """The document of `api/v1` or `apis/<group>/<version>`; None when there is none."""
        if self._generation != self._registry.generation:
            self._documents.clear()
            self._generation = self._registry.generation
        if path not in self._documents:
            types = [each for each in self._registry.all() if _path(each.group, each.version) == path]
            if not types:
                return None
            self._documents[path] = _document(types)
        return self._documents[path]

    def _group_versions(self) -> list[tuple[str, str]]:
        return list(dict.fromkeys((each.group, each.version) for each in self._registry.all()))


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _document(types: list[ResourceType]) -> JsonObject:
    paths: JsonObject = {}
    schemas: JsonObject = {META_NAME: META_SCHEMA}
    for resource_type in types:
        schemas[schema_name(resource_type)] = _schema(resource_type)
        paths.update(_paths(resource_type))
    return {
        "openapi": "3.0.0",
        "info": {"title": "localmodel", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def schema_name(resource_type: ResourceType) -> str:
    """As Kubernetes names definitions: the group's labels reversed, the version, the kind."""
    if "." in resource_type.group and not resource_type.group.endswith(".k8s.io"):
        prefix = ".".join(reversed(resource_type.group.split(".")))
    else:
        prefix = f"io.k8s.api.{resource_type.group.partition('.')[0] or 'core'}"
    return f"{prefix}.{resource_type.version}.{resource_type.kind}"


def _kind(resource_type: ResourceType) -> JsonObject:
    return {"group": resource_type.group, "version": resource_type.version, "kind": resource_type.kind}


def _schema(resource_type: ResourceType) -> JsonObject:
    own = resource_type.schema or BUILTIN_SCHEMAS.get(resource_type.kind) or {}
    properties: JsonObject = {
        "apiVersion": {"type": "string", "description": "The group and version of this object's schema."},
        "kind": {"type": "string", "description": "The kind of this object, in CamelCase."},
        "metadata": {"description": "Standard metadata.", "allOf": [{"$ref": f"#/components/schemas/{META_NAME}"}]},
    }
    for name, own_property in (own.get("properties") or {}).items():
        properties.setdefault(name, own_property)
    schema: JsonObject = {key: value for key, value in own.items() if key != "properties"}
    schema |= {"type": "object", "properties": properties}
    schema["x-kubernetes-group-version-kind"] = [_kind(resource_type)]
    return schema


def _paths(resource_type: ResourceType) -> JsonObject:
    root = f"/{_path(resource_type.group, resource_type.version)}"
    scope = "/namespaces/{namespace}" if resource_type.namespaced else ""
    collection = f"{root}{scope}/{resource_type.plural}"
    item = f"{collection}/{{name}}"
    paths: JsonObject = {
        collection: {
            "get": _operation(resource_type, "list"),
            "post": _operation(resource_type, "post", parameters=True),
        },
        item: _item_operations(resource_type),
    }
    if resource_type.has_status:
        paths[f"{item}/status"] = _item_operations(resource_type)
    return paths


def _item_operations(resource_type: ResourceType) -> JsonObject:
    return {
        "get": _operation(resource_type, "get"),
        "put": _operation(resource_type, "put", parameters=True),
        "delete": _operation(resource_type, "delete"),
        "patch": _operation(resource_type, "patch", parameters=True) | _patch_body(),
    }


def _patch_body() -> JsonObject:
    content: dict[str, Any] = {media_type: {"schema": {"type": "object"}} for media_type in _PATCH_TYPES}
    return {"requestBody": {"content": content}}


def _operation(resource_type: ResourceType, action: str, *, parameters: bool = False) -> JsonObject:
    reference = {"$ref": f"#/components/schemas/{schema_name(resource_type)}"}
    operation: JsonObject = {
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _kind(resource_type),
    }
    if parameters:
        operation["parameters"] = [
            {"name": name, "in": "query", "description": description, "schema": {"type": type_, "uniqueItems": True}}
            for name, type_, description in _PATCH_PARAMETERS
        ]
    return operation
