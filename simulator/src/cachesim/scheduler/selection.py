"""Which node a pod gets: filters, then scores. Pure."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from cachecore.quantity import quantity_bytes
from cachecore.resources.core import Node, Pod, Taint, Toleration
from cachecore.scheduling import any_term_matches, required_terms, selects, tolerates, tolerates_taint
from cachesim.scheduler.claims import Binding, PodClaims, Storage, UnusableClaim, claims_of

# As kube-scheduler weighs its plugins.
_TAINT_WEIGHT = 3
_AFFINITY_WEIGHT = 2
_SPREAD_WEIGHT = 1
_FULL_SCORE = 100.0

_CORDONED = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The node that was chosen, and what must be bound before the pod is; or "" and why there is none.

    The message is in the words of kube-scheduler.
    """

    node: str = ""
    bindings: tuple[Binding, ...] = ()
    message: str = ""


class NodeLoad(msgspec.Struct, frozen=True, kw_only=True):
    """A node with what the pods that it has already ask for."""

    node: Node
    pods: int = 0
    requested: Mapping[str, float] = {}


class Refusal(msgspec.Struct, frozen=True):
    """Why a pod can't run on a node; `final` when the end of other pods would not help."""

    reasons: tuple[str, ...]
    final: bool = True


def choose_node(pod: Pod, nodes: Sequence[Node], load_of: Callable[[Node], NodeLoad], storage: Storage) -> Choice:
    """The best node for the pod; the first by name of equals. `storage` knows the claims of its namespace."""
    if not nodes:
        return Choice(message="no nodes available to schedule pods")
    available = f"0/{len(nodes)} nodes are available"
    try:
        claims = claims_of(pod, storage)
    except UnusableClaim as error:
        # What kube-scheduler adds is what its last plugin thinks of a pod that no node was looked at for.
        return Choice(message=f"{available}: {error}. not found")
    loads = [load_of(node) for node in nodes]
    wish = _Wish.of(pod)
    refusals = [(load, refusal(wish, load, claims, storage)) for load in loads]
    feasible = [load for load, refused in refusals if refused is None]
    if not feasible:
        return Choice(message=_explain(available, [refused for _, refused in refusals if refused is not None]))
    scores = score(pod, feasible)
    best = min(range(len(feasible)), key=lambda index: (-scores[index], feasible[index].node.name))
    node = feasible[best].node
    return Choice(node=node.name, bindings=claims.bindings(node, storage) or ())


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod asks of its node, found once for all nodes. `names` and `constraints` None: any node will do."""

    tolerations: Sequence[Toleration]
    names: set[str] | None
    constraints: dict[str, Any] | None
    requested: dict[str, float]

    @classmethod
    def of(cls, pod: Pod) -> _Wish:
        constraints = {"nodeSelector": pod.spec.node_selector, "affinity": pod.spec.affinity}
        return cls(
            tolerations=pod.spec.tolerations,
            names=_named_nodes(pod),
            constraints=constraints if any(constraints.values()) else None,
            requested=requests(pod),
        )


def refusal(wish: _Wish, load: NodeLoad, claims: PodClaims, storage: Storage) -> Refusal | None:
    """Why the pod can't run on the node; None when it can. The first filter that refuses has the word."""
    node = load.node
    if wish.names is not None and node.name not in wish.names:
        return Refusal(("node(s) didn't satisfy plugin(s) [NodeAffinity]",))
    if node.spec.unschedulable and not tolerates_taint(wish.tolerations, _CORDONED):
        return Refusal(("node(s) were unschedulable",))
    if node.spec.taints and not tolerates(wish.tolerations, node):
        return Refusal(("node(s) had untolerated taint(s)",))
    if wish.constraints is not None and not selects(wish.constraints, node):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",))
    crowded = _crowded(wish, load)
    if crowded is not None:
        return crowded
    stored = claims.refusal(node, storage)
    return Refusal((stored,)) if stored else None


def _crowded(wish: _Wish, load: NodeLoad) -> Refusal | None:
    allocatable = load.node.status.allocatable
    reasons = ["Too many pods"] if load.pods >= amount(allocatable.get("pods", "0")) else []
    final = False
    for resource, wanted in wish.requested.items():
        capacity = amount(allocatable.get(resource, "0"))
        if wanted > 0 and load.requested.get(resource, 0.0) + wanted > capacity:
            reasons.append(f"Insufficient {resource}")
            final = final or wanted > capacity
    return Refusal(tuple(reasons), final) if reasons else None


def _explain(available: str, refusals: Sequence[Refusal]) -> str:
    reasons = collections.Counter(reason for each in refusals for reason in each.reasons)
    hopes = collections.Counter(_NOT_HELPFUL if each.final else _NO_VICTIMS for each in refusals)
    return (
        f"{available}: {_histogram(reasons)}. no new claims to deallocate, "
        f"preemption: {available}: {_histogram(hopes)}."
    )


def _histogram(reasons: Mapping[str, int]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


def _named_nodes(pod: Pod) -> set[str] | None:
    """The nodes that the pod asks for by name in every term of its affinity; None when it does not."""
    terms = required_terms(_node_affinity(pod), field="requiredDuringSchedulingIgnoredDuringExecution")
    names: set[str] = set()
    for term in terms or ():
        fields = [
            set(one.get("values") or ())
            for one in term.get("matchFields") or ()
            if one.get("key") == "metadata.name" and one.get("operator") == "In"
        ]
        if not fields:
            return None
        names |= set.intersection(*fields)
    return names if terms else None


def score(pod: Pod, loads: Sequence[NodeLoad]) -> list[float]:
    """Few taints that discourage, preferred node affinity, and few pods; each is 0 to 100 over the nodes left."""
    # Most nodes have no taints, and most pods no preference.
    discouraged = [float(_discouraging_taints(pod, load.node)) if load.node.spec.taints else 0.0 for load in loads]
    preferred = [_preference(pod, load.node) for load in loads] if pod.spec.affinity else [0.0] * len(loads)
    most_discouraged, most_preferred = max(discouraged), max(preferred)
    most_pods = max(load.pods for load in loads)
    return [
        _TAINT_WEIGHT * (_FULL_SCORE - _share(taints, most_discouraged))
        + _AFFINITY_WEIGHT * _share(preference, most_preferred)
        + _SPREAD_WEIGHT * (_FULL_SCORE - _share(load.pods, most_pods))
        for taints, preference, load in zip(discouraged, preferred, loads, strict=True)
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
    return _amount(str(quantity))


@functools.lru_cache(maxsize=4096)
def _amount(text: str) -> float:
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(quantity_bytes(text))


def _requests_of(resources: Mapping[str, Any]) -> list[tuple[str, float]]:
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return [(resource, amount(quantity)) for resource, quantity in sorted(wanted.items())]


def _node_affinity(pod: Pod) -> Any:
    return (pod.spec.affinity or {}).get("nodeAffinity") or {}


def _discouraging_taints(pod: Pod, node: Node) -> int:
    return sum(
        taint.effect == "PreferNoSchedule" and not tolerates_taint(pod.spec.tolerations, taint)
        for taint in node.spec.taints
    )


def _preference(pod: Pod, node: Node) -> float:
    return float(
        sum(
            term.get("weight", 0)
            for term in _node_affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
            if any_term_matches([term.get("preference") or {}], node)
        )
    )


def _share(value: float, most: float) -> float:
    return _FULL_SCORE * value / most if most else 0.0
