"""What a node group says: where its path is, how much a node may hold. Pure functions."""

from __future__ import annotations

import functools
from typing import Any

from cachecore.errors import InvalidInput
from cachecore.quantity import quantity_bytes
from cachecore.resources.meta import JsonObject
from cachecore.resources.serving import LocalModelNodeGroup

_MEBIBYTE = 2**20


def group_path(group: LocalModelNodeGroup) -> str:
    """The folder of the group on its nodes; "" when its volume is neither local nor a host path."""
    for source in ("local", "hostPath"):
        path = (group.spec.persistent_volume_spec.get(source) or {}).get("path")
        if isinstance(path, str) and path.startswith("/"):
            return path.rstrip("/") or "/"
    return ""


@functools.lru_cache(maxsize=16384)
def bytes_or_none(quantity: str | int | None) -> int | None:
    """A quantity in bytes; None when it is absent or not a quantity, so that one bad object stops only itself."""
    if quantity is None:
        return None
    try:
        return quantity_bytes(quantity)
    except InvalidInput:
        return None


def limit_bytes(group: LocalModelNodeGroup) -> int:
    """How much a node of the group may hold; 0, so that nothing fits, when the limit cannot be read."""
    return bytes_or_none(group.spec.storage_limit) or 0


def quantity_text(count_bytes: int, *, round_up: bool) -> str:
    """Bytes as a Kubernetes quantity in whole Mi (Gi where exact): people read it, and it rarely changes."""
    mebibytes = -(-count_bytes // _MEBIBYTE) if round_up else count_bytes // _MEBIBYTE
    if mebibytes == 0:
        return "0"
    return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else f"{mebibytes}Mi"


def volume_node_affinity(group: LocalModelNodeGroup) -> JsonObject:
    """The affinity of the group's volumes: its own, narrowed by `nodeSelector`, so pods go only where copies are."""
    affinity: JsonObject = group.spec.persistent_volume_spec.get("nodeAffinity") or {}
    terms: list[dict[str, Any]] = list((affinity.get("required") or {}).get("nodeSelectorTerms") or ())
    selector = [
        {"key": key, "operator": "In", "values": [value]} for key, value in sorted(group.spec.node_selector.items())
    ]
    if not terms:
        # A local volume must have an affinity.
        everywhere = [{"key": "kubernetes.io/hostname", "operator": "Exists"}]
        return {"required": {"nodeSelectorTerms": [{"matchExpressions": selector or everywhere}]}}
    narrowed = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *selector]} if selector else term
        for term in terms
    ]
    return {"required": {"nodeSelectorTerms": narrowed}}
