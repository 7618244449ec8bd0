"""A failure is cut down to what is needed for it, and the answer replays by itself."""

from __future__ import annotations

import pathlib

import msgspec
import pytest
import yaml

from cachesim.campaign.plans import AT_WRITES, Plan, drawn, exhaustive
from cachesim.campaign.shrinking import as_yaml, minimal, shrink
from cachesim.faults.plan import Fault
from cachesim.faults.sites import Site
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_scenario

REFERENCE = pathlib.Path(__file__).parents[3] / "simulator" / "scenarios" / "reference.yaml"


@pytest.fixture(scope="module")
def reference() -> Scenario:
    return load_scenario(REFERENCE)


@pytest.mark.parametrize("needed", [[], [3], [0, 7], [2, 3, 9], list(range(10))])
def test_only_what_is_needed_is_kept_in_its_order(needed: list[int]) -> None:
    assert minimal(list(range(10)), lambda kept: set(needed) <= set(kept)) == needed


def _fault(what: str) -> Fault:
    return msgspec.convert({"when": "10s", "what": what}, Fault)


def test_faults_story_models_managers_nodes_and_time_are_cut(reference: Scenario) -> None:
    def fails(scenario: Scenario) -> bool:
        return any(fault.what == "api-down" for fault in scenario.faults) and "gemma" in {
            model.name for model in scenario.models
        }

    plan = Plan(seed=9, faults=(_fault("watches-cut"), _fault("api-down"), _fault("storage-down")))
    smallest = shrink(reference, plan, fails)
    assert [fault.what for fault in smallest.faults] == ["api-down"]
    assert smallest.story == ()
    assert [model.name for model in smallest.models] == ["gemma"]
    assert (smallest.managers, smallest.nodes.count, smallest.duration, smallest.seed) == (1, 1, "15s", 9)


def test_the_budget_ends_it_with_what_has_been_reached(reference: Scenario) -> None:
    runs = []

    def fails(scenario: Scenario) -> bool:
        runs.append(scenario)
        return True

    shrink(reference, Plan(seed=1, faults=()), fails, runs=5)
    assert len(runs) == 5


def test_what_is_printed_is_a_scenario(reference: Scenario, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "shrunk.yaml"
    failing = msgspec.structs.replace(reference, faults=(_fault("api-down"),), seed=4)
    path.write_text(as_yaml(failing))
    assert load_scenario(path) == failing
    assert "latency" not in yaml.safe_load(path.read_text())["storage"]


SITES = {
    Site("agent/node-1", "rename", "copy/llama"): 3,
    Site("agent/node-1", "list", "Pod"): 5,
    Site("manager-1", "update", "Lease/localmodel-manager"): 40,
    Site("manager-1", "patch", "Node/node-1"): 1,
}


def test_an_exhaustive_campaign_strikes_each_write_site_first_and_last() -> None:
    faults = [plan.faults[0] for plan in exhaustive(SITES, 1)]
    assert {(fault.where, fault.when) for fault in faults if fault.what == "crash-after"} == {
        ("agent/node-1 rename copy/llama", "1st"),
        ("agent/node-1 rename copy/llama", "3rd"),
        ("manager-1 patch Node/node-1", "1st"),
    }
    assert len(faults) == 2 * len(AT_WRITES) + 2


def test_a_random_plan_follows_from_its_seed(reference: Scenario) -> None:
    assert drawn(reference, SITES, 5) == drawn(reference, SITES, 5)
    assert len({drawn(reference, SITES, seed).faults for seed in range(50)}) == 50


def test_random_plans_draw_every_kind(reference: Scenario) -> None:
    drawn_kinds = {fault.what for seed in range(600) for fault in drawn(reference, SITES, seed).faults}
    assert len(drawn_kinds) > 35


def test_random_plans_are_valid(reference: Scenario, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "drawn.yaml"
    for seed in range(40):
        path.write_text(as_yaml(msgspec.structs.replace(reference, faults=drawn(reference, SITES, seed).faults)))
        assert load_scenario(path).faults == drawn(reference, SITES, seed).faults
