"""What a URL path names: a collection, an object, or a subresource of an object."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from cachesim.apiserver.errors import resource_not_found
from cachesim.apiserver.left_out import not_implemented, refuse_kind
from cachesim.apiserver.resources import ResourceRegistry, ResourceType

# Below /namespaces/<name>/ everything is a resource of that namespace, but for these of the Namespace itself.
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """`name` "" is the collection; `namespace` "" is all of them, or the cluster."""

    resource_type: ResourceType
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_target(registry: ResourceRegistry, raw_path: str) -> Target:
    """Raises the real server's NotFound for a path that names nothing."""
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise resource_not_found()
    if rest[0] == "watch":
        raise not_implemented("/watch/ paths: watch=true in the query means the same")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
    resource_type = registry.lookup(group, version, rest[0])
    name, subresource = (*rest[1:], "", "")[:2]
    refuse_kind(group, f"{resource_type.plural}/{subresource}")
    if len(rest) > 3 or not all(rest):
        raise resource_not_found()
    if subresource and subresource not in (*resource_type.subresources, "log"):
        raise resource_not_found()
    if resource_type.namespaced and name and not namespace:
        raise resource_not_found()
    if namespace and not resource_type.namespaced:
        raise resource_not_found()
    return Target(resource_type=resource_type, namespace=namespace, name=name, subresource=subresource)
