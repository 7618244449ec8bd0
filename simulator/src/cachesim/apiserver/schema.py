"""Structural schemas, compiled once: pruning, defaulting and validation walk the same nodes.

Each walk returns the very object that it got when nothing had to change, and skips what it shares with the stored one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from cachesim.apiserver.cel import CompiledRule, compile_rules
from cachesim.apiserver.resources import JsonObject

_ABSENT: Any = object()
_OF_EVERY_RESOURCE = frozenset({"apiVersion", "kind", "metadata"})


class SchemaNode:
    """One position of a structural schema."""

    def __init__(self, schema: JsonObject) -> None:
        self.schema = schema
        self.type: str = schema.get("type", "")
        self.int_or_string: bool = bool(schema.get("x-kubernetes-int-or-string"))
        self.nullable: bool = bool(schema.get("nullable"))
        self.preserves_unknown: bool = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded: bool = bool(schema.get("x-kubernetes-embedded-resource"))
        self.default: Any = schema.get("default", _ABSENT)
        self.required: tuple[str, ...] = tuple(schema.get("required") or ())
        self.enum: list[Any] | None = schema.get("enum")
        self.pattern: re.Pattern[str] | None = re.compile(schema["pattern"]) if schema.get("pattern") else None
        self.properties: dict[str, SchemaNode] = {
            name: SchemaNode(inner) for name, inner in (schema.get("properties") or {}).items()
        }
        additional = schema.get("additionalProperties")
        self.additional: SchemaNode | None = SchemaNode(additional) if isinstance(additional, dict) else None
        self.allows_additional: bool = bool(additional)
        items = schema.get("items")
        self.items: SchemaNode | None = SchemaNode(items) if isinstance(items, dict) else None
        self.list_type: str = schema.get("x-kubernetes-list-type", "")
        self.map_keys: tuple[str, ...] = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        self.rules: list[CompiledRule] = compile_rules(schema.get("x-kubernetes-validations") or [])
        self.logical: dict[str, list[SchemaNode]] = {
            word: [SchemaNode(inner) for inner in schema[word]]
            for word in ("allOf", "anyOf", "oneOf")
            if schema.get(word) and not self.int_or_string
        }
        self.negated: SchemaNode | None = SchemaNode(schema["not"]) if schema.get("not") else None
        self.has_defaults: bool = self._any(lambda node: node.default is not _ABSENT)
        self.defaulted = [(name, inner) for name, inner in self.properties.items() if inner.has_defaults]
        self.has_rules: bool = self._any(lambda node: bool(node.rules))

    def child(self, field: str) -> SchemaNode | None:
        """The node of one field; None when the schema does not know it."""
        return self.properties.get(field) or self.additional

    def _any(self, test: Any) -> bool:
        inner = [*self.properties.values(), self.additional, self.items]
        return bool(test(self)) or any(node._any(test) for node in inner if node is not None)


def compiled(schema: JsonObject) -> SchemaNode:
    """The schema, compiled; one of the same content is the same node. Raises RuleError."""
    return _compiled(msgspec.json.encode(schema))


@functools.lru_cache(maxsize=64)
def _compiled(schema: bytes) -> SchemaNode:
    return SchemaNode(msgspec.json.decode(schema))


def prune(value: Any, previous: Any, node: SchemaNode, path: str, unknown: list[str], *, root: bool = False) -> Any:
    """The value without what the schema does not know; each path that went is added to `unknown`."""
    if value is previous:
        return value
    if isinstance(value, dict):
        return _prune_object(value, previous, node, path, unknown, root or node.embedded)
    if isinstance(value, list) and node.items is not None:
        pruned = [
            item if item is before else prune(item, before, node.items, f"{path}[{index}]", unknown)
            for index, (item, before) in enumerate(_beside(value, previous))
        ]
        return value if _same(pruned, value) else pruned
    return value


def _prune_object(
    value: JsonObject, previous: Any, node: SchemaNode, path: str, unknown: list[str], is_resource: bool
) -> JsonObject:
    stored = previous if isinstance(previous, dict) else {}
    pruned: JsonObject = {}
    changed = False
    for field, inner in value.items():
        if stored.get(field, _ABSENT) is inner or (is_resource and field in _OF_EVERY_RESOURCE):
            pruned[field] = inner
            continue
        child = node.child(field)
        if child is None:
            if node.preserves_unknown or node.allows_additional:
                pruned[field] = inner
            else:
                unknown.append(f"{path}.{field}" if path else field)
                changed = True
            continue
        kept = prune(inner, stored.get(field, _ABSENT), child, f"{path}.{field}" if path else field, unknown)
        changed = changed or kept is not inner
        pruned[field] = kept
    return pruned if changed else value


def fill_defaults(value: Any, previous: Any, node: SchemaNode) -> Any:
    """The value with the schema's defaults where fields are absent, or null without leave to be."""
    if not node.has_defaults or value is previous:
        return value
    if isinstance(value, dict):
        return _fill_object(value, previous if isinstance(previous, dict) else {}, node)
    if isinstance(value, list) and node.items is not None:
        items = [
            item if item is before else fill_defaults(item, before, node.items)
            for item, before in _beside(value, previous)
        ]
        return value if _same(items, value) else items
    return value


def _fill_object(value: JsonObject, stored: JsonObject, node: SchemaNode) -> JsonObject:
    filled = dict(value)
    for field, child in node.defaulted:
        present = filled.get(field, _ABSENT)
        if present is None and not child.nullable and child.default is not _ABSENT:
            present = _ABSENT
        if present is _ABSENT and child.default is not _ABSENT:
            present = child.default
        if present is not _ABSENT:
            filled[field] = fill_defaults(present, stored.get(field, _ABSENT), child)
    if node.additional is not None:
        for field, inner in value.items():
            if field not in node.properties:
                filled[field] = fill_defaults(inner, stored.get(field, _ABSENT), node.additional)
    same = len(filled) == len(value) and all(filled[field] is value[field] for field in value)
    return value if same else filled


def _beside(value: list[Any], previous: Any) -> Iterator[tuple[Any, Any]]:
    """Each item with the stored one of its index, as far as there is one."""
    stored = previous if isinstance(previous, list) else []
    if len(stored) < len(value):
        stored = [*stored, *[_ABSENT] * (len(value) - len(stored))]
    return zip(value, stored, strict=False)


def _same(new: list[Any], old: list[Any]) -> bool:
    return all(after is before for after, before in zip(new, old, strict=True))
