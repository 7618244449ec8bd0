"""Writes to the API in words: who wrote, what it is about, and what differs.

Who wrote is told by the part that differs: a spec of a LocalModelNode is the manager's, its status its agent's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cachesim.apiserver.store import Change
from cachesim.simulation.words import builtin, serving
from cachesim.simulation.words.differences import changed_conditions, changed_fields, metadata_changes, section
from cachesim.simulation.words.names import ModelNames

JsonObject = dict[str, Any]

_KINDS = {
    "localmodelcaches": "cache",
    "localmodelnamespacecaches": "cache",
    "localmodelnodegroups": "node group",
    "nodes": "Node",
    "pods": "pod",
    "persistentvolumes": "volume",
    "persistentvolumeclaims": "claim",
    "leases": "lease",
    "namespaces": "namespace",
}


def api_words(change: Change, names: ModelNames) -> str:
    """One write; "" when nothing in it is news: a lease renewed, a heartbeat."""
    plural = change.resource_type.plural
    if plural == "events":
        return names.in_text(builtin.event_words(change.item)) if change.type != "DELETED" else ""
    if change.type == "DELETED":
        return f"{_subject(change)} deleted"
    if change.type == "ADDED":
        return f"{_subject(change)} created{_created_words(change, names)}"
    writer = _WRITERS.get(plural, _other_words)
    return names.in_text(writer(change, names))


def _subject(change: Change) -> str:
    plural = change.resource_type.plural
    metadata = change.item["metadata"]
    kind = _KINDS.get(plural, change.resource_type.kind)
    # All pods of a scenario live in one namespace, and volumes in none.
    in_namespace = metadata.get("namespace") if plural not in ("pods", "persistentvolumeclaims", "leases") else ""
    return f"{kind} {in_namespace}/{metadata['name']}" if in_namespace else f"{kind} {metadata['name']}"


def _created_words(change: Change, names: ModelNames) -> str:
    """What is worth saying of a new object."""
    item, plural = change.item, change.resource_type.plural
    if plural in ("localmodelcaches", "localmodelnamespacecaches"):
        return f": {serving.cache_spec_words(item['spec'])}"
    changes: Iterable[str] = ()
    if plural == "localmodelnodes":
        changes = serving.node_spec_changes({}, section(item, "spec"))
    elif plural == "nodes":
        changes = builtin.node_changes({"metadata": {"labels": item["metadata"].get("labels")}}, item, names)
    elif plural == "leases":
        changes = builtin.lease_changes({}, item)
    told = ", ".join(changes)
    return f": {told}" if told else ""


def _sentence(change: Change, changes: Iterable[str]) -> str:
    told = [*metadata_changes(section(change.previous, "metadata"), change.item["metadata"]), *changes]
    return f"{_subject(change)} {'; '.join(told)}" if told else _other_words(change, None)


def _other_words(change: Change, _: ModelNames | None) -> str:
    fields = list(changed_fields(change.previous or {}, change.item))
    return f"{_subject(change)}: {', '.join(fields)} changed" if fields else ""


def _local_model_node_words(change: Change, names: ModelNames) -> str:
    before, after = change.previous or {}, change.item
    name = after["metadata"]["name"]
    told = []
    spec = ", ".join(serving.node_spec_changes(section(before, "spec"), section(after, "spec")))
    if spec:
        told.append(f"manager writes the spec of {name}: {spec}")
    status = "; ".join(serving.node_status_changes(section(before, "status"), section(after, "status"), names))
    if status:
        told.append(f"agent of {name} reports {status}")
    metadata = "; ".join(metadata_changes(section(before, "metadata"), after["metadata"]))
    if metadata:
        told.append(f"LocalModelNode {name} {metadata}")
    if told:
        return "; ".join(told)
    seen = section(after, "status").get("observedGeneration")
    if seen != section(before, "status").get("observedGeneration"):
        return f"agent of {name} has seen generation {seen} of its spec"
    return _other_words(change, names)


def _cache_words(change: Change, names: ModelNames) -> str:
    before, after = change.previous or {}, change.item
    status = "; ".join(serving.cache_status_changes(section(before, "status"), section(after, "status")))
    if not status:
        return _sentence(change, ())
    return f"manager reports {_subject(change)}: {status}"


def _group_words(change: Change, names: ModelNames) -> str:
    before, after = section(change.previous, "status"), section(change.item, "status")
    status = "; ".join(serving.group_status_changes(before, after))
    return f"manager reports {_subject(change)}: {status}" if status else _sentence(change, ())


def _node_words(change: Change, names: ModelNames) -> str:
    return _sentence(change, builtin.node_changes(change.previous or {}, change.item, names))


def _pod_words(change: Change, names: ModelNames) -> str:
    return _sentence(change, builtin.pod_changes(change.previous or {}, change.item))


def _volume_words(change: Change, names: ModelNames) -> str:
    return _sentence(change, builtin.volume_changes(change.previous or {}, change.item))


def _lease_words(change: Change, names: ModelNames) -> str:
    return _sentence(change, builtin.lease_changes(change.previous or {}, change.item))


def _service_words(change: Change, names: ModelNames) -> str:
    return _sentence(change, changed_conditions(section(change.previous, "status"), section(change.item, "status")))


_WRITERS: dict[str, Callable[[Change, ModelNames], str]] = {
    "localmodelnodes": _local_model_node_words,
    "localmodelcaches": _cache_words,
    "localmodelnamespacecaches": _cache_words,
    "localmodelnodegroups": _group_words,
    "nodes": _node_words,
    "pods": _pod_words,
    "persistentvolumes": _volume_words,
    "persistentvolumeclaims": _volume_words,
    "leases": _lease_words,
    "inferenceservices": _service_words,
    "llminferenceservices": _service_words,
}
