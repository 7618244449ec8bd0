"""The patches that a fake API server understands, over parsed JSON."""

from __future__ import annotations

import copy
from typing import Any

from cachecore.errors import Invalid


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: objects are merged, null removes, anything else replaces. Neither argument is changed."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge_patch(merged.get(name), value)
    return merged


def apply_json_patch(target: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902's add, remove, replace and test. Raises `Invalid`. The target is not changed."""
    document = {"": copy.deepcopy(target)}
    for operation in operations:
        names = ["", *(part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])]
        parent: Any = document
        for name in names[:-1]:
            parent = _child(parent, name, operation)
        _apply_operation(parent, names[-1], operation)
    return document[""]


def _child(parent: Any, name: str, operation: dict[str, Any]) -> Any:
    try:
        return parent[int(name)] if isinstance(parent, list) else parent[name]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise Invalid(f"no path {operation['path']!r}") from error


def _apply_operation(parent: Any, name: str, operation: dict[str, Any]) -> None:
    verb = operation["op"]
    if verb == "add":
        value = copy.deepcopy(operation["value"])
        if isinstance(parent, list):
            parent.insert(len(parent) if name == "-" else int(name), value)
        else:
            parent[name] = value
        return
    current = _child(parent, name, operation)
    key: Any = int(name) if isinstance(parent, list) else name
    if verb == "remove":
        del parent[key]
    elif verb == "replace":
        parent[key] = copy.deepcopy(operation["value"])
    elif verb == "test":
        if current != operation["value"]:
            raise Invalid(f"the test of {operation['path']!r} failed")
    else:
        raise Invalid(f"unknown operation {verb!r}")
