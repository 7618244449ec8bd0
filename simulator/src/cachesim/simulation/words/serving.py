"""Changes of the kinds for local models, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cachecore.quantity import format_bytes
from cachesim.simulation.words.differences import changed_conditions, entries_by, plus_and_minus, section
from cachesim.simulation.words.names import ModelNames

JsonObject = dict[str, Any]


def node_spec_changes(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """What the manager asks of a node: models that come, go or are asked for otherwise, and the limit."""
    old, new = _models(before), _models(after)
    yield from plus_and_minus(old, new)
    for name, entry in new.items():
        previous = old.get(name, entry)
        for field in sorted({*entry, *previous}):
            if previous.get(field) != entry.get(field):
                yield _field_words(name, field, entry.get(field))
    for field, value in section(after, "storage").items():
        former = section(before, "storage").get(field)
        if before and former != value:
            yield f"{field} {former} -> {value}"


def node_status_changes(before: JsonObject, after: JsonObject, names: ModelNames) -> Iterator[str]:
    """What an agent reports: copies first, then its disk and conditions."""
    old, new = entries_by(before.get("models"), "key"), entries_by(after.get("models"), "key")
    for key, copy in new.items():
        words = _copy_change(old.get(key), copy)
        if words:
            yield f"{names.of_key(key)} {words}"
    for key in old:
        if key not in new:
            yield f"{names.of_key(key)} no longer listed"
    storage = section(after, "storage")
    if storage and storage != section(before, "storage"):
        used, reserved, limit = (format_bytes(storage.get(field, 0)) for field in ("used", "reserved", "limit"))
        yield f"{used} used and {reserved} reserved of {limit}"
    yield from changed_conditions(before, after)
    if before.get("storeId") not in (None, "", after.get("storeId")):
        yield "the store is another one"


def cache_spec_words(spec: JsonObject) -> str:
    """A new cache: `16Gi, priority 10, pinned, 2 copies`."""
    parts = [f"{spec.get('modelSize')}"]
    parts += [f"priority {spec['priority']}"] if spec.get("priority") else []
    parts += ["pinned"] if spec.get("pinned") else []
    parts += [f"{spec['copies']} copies"] if spec.get("copies") else []
    return ", ".join(parts)


def cache_status_changes(before: JsonObject, after: JsonObject) -> Iterator[str]:
    copies = section(after, "copies")
    if copies != section(before, "copies"):
        failed = f", {copies['failed']} failed" if copies.get("failed") else ""
        yield f"{copies.get('available', 0)} of {copies.get('total', 0)} copies{failed}"
    old, new = section(before, "nodeStatus"), section(after, "nodeStatus")
    for node, state in new.items():
        if old.get(node) != state:
            yield f"{node} {state.removeprefix('Node')}"
    yield from (f"{node} no longer listed" for node in old if node not in new)
    yield from changed_conditions(before, after)
    for field in ("bytesDone", "bytesTotal"):
        if before.get(field) != after.get(field):
            done, total = (format_bytes(after.get(name, 0)) for name in ("bytesDone", "bytesTotal"))
            yield f"{done} of {total} there"
            break
    for field in ("inferenceServices", "llmInferenceServices"):
        if before.get(field) != after.get(field):
            names = [service.get("name", "") for service in after.get(field) or ()]
            yield f"used by {', '.join(names) or 'no service'}"


def group_status_changes(before: JsonObject, after: JsonObject) -> Iterator[str]:
    if any(before.get(field) != after.get(field) for field in ("nodes", "readyNodes")):
        yield f"{after.get('readyNodes', 0)} of {after.get('nodes', 0)} nodes ready"
    if any(before.get(field) != after.get(field) for field in ("used", "available")):
        yield f"the fullest node has {after.get('used')} used, {after.get('available')} free"
    yield from changed_conditions(before, after)


def _models(spec: JsonObject) -> dict[str, JsonObject]:
    return {
        f"{entry['namespace']}/{entry['modelName']}" if entry.get("namespace") else str(entry["modelName"]): entry
        for entry in spec.get("localModels") or ()
    }


def _field_words(name: str, field: str, value: object) -> str:
    """One field of a model that the node holds already: `whisper referenced`, `whisper priority 10`."""
    if isinstance(value, bool):
        return f"{name} {'' if value else 'not '}{field}"
    return f"{name} {field} {value}"


def _copy_change(before: JsonObject | None, after: JsonObject) -> str:
    """One copy's news: its state when that is new, how far it came, why."""
    old = before or {}
    state = str(after["state"])
    done, total = after.get("bytesDone", 0), after.get("bytesTotal", 0)
    words = [state]
    if state == "Downloading":
        words.append(f"{format_bytes(done)} of {format_bytes(total)}" if total else "size not known yet")
    if old.get("state") != state or old.get("reason") != after.get("reason"):
        because = ": ".join(part for part in (after.get("reason"), after.get("message")) if part)
        return ", ".join(words) + (f" ({because})" if because and state != "Downloaded" else "")
    if (old.get("bytesDone", 0), old.get("bytesTotal", 0)) != (done, total):
        return ", ".join(words)
    if old.get("attempts") != after.get("attempts"):
        return f"{state}, attempt {after.get('attempts', 0)}"
    rate = after.get("bytesPerSecond", 0)
    if old.get("bytesPerSecond", 0) != rate:
        return f"{state} at {format_bytes(rate)}/s"
    return "used again" if old.get("lastUsedTime") != after.get("lastUsedTime") else ""
