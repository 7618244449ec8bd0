"""Two fidelities, one truth: what real files and a real S3 show, rates alone have shown."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cachecore.errors import InvalidInput
from cachesim.cluster import SimulatedCluster
from cachesim.fidelity import FidelityName
from cachesim.real.disk import RealDiskWorld
from cachesim.real.source import RealSource
from cachesim.simulation.outcome import Outcome
from cachesim.simulation.recorder import Recorder
from cachesim.simulation.run import Options, simulate
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_scenario
from cachesim.simulation.timeline import Timeline

SCENARIOS = pathlib.Path(__file__).parents[2] / "simulator" / "scenarios"
SMALL = ("small-caching", "small-pressure", "small-crash")
OBJECT = "s3://models/llama/model-00001.safetensors"

pytestmark = pytest.mark.timeout(300)


class Seen(msgspec.Struct, frozen=True):
    """A run, and what it left."""

    outcome: Outcome
    timeline: Timeline
    cluster: SimulatedCluster


def run(scenario: Scenario, fidelity: FidelityName, prepare: Callable[[SimulatedCluster], None] | None = None) -> Seen:
    shown: list[tuple[SimulatedCluster, Recorder]] = []

    def observe(cluster: SimulatedCluster) -> None:
        recorder = Recorder(scenario, cluster.world.disks)
        cluster.log.observers.append(recorder.observe)
        shown.append((cluster, recorder))
        if prepare is not None:
            prepare(cluster)

    outcome = simulate(scenario, 1, Options(fidelity=fidelity), observe=observe).outcome
    cluster, recorder = shown[0]
    return Seen(outcome, recorder.timeline(outcome.virtual_seconds), cluster)


@functools.cache
def seen(name: str, fidelity: FidelityName) -> Seen:
    return run(load_scenario(SCENARIOS / f"{name}.yaml"), fidelity)


@pytest.fixture
def temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Where a run makes its directories."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def one_model() -> Scenario:
    """One node, and one model of one object that comes in one part."""
    scenario = load_scenario(SCENARIOS / "small-crash.yaml")
    nodes = msgspec.structs.replace(scenario.nodes, count=1)
    model = msgspec.structs.replace(scenario.models[0], size="100Ki", files=1)
    return msgspec.structs.replace(scenario, duration="30s", nodes=nodes, models=(model,), faults=())


def states_of_copies(cluster: SimulatedCluster) -> dict[str, dict[str, str]]:
    """What each LocalModelNode says of each key."""
    return {
        item["metadata"]["name"]: {copy["key"]: copy["state"] for copy in item.get("status", {}).get("models", ())}
        for item in cluster.world.objects("localmodelnodes")
    }


def statuses_of_caches(cluster: SimulatedCluster) -> dict[str, Any]:
    """What does not follow from the bytes or the clock."""
    return {
        item["metadata"]["name"]: {
            "copies": item["status"].get("copies"),
            "nodes": item["status"].get("nodeStatus"),
            "size": item["status"].get("resolvedSize"),
            "conditions": [
                (found["type"], found["status"], found["reason"]) for found in item["status"].get("conditions", ())
            ],
        }
        for item in cluster.world.caches()
    }


@pytest.mark.parametrize("name", SMALL)
def test_no_invariant_is_broken(name: str) -> None:
    assert seen(name, "flow").outcome.violations == ()
    assert seen(name, "bytes").outcome.violations == ()


@pytest.mark.parametrize("name", SMALL)
def test_the_same_copies_are_published(name: str) -> None:
    flow, real = seen(name, "flow").cluster.world, seen(name, "bytes").cluster.world
    published = {node: flow.published_keys(node) for node in flow.disks}
    assert published == {node: real.published_keys(node) for node in real.disks}
    assert any(published.values())


@pytest.mark.parametrize("name", SMALL)
def test_the_same_states_are_reported(name: str) -> None:
    flow, real = seen(name, "flow").cluster, seen(name, "bytes").cluster
    assert states_of_copies(flow) == states_of_copies(real)
    assert statuses_of_caches(flow) == statuses_of_caches(real)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_evictions_in_the_same_order(name: str) -> None:
    flow, real = seen(name, "flow").timeline, seen(name, "bytes").timeline
    assert [(gone.node, gone.model) for gone in flow.evictions] == [(gone.node, gone.model) for gone in real.evictions]


def test_pressure_evicts_and_brings_back() -> None:
    timeline = seen("small-pressure", "bytes").timeline
    evicted = {(gone.node, gone.model): gone.seconds for gone in timeline.evictions}
    assert any(
        evicted.get((came.node, came.model), came.end_seconds) < came.begin_seconds for came in timeline.downloads
    )


@pytest.mark.parametrize("name", SMALL)
def test_each_download_takes_as_long(name: str) -> None:
    flow, real = seen(name, "flow").timeline, seen(name, "bytes").timeline
    assert [(came.node, came.model, came.ended) for came in flow.downloads] == [
        (came.node, came.model, came.ended) for came in real.downloads
    ]
    for flowed, moved in zip(flow.downloads, real.downloads, strict=True):
        seconds = flowed.end_seconds - flowed.begin_seconds
        assert moved.end_seconds - moved.begin_seconds == pytest.approx(seconds, rel=0.1)


@pytest.mark.parametrize("fidelity", ["flow", "bytes"])
def test_a_crash_costs_parts_and_no_model(fidelity: FidelityName) -> None:
    models_bytes, in_flight_bytes = 4 * 2**20, 8 * 128 * 2**10
    fetched_bytes = seen("small-crash", fidelity).outcome.bytes_fetched
    assert 2 * models_bytes < fetched_bytes <= 2 * models_bytes + 2 * in_flight_bytes


def test_one_seed_gives_one_run_of_bytes() -> None:
    again = run(load_scenario(SCENARIOS / "small-crash.yaml"), "bytes")
    assert again.outcome.event_log_hash == seen("small-crash", "bytes").outcome.event_log_hash


def test_what_is_damaged_on_its_way_comes_again(one_model: Scenario) -> None:
    def damage(cluster: SimulatedCluster) -> None:
        assert isinstance(cluster.source, RealSource)
        cluster.source.corrupt_in_flight(OBJECT, times=2)

    damaged = run(one_model, "bytes", damage)
    assert damaged.outcome.violations == ()
    assert [came.ended for came in damaged.timeline.downloads] == ["published"]
    assert damaged.outcome.bytes_fetched == 3 * 100 * 2**10


def test_what_is_damaged_in_the_store_is_never_published(one_model: Scenario) -> None:
    def damage(cluster: SimulatedCluster) -> None:
        cluster.runtime.spawn(damage_soon(cluster), name="damage")

    async def damage_soon(cluster: SimulatedCluster) -> None:
        await cluster.runtime.sleep(1.0)
        assert isinstance(cluster.source, RealSource)
        cluster.source.corrupt_at_rest(OBJECT)

    damaged = run(one_model, "bytes", damage)
    assert damaged.cluster.world.published_keys("node-1") == []
    assert [*states_of_copies(damaged.cluster)["node-1"].values()] == ["DownloadError"]


def test_the_files_are_those_of_the_model_of_the_disk_and_go_with_the_run(
    one_model: Scenario, temporary: pathlib.Path
) -> None:
    found: dict[str, list[str] | int] = {}

    def look(cluster: SimulatedCluster) -> None:
        cluster.runtime.spawn(look_late(cluster), name="look")

    async def look_late(cluster: SimulatedCluster) -> None:
        await cluster.runtime.sleep(29.0)
        disk = cluster.world.disks["node-1"]
        assert isinstance(disk, RealDiskWorld)
        found["differences"] = disk.differences()
        found["files"] = sum(1 for path in disk.directory.rglob("*.safetensors") if path.stat().st_size == 100 * 2**10)

    run(one_model, "bytes", look)
    assert found == {"differences": [], "files": 1}
    assert list(temporary.iterdir()) == []


def test_nothing_is_left_of_a_run_that_fails(one_model: Scenario, temporary: pathlib.Path) -> None:
    def fail(share: float, events: int) -> None:
        assert list(temporary.iterdir()) != []
        raise RuntimeError("the run ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        simulate(one_model, 1, Options(fidelity="bytes"), progress=fail)
    assert list(temporary.iterdir()) == []


def test_models_that_are_too_large_are_refused_in_one_line() -> None:
    with pytest.raises(InvalidInput, match=r"use --fidelity flow, or smaller sizes$"):
        simulate(load_scenario(SCENARIOS / "first.yaml"), 1, Options(fidelity="bytes"))
