"""The quality of service class of a pod, which the API server decides at its creation and never changes."""

from __future__ import annotations

from cachesim.apiserver.resources import JsonObject

_COMPUTE = frozenset({"cpu", "memory"})


def quality_of_service(spec: JsonObject) -> str:
    """BestEffort: no container asks for anything; Guaranteed: each gets just what it asks for; else Burstable."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    asked = [_asked(container) for container in containers]
    if not any(requests or limits for requests, limits in asked):
        return "BestEffort"
    if all(limits.keys() == _COMPUTE and requests == limits for requests, limits in asked):
        return "Guaranteed"
    return "Burstable"


def _asked(container: JsonObject) -> tuple[JsonObject, JsonObject]:
    """Requests and limits of processor and memory; what has a limit alone requests as much."""
    resources = container.get("resources") or {}
    limits = {name: amount for name, amount in (resources.get("limits") or {}).items() if name in _COMPUTE}
    requests = {name: amount for name, amount in (resources.get("requests") or {}).items() if name in _COMPUTE}
    return {**limits, **requests}, limits
