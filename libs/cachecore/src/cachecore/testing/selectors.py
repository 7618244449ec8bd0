"""Label and field selectors, as `kubectl -l` and `--field-selector` write them."""

from __future__ import annotations

import re
from typing import Any

from cachecore.errors import Invalid
from cachecore.resources.meta import Resource, to_object

_SET_BASED = re.compile(r"^(?P<key>\S+)\s+(?P<operator>in|notin)\s+\((?P<values>[^)]*)\)$")
_SPLIT = re.compile(r",(?![^(]*\))")


def matches_labels(selector: str, labels: dict[str, str]) -> bool:
    """Whether labels satisfy `a=b,c!=d,e,!f,g in (h,i)`. Raises `Invalid`."""
    return all(_matches_label(part.strip(), labels) for part in _SPLIT.split(selector) if part.strip())


def _matches_label(requirement: str, labels: dict[str, str]) -> bool:
    set_based = _SET_BASED.match(requirement)
    if set_based is not None:
        values = {value.strip() for value in set_based["values"].split(",")}
        present = labels.get(set_based["key"]) in values
        return present if set_based["operator"] == "in" else not present
    if "!=" in requirement:
        key, value = requirement.split("!=", 1)
        return labels.get(key.strip()) != value.strip()
    if "=" in requirement:
        key, value = re.split("==?", requirement, maxsplit=1)
        return labels.get(key.strip()) == value.strip()
    if requirement.startswith("!"):
        return requirement[1:].strip() not in labels
    if " " in requirement:
        raise Invalid(f"cannot parse the selector {requirement!r}")
    return requirement in labels


def matches_fields(selector: str, resource: Resource) -> bool:
    """Whether an object satisfies `metadata.name=a,spec.nodeName!=b`."""
    if not selector:
        return True
    content = to_object(resource)
    for part in selector.split(","):
        path, operator, wanted = re.split("(!=|==?)", part, maxsplit=1)
        if (str(_field(content, path.strip())) == wanted.strip()) is (operator == "!="):
            return False
    return True


def _field(content: dict[str, Any], path: str) -> Any:
    value: Any = content
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else value
