"""A world in which no time passes any more is told, and does not hang whoever runs it."""

from __future__ import annotations

import pathlib
from collections.abc import Generator

import pytest
import simpy

from cachesim.cluster import SimulatedCluster
from cachesim.environment import Environment, Standstill
from cachesim.runtime import SimpyRuntime
from cachesim.simulation.run import simulate
from cachesim.simulation.scenario_file import load_scenario

SCENARIO = pathlib.Path(__file__).parents[3] / "simulator" / "scenarios" / "small-crash.yaml"
MANY = 50


def _wait(environment: Environment, seconds: float, times: int) -> Generator[simpy.Event, None, None]:
    for _ in range(times):
        yield environment.timeout(seconds)


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_events_without_end_need_time(seconds: float) -> None:
    environment = Environment(events_at_once_max=MANY)
    environment.process(_wait(environment, seconds, 2 * MANY))
    if seconds:
        environment.run()
        assert environment.now == pytest.approx(2 * MANY * seconds)
    else:
        with pytest.raises(Standstill, match=f"{MANY} events, and no time passes"):
            environment.run()


def test_a_run_tells_it_as_a_violation() -> None:
    async def spin(runtime: SimpyRuntime) -> None:
        while True:
            await runtime.sleep(0.0)

    def with_a_spinner(cluster: SimulatedCluster) -> None:
        cluster.environment.events_at_once_max = 10_000
        cluster.runtime.spawn(spin(cluster.runtime), name="spinner")

    outcome = simulate(load_scenario(SCENARIO), 1, observe=with_a_spinner).outcome
    assert [(one.invariant, one.message) for one in outcome.violations] == [
        ("crash", "10000 events, and no time passes")
    ]
