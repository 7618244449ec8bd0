"""What the body of a request must say of itself: its type, its name, its namespace."""

from __future__ import annotations

from cachesim.apiserver.errors import bad_request
from cachesim.apiserver.resources import JsonObject, ResourceType


def typed_body(resource_type: ResourceType, body: JsonObject) -> JsonObject:
    """The body with apiVersion and kind: a built-in kind may leave them out, none may say other ones than its own."""
    version, kind = body.get("apiVersion"), body.get("kind")
    if not resource_type.custom and not (kind and version):
        named = {"apiVersion": version or resource_type.api_version, "kind": kind or resource_type.kind}
        return typed_body(resource_type, {**body, **named})
    if not kind or not version:
        missing = "Object 'Kind' is missing in" if not kind else "Object 'apiVersion' is missing in"
        raise bad_request(f"{missing} the request body")
    if version != resource_type.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version "
            f"({resource_type.api_version})"
        )
    if kind != resource_type.kind:
        raise bad_request(f"the kind in the data ({kind}) does not match the expected kind ({resource_type.kind})")
    return body


def check_name(body: JsonObject, name: str, namespace: str = "") -> None:
    """The body's own name and namespace, where given, must be those of the URL."""
    metadata = body.get("metadata") or {}
    given = metadata.get("name", name)
    if given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    other = metadata.get("namespace") or namespace
    if namespace and other != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def request_namespace(resource_type: ResourceType, given: str, requested: str) -> str:
    if not resource_type.namespaced:
        return ""
    if given and requested and given != requested:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    namespace = requested or given
    if not namespace:
        raise bad_request("an empty namespace may not be set during creation")
    return namespace
