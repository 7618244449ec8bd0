"""Strategic merge patch, for the built-in kinds: lists merge by key, with $patch and $deleteFromPrimitiveList."""

from __future__ import annotations

from typing import Any

from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.shapes import CoreShape

_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_SET_ORDER = "$setElementOrder/"
_RETAIN_KEYS = "$retainKeys"


def strategic_merge(target: JsonObject, patch: JsonObject) -> JsonObject:
    """The target with the patch merged in; what the patch does not name is shared."""
    return _merge_objects(target, patch, CoreShape())


def _merge_objects(target: JsonObject, patch: JsonObject, shape: CoreShape) -> JsonObject:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    merged = dict(target)
    retained = patch.get(_RETAIN_KEYS)
    if retained is not None:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            field = key.removeprefix(_DELETE_PRIMITIVES)
            merged[field] = [each for each in merged.get(field) or [] if each not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value, shape.child(key))
    for key, order in patch.items():
        if key.startswith(_SET_ORDER):
            field = key.removeprefix(_SET_ORDER)
            if field in merged:
                merged[field] = _ordered(merged[field], order, shape.child(field))
    return merged


def _merge(target: Any, patch: Any, shape: CoreShape) -> Any:
    if isinstance(patch, dict):
        return _merge_objects(target if isinstance(target, dict) else {}, patch, shape)
    if isinstance(patch, list) and shape.merge_keys:
        return _merge_items(target if isinstance(target, list) else [], patch, shape)
    if isinstance(patch, list) and shape.is_set:
        present = target if isinstance(target, list) else []
        return [*present, *(value for value in patch if value not in present)]
    return patch


def _merge_items(target: list[Any], patch: list[Any], shape: CoreShape) -> list[Any]:
    # Strategic merge identifies an item by one field, where apply may use more.
    key = shape.merge_keys[0]
    if any(each == {"$patch": "replace"} for each in patch):
        return [each for each in patch if each != {"$patch": "replace"}]
    merged = list(target)
    for each in patch:
        position = next((index for index, item in enumerate(merged) if item.get(key) == each.get(key)), None)
        if each.get("$patch") == "delete":
            if position is not None:
                del merged[position]
        elif position is None:
            merged.append(_merge_objects({}, each, shape.item()))
        else:
            merged[position] = _merge_objects(merged[position], each, shape.item())
    return merged


def _ordered(items: list[Any], order: list[Any], shape: CoreShape) -> list[Any]:
    """The items in the order that the patch wants; those that it does not name stay behind."""
    key = shape.merge_keys[0] if shape.merge_keys else ""
    wanted = [each.get(key) if isinstance(each, dict) else each for each in order]

    def place(item: Any) -> int:
        name = item.get(key) if isinstance(item, dict) else item
        return wanted.index(name) if name in wanted else len(wanted)

    return sorted(items, key=place)
