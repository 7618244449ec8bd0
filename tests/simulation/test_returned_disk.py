"""A disk that comes back with its node: what is on it is not fetched again, and not thrown away first."""

from __future__ import annotations

import pathlib

import pytest

from cachesim.simulation.outcome import Outcome
from cachesim.simulation.run import simulate
from cachesim.simulation.scenario_file import load_scenario

SCENARIO = pathlib.Path(__file__).parents[2] / "simulator" / "scenarios" / "returned-disk.yaml"
MODELS_BYTES = 19 * 2**30


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return simulate(load_scenario(SCENARIO), seed=1).outcome


@pytest.mark.timeout(300)
def test_no_invariant_is_broken(outcome: Outcome) -> None:
    assert outcome.violations == ()


@pytest.mark.timeout(300)
def test_each_node_fetched_each_model_once(outcome: Outcome) -> None:
    assert outcome.bytes_fetched == 3 * MODELS_BYTES


@pytest.mark.timeout(300)
def test_nothing_was_evicted(outcome: Outcome) -> None:
    assert outcome.evictions == 0
