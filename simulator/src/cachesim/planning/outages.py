"""Faults in a plan: nodes and zones that go, agents that stand still, an object store that is slow."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from cachecore.errors import InvalidInput
from cachesim.faults.kinds import What
from cachesim.faults.plan import Fault
from cachesim.planning.replay import OnEvicted, Replay
from cachesim.planning.starts import Starts
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.zones import spread_over_zones

# A Node is NotReady 40 s after its last word, and its pods go five minutes later (Kubernetes' default tolerations).
POD_EVICTION_SECONDS = 340.0

_NODE_LOST: tuple[What, ...] = ("node-lost", "node-deleted", "power-loss")
_AGENT_AWAY: tuple[What, ...] = ("agent-crash", "agent-paused")
_STORAGE_SHARES: dict[What, float] = {"storage-down": 0.0, "storage-stalled": 0.0, "storage-throttled": 0.5}
PLANNED: tuple[What, ...] = (*_NODE_LOST, *_AGENT_AWAY, "rolling-upgrade", "storage-slow", *_STORAGE_SHARES)


def make_replay(
    scenario: Scenario, starts: Starts, faults: Sequence[Fault] = (), *, on_evicted: OnEvicted = lambda *_: None
) -> Replay:
    """A replay with its faults on their way. Raises `InvalidInput` for a fault that plans don't know."""
    refuse_unplanned(faults)
    replay = Replay(scenario, starts, on_evicted=on_evicted)
    names = scenario.node_names()
    for fault in spread_over_zones(faults, scenario.nodes):
        # A point with fewer nodes does without those that it doesn't have.
        if not fault.where or fault.where in names:
            _schedule(replay, fault, names.index(fault.where) if fault.where else None)
    return replay


def refuse_unplanned(faults: Sequence[Fault]) -> None:
    """Raises `InvalidInput` for the first fault that a plan has no model of."""
    for fault in faults:
        if fault.occasion:
            raise InvalidInput(f"{fault.words()}: a plan has no sites, give a time; or use localmodel simulate")
        if fault.what not in PLANNED:
            raise InvalidInput(f"{fault.what} is for localmodel simulate; a plan knows {', '.join(sorted(PLANNED))}")


def _schedule(replay: Replay, fault: Fault, node: int | None) -> None:
    begin, end = fault.at_seconds, fault.at_seconds + fault.lasting_seconds
    if fault.what == "rolling-upgrade":
        for number in range(len(replay.nodes)):
            moment = begin + number * fault.lasting_seconds
            replay.at(moment, functools.partial(replay.stop_agent, number))
            replay.at(moment + fault.lasting_seconds, functools.partial(replay.start_agent, number))
    elif fault.what == "storage-slow":
        replay.at(begin, functools.partial(replay.slow_storage, fault.share))
        replay.at(end, functools.partial(replay.restore_storage, fault.share))
    elif fault.what in _STORAGE_SHARES:
        replay.at(begin, functools.partial(replay.slow_storage, _STORAGE_SHARES[fault.what]))
        replay.at(end, functools.partial(replay.restore_storage, _STORAGE_SHARES[fault.what]))
    elif node is not None and fault.what in _AGENT_AWAY:
        replay.at(begin, functools.partial(replay.stop_agent, node))
        replay.at(end, functools.partial(replay.start_agent, node))
    elif node is not None:
        # Pods of a deleted Node go with it; those of a silent one when nobody hopes for it any more.
        patience = 0.0 if fault.what == "node-deleted" else min(POD_EVICTION_SECONDS, fault.lasting_seconds)
        wiped = fault.disk != "kept"
        replay.at(begin, functools.partial(replay.lose_node, node, wiped=wiped, patience_seconds=patience))
        replay.at(end, functools.partial(replay.return_node, node))
