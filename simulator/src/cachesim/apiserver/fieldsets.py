"""Sets of field paths, as server-side apply reasons about them, and their wire form `fieldsV1`.

A path is a tuple of elements: `f:name` for a field, `k:{...}` for an item by its keys, `v:...` for a value of a set.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.shapes import Shape

Path = tuple[str, ...]
FieldSet = dict[Path, None]


class Difference(msgspec.Struct):
    """Paths that a write changed or added, and those that it removed."""

    changed: FieldSet
    removed: FieldSet


def item_key(item: Any, shape: Shape) -> str:
    """The path element of an item: its merge keys in canonical JSON."""
    keys = {field: item.get(field, shape.key_default(field)) for field in sorted(shape.merge_keys)}
    return "k:" + msgspec.json.encode(keys).decode()


def value_key(value: Any) -> str:
    return "v:" + msgspec.json.encode(value).decode()


def is_keyed(value: Any, shape: Shape) -> bool:
    return bool(shape.merge_keys) and isinstance(value, list) and all(isinstance(item, dict) for item in value)


def leaves(value: Any, shape: Shape) -> FieldSet:
    """The paths that a configuration which says `value` sets."""
    found: FieldSet = {}
    _collect(value, shape, (), found)
    return found


def _collect(value: Any, shape: Shape, path: Path, found: FieldSet, *, whole: bool = False) -> None:
    """`whole`: the objects and lists around the leaves are members as well, as they are of what an update adds."""
    if isinstance(value, dict) and value and not shape.atomic:
        inner_values = {"f:" + field: (inner, shape.child(field)) for field, inner in value.items()}
    elif is_keyed(value, shape) and value:
        inside = shape.item()
        for item in value:
            _collect_item(item, inside, (*path, item_key(item, shape)), found, whole=whole)
        inner_values = {}
    elif shape.is_set and isinstance(value, list) and value:
        for each in value:
            found[(*path, value_key(each))] = None
        inner_values = {}
    else:
        if path:
            found[path] = None
        return
    if whole and path:
        found[path] = None
    for element, (inner, inner_shape) in inner_values.items():
        _collect(inner, inner_shape, (*path, element), found, whole=whole)


def _collect_item(item: Any, shape: Shape, path: Path, found: FieldSet, *, whole: bool) -> None:
    """One item of a list; it is a member beside its fields."""
    found[path] = None
    if isinstance(item, dict):
        for field, inner in item.items():
            _collect(inner, shape.child(field), (*path, "f:" + field), found, whole=whole)


def compare(old: Any, new: Any, shape: Shape) -> Difference:
    """What differs; shared structure is skipped."""
    difference = Difference({}, {})
    _compare(old, new, shape, (), difference)
    for paths in (difference.changed, difference.removed):
        # Every object has it, so that nobody owns it as a whole.
        paths.pop(("f:metadata",), None)
    return difference


def _compare(old: Any, new: Any, shape: Shape, path: Path, into: Difference) -> None:
    if old is new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and not shape.atomic:
        _compare_fields(old, new, shape, path, into)
    elif is_keyed(old, shape) and is_keyed(new, shape):
        before = {item_key(item, shape): item for item in old}
        after = {item_key(item, shape): item for item in new}
        _compare_members(before, after, shape, path, into)
    elif shape.is_set and isinstance(old, list) and isinstance(new, list):
        _compare_members(
            {value_key(each): each for each in old}, {value_key(each): each for each in new}, shape, path, into
        )
    elif old != new:
        _collect(new, shape, path, into.changed, whole=True)


def _compare_fields(old: JsonObject, new: JsonObject, shape: Shape, path: Path, into: Difference) -> None:
    for field, value in new.items():
        here = (*path, "f:" + field)
        if field not in old:
            _collect(value, shape.child(field), here, into.changed, whole=True)
        elif old[field] is not value:
            _compare(old[field], value, shape.child(field), here, into)
    for field, value in old.items():
        if field not in new:
            here = (*path, "f:" + field)
            into.removed[here] = None
            _collect(value, shape.child(field), here, into.removed, whole=True)


def _compare_members(before: dict[str, Any], after: dict[str, Any], shape: Shape, path: Path, into: Difference) -> None:
    inside = shape.item()
    for key, item in after.items():
        here = (*path, key)
        if key not in before:
            _collect_item(item, inside, here, into.changed, whole=True)
        elif isinstance(item, dict):
            _compare_fields(before[key], item, inside, here, into)
    for key, item in before.items():
        if key not in after:
            _collect_item(item, inside, (*path, key), into.removed, whole=True)


def to_fields_v1(paths: FieldSet) -> JsonObject:
    """The nested wire form; "." marks what is itself a member beside its fields."""
    root: JsonObject = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _without_leaf_marks(root)


def _without_leaf_marks(node: JsonObject) -> JsonObject:
    if set(node) == {"."}:
        return {}
    return {key: value if key == "." else _without_leaf_marks(value) for key, value in node.items()}


def from_fields_v1(fields: JsonObject) -> FieldSet:
    found: FieldSet = {}
    _flatten(fields, (), found)
    return found


def _flatten(node: JsonObject, path: Path, found: FieldSet) -> None:
    for key, value in node.items():
        if key == ".":
            found[path] = None
        elif value:
            _flatten(value, (*path, key), found)
        else:
            found[(*path, key)] = None


def display(path: Path) -> str:
    """A path as conflicts name it: `.spec.containers[name="main"].image`."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys = msgspec.json.decode(rest)
            text += "[" + ",".join(f"{key}={msgspec.json.encode(value).decode()}" for key, value in keys.items()) + "]"
        else:
            text += f"[={rest}]"
    return text
