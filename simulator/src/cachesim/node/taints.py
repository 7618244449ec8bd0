"""The taints that follow from a node's conditions, and how long a pod bears with them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cachecore.resources.core import Node, Taint, Toleration
from cachecore.scheduling import covers, tolerates_taint

NOT_READY_TAINT = "node.kubernetes.io/not-ready"
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"

_BY_CONDITION = {
    ("Ready", "False"): NOT_READY_TAINT,
    ("Ready", "Unknown"): UNREACHABLE_TAINT,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
_OURS_TO_SCHEDULE = frozenset({*_BY_CONDITION.values(), UNSCHEDULABLE_TAINT})
_OURS_TO_EXECUTE = frozenset({NOT_READY_TAINT, UNREACHABLE_TAINT})


def scheduling_taints(node: Node, stamp: str) -> tuple[Taint, ...] | None:
    """The node's taints with those of its conditions, as they are now; None when nothing changes."""
    wanted = [
        key for condition in node.status.conditions if (key := _BY_CONDITION.get((condition.type, condition.status)))
    ]
    if node.spec.unschedulable:
        wanted.append(UNSCHEDULABLE_TAINT)
    return _with(node, NO_SCHEDULE, wanted, _OURS_TO_SCHEDULE, stamp)


def eviction_taints(node: Node, stamp: str) -> tuple[Taint, ...] | None:
    """The node's taints with the one that evicts, if it is not well; None when nothing changes."""
    status = ready_status(node)
    wanted = {"False": [NOT_READY_TAINT], "Unknown": [UNREACHABLE_TAINT]}.get(status, [])
    return _with(node, NO_EXECUTE, wanted, _OURS_TO_EXECUTE, stamp)


def without_eviction(node: Node) -> tuple[Taint, ...] | None:
    """The node's taints without any by which we evict; None when there is none."""
    return _with(node, NO_EXECUTE, [], _OURS_TO_EXECUTE, "")


def evicting_taints(node: Node) -> list[Taint]:
    """The taints that drive pods away, whoever put them there."""
    return [taint for taint in node.spec.taints if taint.effect == NO_EXECUTE]


def ready_status(node: Node) -> str:
    """True, False or Unknown; "" when nobody has ever said."""
    return next((one.status for one in node.status.conditions if one.type == "Ready"), "")


def patience_seconds(tolerations: Sequence[Toleration], taints: Iterable[Taint]) -> float | None:
    """How long a pod stays with these evicting taints; None for ever."""
    taints = list(taints)
    if not all(tolerates_taint(tolerations, taint) for taint in taints):
        return 0.0
    limits = [
        max(0, one.toleration_seconds)
        for one in tolerations
        if one.toleration_seconds is not None and any(covers(one, taint) for taint in taints)
    ]
    return float(min(limits)) if limits else None


def _with(node: Node, effect: str, wanted: Sequence[str], ours: frozenset[str], stamp: str) -> tuple[Taint, ...] | None:
    def is_ours(taint: Taint) -> bool:
        return taint.effect == effect and taint.key in ours

    present = {taint.key for taint in node.spec.taints if is_ours(taint)}
    if present == set(wanted):
        return None
    kept = [taint for taint in node.spec.taints if not is_ours(taint) or taint.key in wanted]
    added = [Taint(key=key, effect=effect, time_added=stamp) for key in wanted if key not in present]
    return (*kept, *added)
