"""Label and field selectors, parsed once and matched against plain objects."""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec

from cachesim.apiserver.errors import bad_request, quote
from cachesim.apiserver.resources import JsonObject, ResourceType

_SET_REQUIREMENT = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^()]*)\)$")
_COMPARISON = re.compile(r"^([^\s=!<>]+)\s*(==|=|!=|>|<)\s*([^\s=!<>]*)$")
_QUALIFIED_NAME = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")

_NO_LABELS: dict[str, str] = {}
_BOOLEAN_FIELDS = frozenset({"spec.unschedulable", "spec.hostNetwork"})


class Requirement(msgspec.Struct, frozen=True):
    """One term of a selector. `operator` is one of in, notin, exists, absent, gt, lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, value: str | None) -> bool:
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "absent":
            return value is None
        return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        try:
            left, right = int(value or ""), int(self.values[0])
        except ValueError:
            return False
        return left > right if self.operator == "gt" else left < right


Requirements = tuple[Requirement, ...]


@functools.lru_cache(maxsize=4096)
def parse_label_selector(text: str) -> Requirements:
    """Raises a 400 that says which requirement can't be parsed."""
    return tuple(_parse_requirement(text, part) for part in _split(text) if part)


def requirements_of(selector: JsonObject | None) -> Requirements:
    """A metav1.LabelSelector object as requirements; None matches nothing that it could say, so everything."""
    labels = (selector or {}).get("matchLabels") or {}
    found = [Requirement(key, "in", (value,)) for key, value in labels.items()]
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    found += [
        Requirement(each["key"], operators[each["operator"]], tuple(each.get("values") or ()))
        for each in (selector or {}).get("matchExpressions") or []
    ]
    return tuple(found)


def matches_labels(requirements: Requirements, item: JsonObject) -> bool:
    labels = item["metadata"].get("labels") or _NO_LABELS
    return all(requirement.matches(labels.get(requirement.key)) for requirement in requirements)


def parse_field_selector(resource_type: ResourceType, text: str) -> Requirements:
    """Raises a 400 for a field that the kind can't be selected by."""
    requirements = _parse_fields(text)
    for requirement in requirements:
        _check_field(resource_type, requirement.key)
    return requirements


def field_value(item: JsonObject, path: str) -> str:
    """A selectable field as text; "" when it is absent, as the real server compares it."""
    value: Any = item
    for part in path.split("."):
        if not isinstance(value, dict):
            return ""
        value = value.get(part)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "false" if path in _BOOLEAN_FIELDS else ""
    return str(value)


def exact_field(requirements: Requirements) -> tuple[str, str] | None:
    """The one field that must have one value, if the selector has such a term: what an index can answer."""
    for requirement in requirements:
        if requirement.operator == "in" and len(requirement.values) == 1:
            return (requirement.key, requirement.values[0])
    return None


class Selection(msgspec.Struct, frozen=True):
    """What a list or a watch selects: a namespace ("" is all), labels, fields."""

    namespace: str
    labels: Requirements
    fields: Requirements

    @property
    def narrows(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, item: JsonObject) -> bool:
        if self.namespace and item["metadata"].get("namespace", "") != self.namespace:
            return False
        for requirement in self.fields:
            if not requirement.matches(field_value(item, requirement.key)):
                return False
        return not self.labels or matches_labels(self.labels, item)


def select(resource_type: ResourceType, namespace: str, label_selector: str, field_selector: str) -> Selection:
    return Selection(
        namespace if resource_type.namespaced else "",
        parse_label_selector(label_selector),
        parse_field_selector(resource_type, field_selector) if field_selector else (),
    )


def _split(text: str) -> list[str]:
    """At commas outside of parentheses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    return parts


def _parse_requirement(text: str, part: str) -> Requirement:
    found = _SET_REQUIREMENT.match(part)
    if found is not None:
        values = tuple(value.strip() for value in found[3].split(","))
        return _checked(text, Requirement(found[1], found[2], values))
    compared = _COMPARISON.match(part)
    if compared is not None:
        operator = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}[compared[2]]
        return _checked(text, Requirement(compared[1], operator, (compared[3],)))
    if part.startswith("!"):
        return _checked(text, Requirement(part[1:].strip(), "absent"))
    return _checked(text, Requirement(part, "exists"))


def _checked(text: str, requirement: Requirement) -> Requirement:
    if not _QUALIFIED_NAME.match(requirement.key):
        raise bad_request(
            f"unable to parse requirement: found {quote(requirement.key)} in {quote(text)}, not a label key"
        )
    if requirement.operator in ("gt", "lt"):
        if not requirement.values[0].lstrip("-").isdigit():
            raise bad_request(
                f"unable to parse requirement: values[0][{requirement.key}]: Invalid value: "
                f"{quote(requirement.values[0])}: for 'Gt', 'Lt' operators, the value must be an integer"
            )
        return requirement
    for value in requirement.values:
        if len(value) > 63 or not _LABEL_VALUE.match(value):
            raise bad_request(
                f"unable to parse requirement: values[0][{requirement.key}]: Invalid value: {quote(value)}: "
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
                "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
                "regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )
    return requirement


@functools.lru_cache(maxsize=65536)
def _parse_fields(text: str) -> Requirements:
    found: list[Requirement] = []
    for part in filter(None, text.split(",")):
        for separator, operator in (("!=", "notin"), ("==", "in"), ("=", "in")):
            key, matched, value = part.partition(separator)
            if matched:
                found.append(Requirement(key.strip(), operator, (value.strip(),)))
                break
        else:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
    return tuple(found)


def _check_field(resource_type: ResourceType, field: str) -> None:
    if field == "metadata.name" or (
        field == "metadata.namespace" and (resource_type.namespaced or not resource_type.custom)
    ):
        return
    if field in resource_type.field_selectors:
        return
    if resource_type.custom or resource_type.field_selectors:
        raise bad_request(f"field label not supported: {field}")
    raise bad_request(f'{quote(field)} is not a known field selector: only "metadata.name", "metadata.namespace"')
