"""What a recorder keeps of a run."""

from __future__ import annotations

import pathlib
import types

import msgspec
import pytest

from cachecore.names import storage_key
from cachesim.cluster import SimulatedCluster
from cachesim.disk import DiskEvent
from cachesim.simulation.event_log import Event
from cachesim.simulation.recorder import Recorder, healed, over_by
from cachesim.simulation.run import Run, simulate
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario
from cachesim.simulation.scenario_file import load_scenario
from cachesim.simulation.timeline import FaultSpan, Timeline
from cachesim.simulation.words import ModelNames

KEY = storage_key("s3://models/llama")
SCENARIO = Scenario(
    name="two",
    description="two nodes",
    duration="1h",
    nodes=Nodes(count=2, disk="10Gi"),
    group=NodeGroup(storage_limit="8Gi"),
    models=(Model(name="llama", size="1Gi"),),
)


def recorded(*events: Event) -> Timeline:
    recorder = Recorder(SCENARIO, {name: types.SimpleNamespace(used_bytes=2**30) for name in SCENARIO.node_names()})
    for event in events:
        recorder.observe(event)
    return recorder.timeline(100.0)


def disk(seconds: float, verb: str, path: str, target: str = "") -> Event:
    return Event(seconds, "disk", DiskEvent(verb, path, target), "node-1")


ALLOCATED = disk(1.0, "allocate", f".localmodel/staging/{KEY}/files/a")
PUBLISHED = disk(5.0, "rename", f".localmodel/staging/{KEY}/files", f"{KEY}/models/{KEY}")
EVICTED = disk(9.0, "rename", f"{KEY}/models/{KEY}", f".localmodel/trash/{KEY}-1")
EMPTIED = disk(12.0, "remove", f".localmodel/trash/{KEY}-1")


def test_a_copy_is_downloaded_held_and_evicted() -> None:
    copies = recorded(ALLOCATED, PUBLISHED, EVICTED, EMPTIED).nodes[0].copies
    assert [(span.state, span.begin_seconds, span.end_seconds) for span in copies] == [
        ("downloading", 1.0, 5.0),
        ("held", 5.0, 9.0),
        ("evicting", 9.0, 12.0),
    ]


def test_a_wiped_disk_holds_nothing() -> None:
    copies = recorded(ALLOCATED, PUBLISHED, disk(50.0, "wipe", "")).nodes[0].copies
    assert copies[-1].end_seconds == 50.0


def test_a_download_that_is_not_over_is_unfinished() -> None:
    assert [download.ended for download in recorded(ALLOCATED).downloads] == ["unfinished"]


def test_an_outage_lies_between_a_stop_and_a_start() -> None:
    timeline = recorded(Event(3.0, "host", "agent stopped", "node-2"), Event(8.0, "host", "agent started", "node-2"))
    assert [(outage.what, outage.begin_seconds, outage.end_seconds) for outage in timeline.nodes[1].outages] == [
        ("agent", 3.0, 8.0)
    ]


def test_a_violation_is_placed_on_the_node_that_it_names() -> None:
    timeline = recorded(Event(3.0, "violation", f"S6: node-2: {KEY} was evicted"))
    assert [(mark.invariant, mark.node, mark.message) for mark in timeline.violations] == [
        ("S6", "node-2", "node-2: llama was evicted")
    ]


def fault(words: str) -> FaultSpan:
    return FaultSpan(words=words, node="", begin_seconds=10.0, end_seconds=None)


def test_a_heal_ends_the_fault_that_it_names() -> None:
    faults = [fault("disk-full at 1m node-1 for 60 s"), fault("disk-full at 1m node-2 for 60 s")]
    assert [item.end_seconds for item in healed(faults, "disk-full ends on node-2", 70.0)] == [None, 70.0]


def test_all_faults_stop() -> None:
    faults = [fault("disk-full at 1m node-1 for 60 s"), fault("error at 3rd of agent/node-1")]
    assert [item.end_seconds for item in healed(faults, "all faults stop", 30.0)] == [30.0, None]


def test_a_fault_whose_end_nobody_told_lasts_as_long_as_it_says() -> None:
    assert over_by(fault("crash-after at 1st of agent/node-1 for 10 s: x"), 180.0).end_seconds == 20.0


@pytest.fixture(scope="module")
def watched() -> tuple[SimulatedCluster, Timeline, Run]:
    """Ten minutes of pressure on small disks."""
    path = pathlib.Path(__file__).parents[3] / "simulator" / "scenarios" / "first.yaml"
    scenario = msgspec.structs.replace(load_scenario(path), duration="10m", faults=())
    clusters: list[SimulatedCluster] = []
    recorders: list[Recorder] = []

    def observe(cluster: SimulatedCluster) -> None:
        clusters.append(cluster)
        recorders.append(Recorder(cluster.scenario, cluster.world.disks))
        cluster.log.observers.append(recorders[0].observe)

    run = simulate(scenario, 7, observe=observe)
    return clusters[0], recorders[0].timeline(run.outcome.virtual_seconds), run


@pytest.mark.timeout(300)
def test_what_is_held_at_the_end_is_what_the_disks_hold(watched: tuple[SimulatedCluster, Timeline, Run]) -> None:
    cluster, timeline, _ = watched
    names = ModelNames.of(cluster.scenario)
    for node in timeline.nodes:
        held = {
            span.model
            for span in node.copies
            if span.end_seconds == timeline.end_seconds and span.state in ("held", "in use")
        }
        assert held == {names.of_key(key) for key in cluster.world.published_keys(node.name)}


@pytest.mark.timeout(300)
def test_evictions_are_the_outcomes(watched: tuple[SimulatedCluster, Timeline, Run]) -> None:
    _, timeline, run = watched
    assert len(timeline.evictions) == run.outcome.evictions > 0
