"""Every bundled scenario runs well; those that KServe's caches, or others, are known to fail show that ours don't."""

from __future__ import annotations

import json
import pathlib
import runpy

import jsonschema
import pytest
import yaml

from cachesim.simulation.run import Run, simulate
from cachesim.simulation.scenario_file import load_scenario

ROOT = pathlib.Path(__file__).parents[2]
SCENARIOS = ROOT / "simulator" / "scenarios"
# They have tests of their own.
ELSEWHERE = {"first", "returned-disk", "reference", "small-caching", "small-crash", "small-pressure"}
GIBIBYTE = 2**30


def _run(name: str) -> Run:
    return simulate(load_scenario(SCENARIOS / f"{name}.yaml"), seed=1)


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_scenario_says_what_it_shows(path: pathlib.Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert len(scenario.description) > 60


def test_there_are_enough_of_them() -> None:
    assert len(list(SCENARIOS.glob("*.yaml"))) >= 12


@pytest.mark.parametrize("name", sorted({path.stem for path in SCENARIOS.glob("*.yaml")} - ELSEWHERE))
def test_no_invariant_is_broken_and_the_world_comes_to_rest(name: str) -> None:
    assert _run(name).outcome.violations == ()


def test_restarts_fetch_nothing_twice() -> None:
    """Two nodes, 5 GiB: a part that was on its way when its agent was replaced is the only loss."""
    run = _run("restart-storm")
    assert run.outcome.bytes_fetched == 2 * 5 * GIBIBYTE
    assert run.sometimes["download-resumed"] >= 1


def test_lost_copies_are_fetched_again() -> None:
    assert _run("lost-copies").outcome.bytes_fetched == (2 * 3 + 2 * 2) * GIBIBYTE


def test_what_never_fits_costs_nothing() -> None:
    run = _run("too-large")
    assert run.outcome.evictions == 0
    # Both nodes hold the other model; the pod fetches the giant by itself, as without a cache.
    assert run.outcome.bytes_fetched == (2 * 4 + 14) * GIBIBYTE
    assert run.sometimes["insufficient-storage"] >= 1


def test_two_managers_believe_that_they_lead() -> None:
    assert _run("two-leaders").sometimes["two-leaders"] >= 1


def test_failed_models_are_retried_until_they_are_there() -> None:
    assert _run("outage").sometimes["download-recovered"] >= 2


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_published_schema_describes_it(path: pathlib.Path) -> None:
    schema = json.loads((ROOT / "simulator" / "scenario.schema.json").read_text())
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


def test_the_published_schema_is_what_the_code_says() -> None:
    written = runpy.run_path(str(ROOT / "tools" / "scenario_schema.py"))["schema_text"]()
    assert (ROOT / "simulator" / "scenario.schema.json").read_text() == written, "run python tools/scenario_schema.py"


def test_the_published_schema_refuses_what_the_code_refuses() -> None:
    schema = json.loads((ROOT / "simulator" / "scenario.schema.json").read_text())
    wrong = yaml.safe_load((SCENARIOS / "outage.yaml").read_text())
    wrong["faults"][0]["what"] = "storage-gone"
    with pytest.raises(jsonschema.ValidationError, match="storage-gone"):
        jsonschema.validate(wrong, schema)
