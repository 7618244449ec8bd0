"""Validation of a value against a compiled schema, in the real server's words.

A part that is shared with the stored object was valid when it was stored, and is not looked at again.
"""

from __future__ import annotations

import contextlib
import datetime
from typing import Any

from cachesim.apiserver.errors import (
    FieldError,
    duplicate,
    invalid,
    required,
    too_long,
    too_many,
    type_invalid,
    unsupported,
)
from cachesim.apiserver.schema import SchemaNode

_ABSENT: Any = object()


def validate(
    value: Any, previous: Any, node: SchemaNode, path: str, errors: list[FieldError], *, root: bool = False
) -> None:
    """Add what is wrong with `value` to `errors`. `previous` is the stored value, or None."""
    if value is previous and value is not None:
        return
    if value is None and node.nullable:
        return
    if not _check_type(value, node, path, errors):
        return
    if isinstance(value, dict):
        _validate_object(value, previous, node, path, errors, root or node.embedded)
    elif isinstance(value, list):
        _validate_list(value, previous, node, path, errors)
    elif isinstance(value, str):
        _validate_string(value, node, path, errors)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _validate_number(value, node, path, errors)
    if node.enum is not None and value not in node.enum:
        errors.append(unsupported(path, value, [str(each) for each in node.enum]))
    if node.logical or node.negated is not None:
        _validate_logical(value, node, path, errors)


def type_name(value: Any) -> str:
    """A value's type in the words of JSON schema."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _check_type(value: Any, node: SchemaNode, path: str, errors: list[FieldError]) -> bool:
    actual = type_name(value)
    if node.int_or_string:
        fits, wanted = actual in ("integer", "string"), "integer,string"
    elif not node.type:
        return True
    else:
        whole = isinstance(value, float) and value.is_integer()
        fits = actual == node.type or (node.type == "number" and actual == "integer")
        fits = fits or (node.type == "integer" and whole)
        wanted = node.type
    if not fits:
        detail = f'{path} in body must be of type {wanted}: "{actual}"'
        errors.append(type_invalid(path, actual, detail))
    return fits


def _validate_object(
    value: dict[str, Any], previous: Any, node: SchemaNode, path: str, errors: list[FieldError], is_resource: bool
) -> None:
    before = previous if isinstance(previous, dict) else {}
    missing = [field for field in node.required if field not in value]
    errors += [required(f"{path}.{field}" if path else field) for field in missing]
    for field, inner in value.items():
        if is_resource and field == "metadata":
            continue
        child = node.child(field)
        if child is not None:
            validate(inner, before.get(field), child, f"{path}.{field}" if path else field, errors)
    most, least = node.schema.get("maxProperties"), node.schema.get("minProperties")
    if most is not None and len(value) > most:
        errors.append(too_many(path, len(value), most))
    if least is not None and len(value) < least:
        errors.append(invalid(path, len(value), f"{path} in body should have at least {least} properties"))


def correlated(node: SchemaNode, previous: Any) -> dict[str, Any]:
    """The stored items of a list by what identifies them, so that an unchanged item is known wherever it moved."""
    if not isinstance(previous, list) or node.list_type != "map":
        return {}
    return {item_identity(node, item): item for item in previous if isinstance(item, dict)}


def item_identity(node: SchemaNode, item: dict[str, Any]) -> str:
    items = node.items
    keys: list[str] = []
    for key in node.map_keys:
        child = items.properties.get(key) if items is not None else None
        default = None if child is None or child.default is _ABSENT else child.schema.get("default")
        keys.append(repr(item.get(key, default)))
    return "\0".join(keys)


def _validate_list(value: list[Any], previous: Any, node: SchemaNode, path: str, errors: list[FieldError]) -> None:
    most, least = node.schema.get("maxItems"), node.schema.get("minItems")
    if most is not None and len(value) > most:
        errors.append(too_many(path, len(value), most))
    if least is not None and len(value) < least:
        errors.append(invalid(path, len(value), f"{path} in body should have at least {least} items"))
    if node.list_type in ("set", "map"):
        _validate_unique(value, node, path, errors)
    if node.items is None:
        return
    stored = previous if isinstance(previous, list) else []
    by_key: dict[str, Any] | None = None
    for index, item in enumerate(value):
        before = stored[index] if index < len(stored) else None
        if before is item:
            continue
        if node.list_type == "map" and isinstance(item, dict) and not _same_key(node, item, before):
            by_key = correlated(node, previous) if by_key is None else by_key
            before = by_key.get(item_identity(node, item))
        validate(item, before, node.items, f"{path}[{index}]", errors)


def _same_key(node: SchemaNode, item: dict[str, Any], before: Any) -> bool:
    return isinstance(before, dict) and all(item.get(key) == before.get(key) for key in node.map_keys)


def _validate_unique(value: list[Any], node: SchemaNode, path: str, errors: list[FieldError]) -> None:
    keys: list[Any] = value
    if node.list_type == "map":
        keys = [tuple([item.get(key) for key in node.map_keys]) for item in value if isinstance(item, dict)]
    with contextlib.suppress(TypeError):  # a key that is a map or a list: the slow way compares it all the same
        if len(set(keys)) == len(keys):
            return
    seen: dict[str, None] = {}
    for index, item in enumerate(value):
        if node.list_type == "map":
            if not isinstance(item, dict):
                continue
            identity, shown = item_identity(node, item), {key: item.get(key) for key in node.map_keys}
        else:
            identity, shown = repr(item), item
        if identity in seen:
            errors.append(duplicate(f"{path}[{index}]", shown))
        seen[identity] = None


def _validate_string(value: str, node: SchemaNode, path: str, errors: list[FieldError]) -> None:
    most, least = node.schema.get("maxLength"), node.schema.get("minLength")
    if most is not None and len(value) > most:
        errors.append(too_long(path, most))
    if least is not None and len(value) < least:
        errors.append(invalid(path, value, f"{path} in body should be at least {least} chars long"))
    if node.pattern is not None and node.pattern.search(value) is None:
        errors.append(invalid(path, value, f"{path} in body should match '{node.pattern.pattern}'"))
    if node.schema.get("format") == "date-time" and not _is_date_time(value):
        errors.append(type_invalid(path, value, f'{path} in body must be of type date-time: "{value}"'))


def _validate_number(value: float, node: SchemaNode, path: str, errors: list[FieldError]) -> None:
    schema = node.schema
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        bound = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        errors.append(invalid(path, value, f"{path} in body should be {bound} {least}"))
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        bound = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        errors.append(invalid(path, value, f"{path} in body should be {bound} {most}"))
    multiple = schema.get("multipleOf")
    if multiple and value % multiple:
        errors.append(invalid(path, value, f"{path} in body should be a multiple of {multiple}"))


def _validate_logical(value: Any, node: SchemaNode, path: str, errors: list[FieldError]) -> None:
    for each in node.logical.get("allOf", ()):
        validate(value, None, each, path, errors)
    for word, text in (("anyOf", "at least one"), ("oneOf", "one and only one")):
        branches = node.logical.get(word)
        if not branches:
            continue
        matching = sum(1 for branch in branches if not _faults(value, branch, path))
        if matching == 0 or (word == "oneOf" and matching > 1):
            errors.append(invalid(path, value, f'"{path}" must validate {text} schema ({word})'))
    if node.negated is not None and not _faults(value, node.negated, path):
        errors.append(invalid(path, value, f'"{path}" must not validate the schema (not)'))


def _faults(value: Any, node: SchemaNode, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    validate(value, None, node, path, errors)
    return errors


def _is_date_time(text: str) -> bool:
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
