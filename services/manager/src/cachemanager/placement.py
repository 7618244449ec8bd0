"""Which nodes hold which cache. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

import msgspec

from cachecore.resources.core import Node

_UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
_REFUSING_EFFECTS = ("NoSchedule", "NoExecute")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One node that could hold a cache, and what counts for choosing it.

    `refused` says in words why the node takes no new copies ("" when it does); `free_bytes` is what the models assigned
    to the node leave of its limit.
    """

    node: str
    group: str
    demanded: bool = False
    assigned: bool = False
    holds: bool = False
    refused: str = ""
    free_bytes: int = 0


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cache goes: node to node group; and which nodes were passed over, with the reason in words."""

    nodes: dict[str, str] = {}
    refused: dict[str, str] = {}


def refusal(node: Node, tolerated_taint_keys: Collection[str] = ()) -> str:
    """Why the node takes no new copies, in words; "" when it does. What is already there stays."""
    if not node.ready:
        return "not ready"
    if node.spec.unschedulable:
        return "cordoned"
    for taint in node.spec.taints:
        if taint.effect in _REFUSING_EFFECTS and taint.key not in tolerated_taint_keys:
            if taint.key == _UNSCHEDULABLE_TAINT:
                return "cordoned"
            value = f"={taint.value}" if taint.value else ""
            return f"tainted {taint.key}{value}:{taint.effect}"
    return ""


def belongs(candidate: Candidate) -> bool:
    """Whether the candidate holds a cache that goes to all nodes: new copies only where the node takes them."""
    return candidate.demanded or candidate.assigned or not candidate.refused


def place_everywhere(candidates: Iterable[Candidate]) -> Placement:
    """A cache without `copies`: every candidate that takes it, and those that have it already."""
    nodes: dict[str, str] = {}
    refused: dict[str, str] = {}
    for candidate in candidates:
        if belongs(candidate):
            nodes[candidate.node] = candidate.group
        else:
            refused[candidate.node] = candidate.refused
    return Placement(nodes=nodes, refused=refused)


def place_copies(copies: int, size_bytes: int, seed: str, candidates: Iterable[Candidate]) -> Placement:
    """A cache with `copies`: that many nodes, and every node where a pod needs it.

    In this order: nodes that were assigned and hold it, that were assigned, where a pod needs it, which hold it, with
    room for it, with the most free storage; ties by rendezvous hash of `seed`, so a lost node moves only its copies.
    So a copy moves to where it is needed, and the old one goes only when the new one is whole.
    """
    usable: list[Candidate] = []
    refused: dict[str, str] = {}
    for candidate in candidates:
        if belongs(candidate):
            usable.append(candidate)
        else:
            refused[candidate.node] = candidate.refused
    usable.sort(key=lambda one: _rank(one, size_bytes, seed))
    chosen = [one for index, one in enumerate(usable) if index < copies or one.demanded]
    chosen.sort(key=lambda one: one.node)
    return Placement(nodes={one.node: one.group for one in chosen}, refused=refused)


def _rank(candidate: Candidate, size_bytes: int, seed: str) -> tuple[bool, bool, bool, bool, bool, int, bytes]:
    return (
        not (candidate.assigned and candidate.holds),
        not candidate.assigned,
        not candidate.demanded,
        not candidate.holds,
        candidate.free_bytes < size_bytes,
        -candidate.free_bytes,
        hashlib.blake2b(f"{seed}\0{candidate.node}".encode(), digest_size=8).digest(),
    )
