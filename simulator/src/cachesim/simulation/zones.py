"""Zones: a fault may strike all nodes of one at once."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cachesim.faults.kinds import Scope
from cachesim.faults.plan import Fault
from cachesim.simulation.scenario import Nodes


def zone_names(nodes: Nodes) -> list[str]:
    """All zones; none when the scenario has no more than one."""
    return [f"zone-{number}" for number in range(1, nodes.zones + 1)] if nodes.zones > 1 else []


def spread_over_zones(faults: Iterable[Fault], nodes: Nodes) -> tuple[Fault, ...]:
    """A fault of a zone is one of each of its nodes; the nodes are dealt out to the zones in their order."""
    spread: list[Fault] = []
    zones = zone_names(nodes)
    for fault in faults:
        if fault.kind.scope is Scope.NODE and fault.where in zones:
            first = zones.index(fault.where) + 1
            spread += [
                msgspec.structs.replace(fault, where=f"node-{number}")
                for number in range(first, nodes.count + 1, nodes.zones)
            ]
        else:
            spread.append(fault)
    return tuple(spread)
