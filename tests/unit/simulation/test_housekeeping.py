"""A cluster that rests costs nothing, and notices all the same what happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cachesim.cluster import SimulatedCluster
from cachesim.node.heartbeats import Heartbeats
from cachesim.simulation.housekeeping import Mode
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario

BEGIN_SECONDS = 300.0


@contextmanager
def running(mode: Mode) -> Iterator[SimulatedCluster]:
    """A cluster of two nodes whose models have all arrived."""
    scenario = Scenario(
        name="rest",
        description="Nothing happens.",
        duration="1h",
        housekeeping=mode,
        nodes=Nodes(count=2, disk="16Gi"),
        group=NodeGroup(storage_limit="10Gi"),
        models=(Model(name="llama", size="1Gi"),),
    )
    cluster = SimulatedCluster(scenario, 1)
    try:
        cluster.runtime.run(cluster.start())
        cluster.environment.run(until=BEGIN_SECONDS)
        yield cluster
    finally:
        cluster.close()


def ready(cluster: SimulatedCluster, name: str) -> str:
    node = cluster.world.object("nodes", name) or {}
    conditions = node["status"]["conditions"]
    return next(str(one["status"]) for one in conditions if one["type"] == "Ready")


def test_a_quiet_cluster_has_no_events_while_nothing_happens() -> None:
    with running("quiet") as cluster:
        # What came with the models is written down within the hour.
        cluster.environment.run(until=2 * 3600)
        before = next(cluster.environment._eid)
        cluster.environment.run(until=12 * 3600)
        assert next(cluster.environment._eid) - before < 10


@pytest.mark.parametrize("mode", ["full", "quiet"])
def test_a_lost_node_is_noticed_after_its_grace(mode: Mode) -> None:
    with running(mode) as cluster:
        cluster.hosts["node-1"].power_off()
        cluster.environment.run(until=BEGIN_SECONDS + 39)
        assert ready(cluster, "node-1") == "True"
        cluster.environment.run(until=BEGIN_SECONDS + 57)
        assert ready(cluster, "node-1") == "Unknown"
        cluster.hosts["node-1"].power_on()
        cluster.environment.run(until=BEGIN_SECONDS + 70)
        assert ready(cluster, "node-1") == "True"
        assert not cluster.checkers.violations


def test_a_node_was_heard_of_last_when_its_beat_came_round() -> None:
    heartbeats = Heartbeats(10.0)
    assert heartbeats.silent_seconds("n1", 0.0) is None
    heartbeats.begin("n1", 3.0)
    assert heartbeats.silent_seconds("n1", 1000.0) == 0.0
    heartbeats.end("n1", 38.0)
    assert heartbeats.silent_seconds("n1", 43.0) == pytest.approx(10.0)
