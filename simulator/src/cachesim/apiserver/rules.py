"""What a custom resource's schema says of its objects: one compiled schema, three uses."""

from __future__ import annotations

from typing import Any

from cachesim.apiserver.cel import Evaluator
from cachesim.apiserver.errors import FieldError
from cachesim.apiserver.metadata import prune_metadata
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.schema import SchemaNode, compiled, fill_defaults, prune
from cachesim.apiserver.validation import correlated, item_identity, validate

_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
_UNCHECKED = FieldError(
    "<nil>",
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)


class SchemaRules:
    """Prunes, defaults and validates the objects of one kind."""

    def __init__(self, schema: JsonObject) -> None:
        self._root = compiled(schema)
        self._evaluator = Evaluator()

    def decode(self, item: JsonObject, previous: JsonObject | None) -> tuple[JsonObject, list[str]]:
        unknown: list[str] = []
        pruned = prune(item, previous, self._root, "", unknown, root=True)
        pruned = prune_metadata(pruned, unknown)
        return fill_defaults(pruned, previous, self._root), sorted(unknown)

    def validate(self, item: JsonObject, previous: JsonObject | None) -> list[FieldError]:
        errors: list[FieldError] = []
        validate(item, previous, self._root, "", errors, root=True)
        if not self._root.has_rules:
            return errors
        if any(error.reason in _BLOCKING for error in errors):
            return [*errors, _UNCHECKED]
        self._check_root(item, previous, errors)
        return errors

    def _check_root(self, item: JsonObject, previous: JsonObject | None, errors: list[FieldError]) -> None:
        if self._root.rules:
            stored = None if previous is None else _root_view(previous)
            errors += self._evaluator.check(self._root.rules, _root_view(item), stored, "object", "")
        self._check_fields(item, previous, self._root, "", errors)

    def _check(self, value: Any, previous: Any, node: SchemaNode, path: str, errors: list[FieldError]) -> None:
        if not node.has_rules or value is None or value is previous:
            return
        if node.rules:
            name = _CEL_TYPES.get(type(value), "object")
            errors += self._evaluator.check(node.rules, value, previous, name, path)
        if isinstance(value, dict):
            self._check_fields(value, previous, node, path, errors)
        elif isinstance(value, list) and node.items is not None:
            by_key = correlated(node, previous)
            unchanged = {id(item) for item in previous} if isinstance(previous, list) else set()
            for index, item in enumerate(value):
                if id(item) in unchanged:
                    continue
                stored = by_key.get(item_identity(node, item)) if by_key and isinstance(item, dict) else None
                self._check(item, stored, node.items, f"{path}[{index}]", errors)

    def _check_fields(
        self, value: JsonObject, previous: Any, node: SchemaNode, path: str, errors: list[FieldError]
    ) -> None:
        before = previous if isinstance(previous, dict) else {}
        for field, inner in value.items():
            child = node.child(field)
            if child is not None and child.has_rules:
                self._check(inner, before.get(field), child, f"{path}.{field}" if path else field, errors)


_CEL_TYPES: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def _root_view(item: JsonObject) -> JsonObject:
    """Rules at the root see of metadata only the names."""
    metadata = {key: value for key, value in item["metadata"].items() if key in ("name", "generateName")}
    return {**item, "metadata": metadata}
