"""Small plans with round numbers: 1 GB takes a second over each link, and another second to load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from cachesim.faults.plan import Fault
from cachesim.planning.outages import make_replay
from cachesim.planning.played import Played
from cachesim.planning.starts import ANYWHERE, Replacement, Starts, make_starts
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, ObjectStorage, Scenario, Traffic

Policy = Literal["LRU", "GreedyDualSize", "LFU", "LRFU"]


class PlanBench:
    """Makes a scenario of a few models, starts of a few pods, and replays them."""

    # Before the first byte of a download: the agent's work, and two round trips of 50 ms.
    fetch_seconds = 0.8
    # Before a pod loads its model.
    start_seconds = 0.6

    def scenario(
        self,
        *models: str | Model,
        nodes: int = 1,
        limit: str = "100G",
        gpus: int | None = None,
        zones: int = 1,
        network: str = "8Gbps",
        bandwidth: str = "8Gbps",
        policy: Policy = "LRU",
        slots: int = 2,
        traffic: Traffic | None = None,
        duration: str = "1h",
    ) -> Scenario:
        """Models are given whole, or as sizes: then their names are a, b, c."""
        return Scenario(
            name="small",
            description="a few models",
            duration=duration,
            nodes=Nodes(count=nodes, disk=limit, network=network, load_rate="8Gbps", zones=zones, gpus=gpus),
            group=NodeGroup(storage_limit=limit, policy=policy, max_concurrent_downloads=slots),
            models=tuple(
                Model(name="abcdefghijklmnopqrstuvwxyz"[number], size=model) if isinstance(model, str) else model
                for number, model in enumerate(models)
            ),
            storage=ObjectStorage(bandwidth=bandwidth, latency="50ms"),
            traffic=traffic,
        )

    def starts(
        self,
        *rows: tuple[float, int] | tuple[float, int, int],
        lifetime: float | Sequence[float] = 60.0,
        duration: float = 3600.0,
        replacements: Sequence[Replacement] = (),
    ) -> Starts:
        """Each row is when, which model, and, if that matters, on which node."""
        return make_starts(
            [row[0] for row in rows],
            [row[1] for row in rows],
            lifetime,
            duration_seconds=duration,
            nodes=[row[2] if len(row) == 3 else ANYWHERE for row in rows],
            replacements=replacements,
        )

    def play(self, scenario: Scenario, starts: Starts, *faults: Fault) -> Played:
        return make_replay(scenario, starts, faults).run()

    def holders(self, played: Played, seconds: float, kind: int = 0) -> list[int]:
        """The nodes that have a copy of the kind at that time."""
        rows = played.holdings
        there = (rows.begin_seconds <= seconds) & (seconds < rows.end_seconds) & (rows.kinds == kind)
        return sorted(int(node) for node in rows.nodes[there])

    def most_held_bytes(self, played: Played, node: int) -> int:
        """The most that the node has held at any time."""
        rows = played.holdings
        mine = rows.nodes == node
        sizes = played.kind_bytes[rows.kinds[mine]]
        moments = np.concatenate([rows.end_seconds[mine], rows.begin_seconds[mine]])
        changes = np.concatenate([-sizes, sizes])
        # What ends at a moment has gone before what begins then.
        order = np.lexsort((changes, moments))
        return int(np.cumsum(changes[order]).max(initial=0))


@pytest.fixture
def plan() -> PlanBench:
    return PlanBench()
