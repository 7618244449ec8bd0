"""Which nodes list which model, and which node a pod gets: the manager's placement, and the scheduler's preference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cachemanager.placement import Candidate, place_copies
from cachesim.planning.copies import Kind, PlannedNode
from cachesim.planning.starts import Booleans, Floats

# Above any number of pods: a node that can't be chosen.
_NEVER = 1e12
# A node that holds the model wins against any that does not: with kube-scheduler's weights, the preference that the
# webhook gives a pod counts twice as much as the spread of pods can.
_ABSENT = 1e6


class Placing:
    """Keeps the loads and the holders of all nodes, for all kinds."""

    def __init__(self, nodes: Sequence[PlannedNode], gpus: int | None) -> None:
        self._nodes = nodes
        self._pods: Floats = np.zeros(len(nodes))
        self._gpus: Floats = np.full(len(nodes), np.inf if gpus is None else float(gpus))
        self._up: Booleans = np.ones(len(nodes), dtype=np.bool_)
        self._absent: dict[int, Floats] = {}
        self._assigned: dict[int, dict[int, None]] = {}

    def choose(self, kind: Kind) -> int | None:
        """The node for a pod: one that holds the model if there is one, of these the one with the fewest pods."""
        cost = np.where(self._up & (self._gpus >= kind.gpus), self._pods + self._absence(kind), _NEVER)
        best = int(np.argmin(cost))
        return None if cost[best] >= _NEVER else best

    def has_room(self, node: int, kind: Kind) -> bool:
        return bool(self._up[node] and self._gpus[node] >= kind.gpus)

    def bind(self, node: int, kind: Kind) -> None:
        self._pods[node] += 1
        self._gpus[node] -= kind.gpus

    def release(self, node: int, kind: Kind) -> None:
        self._pods[node] -= 1
        self._gpus[node] += kind.gpus

    def note(self, node: int, kind: Kind, *, held: bool) -> None:
        self._absence(kind)[node] = 0.0 if held else _ABSENT

    def set_up(self, node: int, *, up: bool) -> None:
        self._up[node] = up

    def introduce(self, kind: Kind) -> list[int]:
        """A new kind is listed for its nodes; these are the ones."""
        if kind.copies is None:
            nodes = range(len(self._nodes))
            self._assigned[kind.number] = dict.fromkeys(nodes)
            for number in nodes:
                self._nodes[number].assign(kind)
            return list(nodes)
        self._assigned[kind.number] = {}
        return self.place(kind)

    def withdraw(self, kind: Kind) -> list[int]:
        """A kind is listed nowhere any more; these nodes had it."""
        nodes = list(self._assigned.pop(kind.number, {}))
        for number in nodes:
            self._nodes[number].unassign(kind)
        return nodes

    def place(self, kind: Kind) -> list[int]:
        """Decide anew where a kind with a number of copies goes; these nodes have something to do."""
        before = self._assigned.get(kind.number)
        if kind.copies is None or before is None:
            return []
        candidates = [self._candidate(node, kind, assigned=node.number in before) for node in self._nodes]
        wanted = {int(name): None for name in place_copies(kind.copies, kind.size_bytes, kind.key, candidates).nodes}
        for number in [number for number in before if number not in wanted]:
            self._nodes[number].unassign(kind)
        for number in [number for number in wanted if number not in before]:
            self._nodes[number].assign(kind)
        self._assigned[kind.number] = wanted
        return [*(number for number in before if number not in wanted), *(n for n in wanted if n not in before)]

    def is_assigned(self, node: int, kind: Kind) -> bool:
        return node in self._assigned.get(kind.number, {})

    def _candidate(self, node: PlannedNode, kind: Kind, *, assigned: bool) -> Candidate:
        copy = node.copies.get(kind.number)
        promised_bytes = sum(other.kind.size_bytes for other in node.copies.values() if other.desired)
        return Candidate(
            node=str(node.number),
            group="",
            demanded=copy is not None and copy.users > 0,
            assigned=assigned,
            holds=copy is not None and copy.held,
            refused="" if node.up else "not ready",
            free_bytes=node.rules.limit_bytes - promised_bytes,
        )

    def _absence(self, kind: Kind) -> Floats:
        absent = self._absent.get(kind.number)
        if absent is None:
            absent = self._absent[kind.number] = np.full(len(self._nodes), _ABSENT)
        return absent
