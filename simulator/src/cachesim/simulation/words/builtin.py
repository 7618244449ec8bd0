"""Changes of Kubernetes' own kinds, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cachecore.names import DOMAIN, NODE_READY_VALUE
from cachesim.simulation.words.differences import changed_conditions, entries_by, section
from cachesim.simulation.words.names import ModelNames

JsonObject = dict[str, Any]

# Every container waits for these, once.
_ON_ITS_WAY = frozenset({"PodInitializing", "ContainerCreating"})


def label_changes(before: JsonObject, after: JsonObject, names: ModelNames) -> Iterator[str]:
    """Labels of a Node; ours tells that the node holds a copy."""
    old, new = section(section(before, "metadata"), "labels"), section(section(after, "metadata"), "labels")
    for label, value in new.items():
        if old.get(label) != value:
            yield f"+ label {_label_words(label, value, names)}"
    yield from (f"- label {_label_words(label, old[label], names)}" for label in old if label not in new)


def node_changes(before: JsonObject, after: JsonObject, names: ModelNames) -> Iterator[str]:
    yield from label_changes(before, after, names)
    old, new = (entries_by(section(item, "spec").get("taints"), "key") for item in (before, after))
    yield from (f"+ taint {taint}" for taint in new if taint not in old)
    yield from (f"- taint {taint}" for taint in old if taint not in new)
    yield from changed_conditions(section(before, "status"), section(after, "status"))


def pod_changes(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """Where a pod is on its way: bound, phase, containers, ready."""
    node = section(after, "spec").get("nodeName")
    if node and node != section(before, "spec").get("nodeName"):
        yield f"bound to {node}"
    old, new = section(before, "status"), section(after, "status")
    if new.get("startTime") and not old.get("startTime"):
        yield "is taken up by the kubelet"
    if old.get("phase") != new.get("phase") and new.get("phase"):
        yield f"is {new['phase']}"
    for field in ("initContainerStatuses", "containerStatuses"):
        yield from _container_changes(old.get(field), new.get(field))
    conditions = entries_by(old.get("conditions"), "type")
    for name, condition in entries_by(new.get("conditions"), "type").items():
        previous = conditions.get(name, {})
        if name == "Ready" and (condition["status"] == "True") != (previous.get("status") == "True"):
            yield "is ready" if condition["status"] == "True" else "is not ready any more"
        if condition.get("reason") == "Unschedulable" and previous.get("message") != condition.get("message"):
            yield f"cannot be scheduled: {condition.get('message')}"


def volume_changes(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """Of a PersistentVolume or a claim."""
    phase = section(after, "status").get("phase")
    if phase and phase != section(before, "status").get("phase"):
        yield f"is {phase}"
    volume = section(after, "spec").get("volumeName")
    if volume and volume != section(before, "spec").get("volumeName"):
        yield f"takes volume {volume}"
    claim = section(section(after, "spec"), "claimRef")
    if claim.get("uid") != section(section(before, "spec"), "claimRef").get("uid"):
        yield f"belongs to claim {claim.get('namespace')}/{claim.get('name')}"


def lease_changes(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """Who holds it; a renewal is no news."""
    old, new = section(before, "spec").get("holderIdentity"), section(after, "spec").get("holderIdentity")
    if old != new:
        yield f"held by {new or 'nobody'}" + (f", no longer by {old}" if old else "")


def event_words(item: JsonObject) -> str:
    """A Kubernetes Event."""
    about = section(item, "involvedObject")
    times = item.get("count") or 1
    again = f" ({times} times)" if times > 1 else ""
    source = section(item, "source").get("component") or item.get("reportingComponent") or "somebody"
    message = f"{item.get('reason', '')}: {item.get('message', '')}{again}"
    return f"{source} tells of {about.get('kind', '')} {about.get('name', '')}: {message}"


def _label_words(label: str, value: str, names: ModelNames) -> str:
    if label.startswith(f"{DOMAIN}/") and value == NODE_READY_VALUE:
        return f"{names.of_key(label.removeprefix(f'{DOMAIN}/'))}={value}"
    return f"{label}={value}" if value else label


def _container_changes(before: Any, after: Any) -> Iterator[str]:
    """Containers by the name of their state: running, terminated with a code, or waiting for a reason."""
    old = entries_by(before, "name")
    for name, status in entries_by(after, "name").items():
        state, previous = status.get("state") or {}, old.get(name, {}).get("state") or {}
        if "running" in state and "running" not in previous:
            yield f"{name} runs"
        if "terminated" in state and "terminated" not in previous:
            yield f"{name} ended with code {state['terminated'].get('exitCode', 0)}"
        reason = (state.get("waiting") or {}).get("reason")
        if reason and reason not in _ON_ITS_WAY and reason != (previous.get("waiting") or {}).get("reason"):
            yield f"{name} waits: {reason}"
