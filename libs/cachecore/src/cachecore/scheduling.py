"""Which nodes a node group has, and which of them a pod may run on: Kubernetes' own rules, as pure predicates.

Terms and affinities are the API's JSON. What Kubernetes would refuse (an unknown operator) matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cachecore.resources.core import Node, Taint, Toleration
from cachecore.resources.meta import JsonObject
from cachecore.resources.serving import LocalModelNodeGroup


def group_selects(group: LocalModelNodeGroup, node: Node) -> bool:
    """Whether the node belongs to the group: its nodeSelector and its volume's nodeAffinity must both match."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in group.spec.node_selector.items()):
        return False
    terms = required_terms(group.spec.persistent_volume_spec.get("nodeAffinity"))
    return terms is None or any_term_matches(terms, node)


def pod_allows(pod_spec: JsonObject, node: Node) -> bool:
    """Whether the pod's own constraints allow the node.

    They are its nodeName, nodeSelector, required node affinity, tolerations, and devices (such as GPUs) that the node
    must have. How full the node is does not count: that changes by the minute.
    """
    bound_to = pod_spec.get("nodeName")
    if bound_to:
        return bool(bound_to == node.name)
    if not selects(pod_spec, node):
        return False
    return tolerates(pod_spec.get("tolerations") or (), node) and _has_devices(pod_spec, node)


def selects(pod_spec: JsonObject, node: Node) -> bool:
    """Whether the pod's nodeSelector and required node affinity both match the node."""
    selector: Mapping[str, str] = pod_spec.get("nodeSelector") or {}
    if any(node.metadata.labels.get(key) != value for key, value in selector.items()):
        return False
    node_affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity")
    terms = required_terms(node_affinity, field="requiredDuringSchedulingIgnoredDuringExecution")
    return terms is None or any_term_matches(terms, node)


def schedulable(node: Node) -> bool:
    """Whether new pods may be put there at all: ready, and not cordoned."""
    return node.ready and not node.spec.unschedulable and not node.being_deleted


def required_terms(node_affinity: Any, *, field: str = "required") -> Sequence[JsonObject] | None:
    """The terms of a required node selector; None when there is no such selector, which then allows every node."""
    selector = node_affinity.get(field) if isinstance(node_affinity, dict) else None
    if not isinstance(selector, dict):
        return None
    terms = selector.get("nodeSelectorTerms")
    return terms if isinstance(terms, Sequence) else ()


def any_term_matches(terms: Iterable[JsonObject], node: Node) -> bool:
    """Terms are alternatives; the expressions of one must all hold. An empty term matches no node."""
    return any(_term_matches(term, node) for term in terms)


def tolerates(tolerations: Iterable[JsonObject | Toleration], node: Node) -> bool:
    """Whether the tolerations cover each taint that keeps pods off the node; PreferNoSchedule keeps none off."""
    accepted = [_toleration(toleration) for toleration in tolerations]
    return all(
        tolerates_taint(accepted, taint) for taint in node.spec.taints if taint.effect in ("NoSchedule", "NoExecute")
    )


def tolerates_taint(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """Whether one of the tolerations covers the taint."""
    return any(covers(toleration, taint) for toleration in tolerations)


def covers(toleration: Toleration, taint: Taint) -> bool:
    """Whether the toleration is for this taint; for how long is another matter."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if not toleration.key:
        return toleration.operator == "Exists"
    if toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or toleration.value == taint.value


def _has_devices(pod_spec: JsonObject, node: Node) -> bool:
    """Whether the node has each extended resource (`nvidia.com/gpu`) that a container asks for."""
    allocatable = node.status.allocatable
    for container in pod_spec.get("containers") or ():
        resources = container.get("resources") or {}
        for name in (*(resources.get("limits") or ()), *(resources.get("requests") or ())):
            if "/" in name and str(allocatable.get(name, "0")) == "0":
                return False
    return True


def _term_matches(term: JsonObject, node: Node) -> bool:
    expressions = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    names = {"metadata.name": node.name}
    return all(_expression_holds(expression, node.metadata.labels) for expression in expressions) and all(
        _expression_holds(expression, names) for expression in fields
    )


def _expression_holds(expression: JsonObject, labels: Mapping[str, str]) -> bool:
    actual = labels.get(expression.get("key", ""))
    values: Sequence[str] = expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return actual in values
        case "NotIn":
            return actual not in values
        case "Exists":
            return actual is not None
        case "DoesNotExist":
            return actual is None
        case "Gt":
            return _compare(actual, values) > 0
        case "Lt":
            return _compare(actual, values) < 0
    return False


def _compare(actual: str | None, values: Sequence[str]) -> int:
    """The sign of label minus value; 0, which neither Gt nor Lt accepts, when one of them is no integer."""
    try:
        difference = int(actual or "") - int(values[0])
    except (ValueError, IndexError):
        return 0
    return (difference > 0) - (difference < 0)


def _toleration(value: JsonObject | Toleration) -> Toleration:
    if isinstance(value, Toleration):
        return value
    return Toleration(
        key=value.get("key") or "",
        operator=value.get("operator") or "",
        value=value.get("value") or "",
        effect=value.get("effect") or "",
    )
