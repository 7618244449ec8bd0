"""A plan, which leaves the cluster out, against the whole simulation of it, on the same starts."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from cachesim.planning.replay import Replay
from cachesim.planning.traffic import draw_starts
from cachesim.simulation.run import Options, simulate
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, ObjectStorage, Scenario, Traffic

Policy = Literal["LRU", "LRFU"]

SIZES_GIB = (8, 4, 12, 6, 3, 9, 5, 7, 10, 4, 6, 8)


def scenario(policy: Policy, *, nodes: int, limit: str, starts_per_hour: float) -> Scenario:
    return Scenario(
        name="both",
        description="",
        duration="8h",
        nodes=Nodes(count=nodes, disk="64Gi", network="10Gbps"),
        group=NodeGroup(storage_limit=limit, policy=policy),
        models=tuple(Model(name=f"model-{number}", size=f"{size}Gi") for number, size in enumerate(SIZES_GIB, 1)),
        # With a pattern, so that both replay starts that were drawn beforehand.
        traffic=Traffic(starts_per_hour=starts_per_hour, zipf=0.9, lifetime="5m", diurnal=0.5),
        storage=ObjectStorage(bandwidth="20Gbps"),
        housekeeping="quiet",
    )


@pytest.mark.parametrize("policy", ["LRU", "LRFU"])
def test_a_plan_comes_to_what_the_whole_simulation_does(policy: Policy) -> None:
    given = scenario(policy, nodes=4, limit="30Gi", starts_per_hour=40)
    assert given.traffic is not None
    played = Replay(given, draw_starts(given, given.traffic, 1)).run()
    run = simulate(given, 1, Options(checks=False))
    assert len(run.start_seconds) == len(played.starts)
    assert run.hits == int(played.starts.hits.sum())
    assert run.outcome.bytes_fetched == pytest.approx(played.bytes_fetched, rel=1e-6)
    assert run.outcome.evictions == len(played.evictions.seconds) > 0
    for percent in (50, 95, 99):
        simulated = float(np.percentile(run.start_seconds, percent))
        assert simulated == pytest.approx(float(np.percentile(played.wait_seconds, percent)), rel=0.1)


def test_under_pressure_a_plan_stays_close_to_the_whole_simulation() -> None:
    given = scenario("LRU", nodes=3, limit="18Gi", starts_per_hour=40)
    assert given.traffic is not None
    played = Replay(given, draw_starts(given, given.traffic, 1)).run()
    run = simulate(given, 1, Options(checks=False))
    # A second earlier or later is another order of events here, so single starts differ.
    assert run.hits / len(run.start_seconds) == pytest.approx(float(played.starts.hits.mean()), abs=0.05)
    assert run.outcome.bytes_fetched == pytest.approx(played.bytes_fetched, rel=0.15)
