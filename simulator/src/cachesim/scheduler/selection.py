"""Which node a pod gets: filters, then scores. Pure."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from cachecore.quantity import quantity_bytes
from cachecore.resources.core import Node, PersistentVolume, PersistentVolumeClaim, Pod
from cachecore.scheduling import any_term_matches, pod_allows, required_terms, schedulable, tolerates

# As kube-scheduler weighs its plugins: node affinity twice as much as free space.
_AFFINITY_WEIGHT = 2
_SPREAD_WEIGHT = 1
_FULL_SCORE = 100.0


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The node that was chosen, or "" and why there is none, in the words of kube-scheduler."""

    node: str = ""
    message: str = ""


class NodeLoad(msgspec.Struct, frozen=True, kw_only=True):
    """A node with what the pods that it has already ask for."""

    node: Node
    pods: int = 0
    requested: Mapping[str, float] = {}


class UnboundClaim(Exception):
    """A claim of the pod is missing or not bound: no node will do."""


def choose_node(
    pod: Pod,
    loads: Sequence[NodeLoad],
    claim_of: Callable[[str], PersistentVolumeClaim | None],
    volume_of: Callable[[str], PersistentVolume | None],
) -> Choice:
    """The best node for the pod; the first by name of equals. `claim_of` knows the claims of its namespace."""
    available = f"0/{len(loads)} nodes are available"
    try:
        affinities = volume_affinities(pod, claim_of, volume_of)
    except UnboundClaim as error:
        return Choice(message=f"{available}: {error}. preemption: 0/{len(loads)} nodes are available.")
    reasons: collections.Counter[str] = collections.Counter()
    feasible = []
    for load in loads:
        reason = refusal(pod, load, affinities)
        if reason:
            reasons[reason] += 1
        else:
            feasible.append(load)
    if not feasible:
        return Choice(
            message=f"{available}: " + ", ".join(f"{reasons[reason]} {reason}" for reason in sorted(reasons)) + "."
        )
    scores = score(pod, feasible)
    best = max(range(len(feasible)), key=lambda index: (scores[index], _reversed(feasible[index].node.name)))
    return Choice(node=feasible[best].node.name)


def volume_affinities(
    pod: Pod,
    claim_of: Callable[[str], PersistentVolumeClaim | None],
    volume_of: Callable[[str], PersistentVolume | None],
) -> list[Sequence[Any]]:
    """The node selector terms of each volume of the pod. Raises `UnboundClaim`."""
    found = []
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is None:
            continue
        name = volume.persistent_volume_claim.claim_name
        claim = claim_of(name)
        if claim is None:
            raise UnboundClaim(f'persistentvolumeclaim "{name}" not found')
        if claim.being_deleted:
            raise UnboundClaim(f'persistentvolumeclaim "{name}" is being deleted')
        persistent = volume_of(claim.spec.get("volumeName", ""))
        if claim.status.get("phase") != "Bound" or persistent is None:
            raise UnboundClaim("pod has unbound immediate PersistentVolumeClaims")
        terms = required_terms(persistent.spec.get("nodeAffinity"))
        if terms is not None:
            found.append(terms)
    return found


def refusal(pod: Pod, load: NodeLoad, affinities: Sequence[Sequence[Any]]) -> str:
    """Why the pod can't run on the node; "" when it can."""
    node = load.node
    if not schedulable(node):
        return "node(s) were unschedulable" if node.spec.unschedulable else "node(s) were not ready"
    if not tolerates(pod.spec.tolerations, node):
        return "node(s) had untolerated taint(s)"
    if not pod_allows(_constraints(pod), node):
        return "node(s) didn't match Pod's node affinity/selector"
    if not all(any_term_matches(terms, node) for terms in affinities):
        return "node(s) had volume node affinity conflict"
    allocatable = node.status.allocatable
    if load.pods >= amount(allocatable.get("pods", "inf")):
        return "Too many pods"
    for resource, wanted in requests(pod).items():
        if wanted > 0 and load.requested.get(resource, 0.0) + wanted > amount(allocatable.get(resource, "0")):
            return f"Insufficient {resource}"
    return ""


def score(pod: Pod, loads: Sequence[NodeLoad]) -> list[float]:
    """Preferred node affinity, and few pods; each brought to 0 to 100 over the nodes that are left."""
    preferred = [_preference(pod, load.node) for load in loads]
    most_preferred, most_pods = max(preferred), max(load.pods for load in loads)
    return [
        _AFFINITY_WEIGHT * _share(preference, most_preferred)
        + _SPREAD_WEIGHT * (_FULL_SCORE - _share(load.pods, most_pods))
        for preference, load in zip(preferred, loads, strict=True)
    ]


def requests(pod: Pod) -> dict[str, float]:
    """What the pod asks for: its containers together, or its greediest init container where that is more."""
    together: dict[str, float] = {}
    for container in pod.spec.containers:
        for resource, wanted in _requests_of(container.resources):
            together[resource] = together.get(resource, 0.0) + wanted
    for container in pod.spec.init_containers:
        for resource, wanted in _requests_of(container.resources):
            together[resource] = max(together.get(resource, 0.0), wanted)
    return together


def amount(quantity: Any) -> float:
    """A quantity of any resource as a number: half a CPU is 0.5."""
    text = str(quantity)
    if text == "inf":
        return float("inf")
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(quantity_bytes(text))


def _requests_of(resources: Mapping[str, Any]) -> list[tuple[str, float]]:
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return [(resource, amount(quantity)) for resource, quantity in sorted(wanted.items())]


def _constraints(pod: Pod) -> dict[str, Any]:
    tolerations = [msgspec.to_builtins(toleration) for toleration in pod.spec.tolerations]
    return {"nodeSelector": pod.spec.node_selector, "affinity": pod.spec.affinity, "tolerations": tolerations}


def _preference(pod: Pod, node: Node) -> float:
    affinity = (pod.spec.affinity or {}).get("nodeAffinity") or {}
    return float(
        sum(
            term.get("weight", 0)
            for term in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
            if any_term_matches([term.get("preference") or {}], node)
        )
    )


def _share(value: float, most: float) -> float:
    return _FULL_SCORE * value / most if most else 0.0


def _reversed(name: str) -> tuple[int, ...]:
    """A key that makes the first name the greatest."""
    return (*(-ord(letter) for letter in name), 1)
