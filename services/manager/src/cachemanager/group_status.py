"""The status of a node group, from its nodes. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cachecore.conditions import set_condition
from cachecore.resources.serving import LocalModelNodeGroup, LocalModelNodeGroupStatus, NodeStorageStatus
from cachemanager.groups import bytes_or_none, group_path, limit_bytes, quantity_text

READY = "Ready"
_NAMES_SHOWN = 3


class MemberNode(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the group. `storage` is None until its agent has reported."""

    node: str
    ready: bool
    storage: NodeStorageStatus | None = None


def fullest(members: Sequence[MemberNode]) -> NodeStorageStatus | None:
    """The storage of the node that has the least room left; the one using more, of equals."""
    reported = [member.storage for member in members if member.storage is not None]
    return min(reported, key=lambda storage: (storage.available, -storage.used), default=None)


def group_status(group: LocalModelNodeGroup, members: Sequence[MemberNode], now: float) -> LocalModelNodeGroupStatus:
    """The status to show: used and available are the fullest node's."""
    previous = group.status
    storage = fullest(members)
    generation = max(previous.observed_generation, group.metadata.generation)
    ready, reason, message = _verdict(group, members)
    conditions = set_condition(
        previous.conditions,
        type=READY,
        status=ready,
        reason=reason,
        message=message,
        now=now,
        observed_generation=generation,
    )
    return LocalModelNodeGroupStatus(
        used=quantity_text(storage.used, round_up=True) if storage is not None else "0",
        available=quantity_text(storage.available if storage is not None else limit_bytes(group), round_up=False),
        nodes=len(members),
        ready_nodes=sum(member.ready for member in members),
        observed_generation=generation,
        conditions=conditions,
    )


def group_problem(group: LocalModelNodeGroup) -> str:
    """What is wrong with the group's spec, in words; "" when nothing is."""
    if bytes_or_none(group.spec.storage_limit) is None:
        return f"storageLimit {group.spec.storage_limit!r} is not a quantity"
    if not group_path(group):
        return "persistentVolumeSpec has neither local.path nor hostPath.path, as an absolute path"
    return ""


def _verdict(group: LocalModelNodeGroup, members: Sequence[MemberNode]) -> tuple[bool, str, str]:
    problem = group_problem(group)
    if problem:
        return False, "InvalidSpec", problem
    if not members:
        return False, "NoNodes", "no node matches the node affinity and the nodeSelector"
    unready = [member.node for member in members if not member.ready]
    if unready:
        return False, "NodesNotReady", f"{len(unready)} of {len(members)} nodes are not ready: {_some(unready)}"
    silent = [member.node for member in members if member.storage is None]
    if silent:
        return False, "AgentsSilent", f"no agent has reported from {len(silent)} of {len(members)}: {_some(silent)}"
    return True, "AllNodesReady", f"{len(members)} nodes are ready"


def _some(nodes: Sequence[str]) -> str:
    shown = ", ".join(nodes[:_NAMES_SHOWN])
    return f"{shown} and {len(nodes) - _NAMES_SHOWN} more" if len(nodes) > _NAMES_SHOWN else shown
