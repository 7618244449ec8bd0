"""The shortest JSON patch (RFC 6902) that turns one document into another, as far as admission needs it."""

from __future__ import annotations

from typing import Any

from cachecore.resources.meta import JsonObject


def json_patch(old: Any, new: Any) -> tuple[JsonObject, ...]:
    """The operations, in the order in which they apply; none when the documents are equal."""
    operations: list[JsonObject] = []
    _compare(old, new, "", operations)
    return tuple(operations)


def _compare(old: Any, new: Any, path: str, operations: list[JsonObject]) -> None:
    if old is new or old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and old.get("name") == new.get("name"):
        _compare_objects(old, new, path, operations)
    elif isinstance(old, list) and isinstance(new, list):
        _compare_lists(old, new, path, operations)
    else:
        operations.append({"op": "replace", "path": path, "value": new})


def _compare_objects(old: JsonObject, new: JsonObject, path: str, operations: list[JsonObject]) -> None:
    operations += [{"op": "remove", "path": f"{path}/{_escape(name)}"} for name in old if name not in new]
    for name, value in new.items():
        if name in old:
            _compare(old[name], value, f"{path}/{_escape(name)}", operations)
        else:
            operations.append({"op": "add", "path": f"{path}/{_escape(name)}", "value": value})


def _compare_lists(old: list[Any], new: list[Any], path: str, operations: list[JsonObject]) -> None:
    """What both lists begin and end with stays; what lies between is changed in place, then cut or filled up."""
    shorter = min(len(old), len(new))
    start = 0
    while start < shorter and old[start] == new[start]:
        start += 1
    end = 0
    while end < shorter - start and old[-1 - end] == new[-1 - end]:
        end += 1
    in_both = shorter - end
    for index in range(start, in_both):
        _compare(old[index], new[index], f"{path}/{index}", operations)
    # From the back, so that no removal moves an element that a later one names.
    operations += [{"op": "remove", "path": f"{path}/{index}"} for index in range(len(old) - end - 1, in_both - 1, -1)]
    operations += [
        {"op": "add", "path": f"{path}/{index}", "value": new[index]} for index in range(in_both, len(new) - end)
    ]


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
