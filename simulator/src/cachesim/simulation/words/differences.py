"""What differs between two states of an object, as short pieces of a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

JsonObject = dict[str, Any]

# They change with every write, and say nothing.
_BOOKKEEPING = frozenset({"resourceVersion", "generation", "managedFields", "uid", "creationTimestamp"})
_HEARTBEATS = frozenset({"lastHeartbeatTime", "lastTransitionTime", "lastProbeTime", "renewTime", "lastTimestamp"})


def section(item: JsonObject | None, name: str) -> JsonObject:
    """`item[name]`, or {} where either is missing."""
    return (item or {}).get(name) or {}


def entries_by(entries: Any, field: str) -> dict[str, JsonObject]:
    return {str(entry.get(field, "")): entry for entry in entries or ()}


def plus_and_minus(before: Any, after: Any) -> list[str]:
    """`+ a, - b` of two collections, in their order."""
    added = [f"+ {name}" for name in after if name not in before]
    return added + [f"- {name}" for name in before if name not in after]


def changed_conditions(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """Conditions whose status or reason is another: `Ready False (NodesMissing: node-3 is gone)`."""
    old = entries_by(before.get("conditions"), "type")
    for name, condition in entries_by(after.get("conditions"), "type").items():
        previous = old.get(name, {})
        if not previous and condition.get("status") == "False" and name.endswith("Pressure"):
            continue
        if any(previous.get(field) != condition.get(field) for field in ("status", "reason")):
            because = ": ".join(part for part in (condition.get("reason"), condition.get("message")) if part)
            yield f"{name} {condition.get('status')}" + (f" ({because})" if because else "")


def metadata_changes(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """Finalizers, and the start of a deletion; labels are told by kind."""
    for change in plus_and_minus(before.get("finalizers") or (), after.get("finalizers") or ()):
        yield change.replace(" ", " finalizer ", 1)
    if after.get("deletionTimestamp") and not before.get("deletionTimestamp"):
        yield "is being deleted"


def changed_fields(before: Any, after: Any, prefix: str = "") -> Iterator[str]:
    """The paths of the fields that differ, two levels deep; heartbeats and bookkeeping are none."""
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if name in _BOOKKEEPING or name in _HEARTBEATS or _still(old) == _still(new):
            continue
        if not prefix and isinstance(old, dict) and isinstance(new, dict):
            yield from changed_fields(old, new, f"{name}.")
        else:
            yield f"{prefix}{name}"


def _still(value: Any) -> Any:
    """A value without its heartbeats."""
    if isinstance(value, dict):
        return {name: _still(field) for name, field in value.items() if name not in _HEARTBEATS}
    return [_still(entry) for entry in value] if isinstance(value, list | tuple) else value
