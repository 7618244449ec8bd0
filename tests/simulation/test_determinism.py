"""The seed decides everything: not the process, not the hashes of strings, not the checkers, not the Python."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from cachesim.campaign.campaign import make_plans, run_campaign
from cachesim.campaign.runner import run_plan
from cachesim.simulation.run import Options, simulate
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_scenario
from cachesim.simulation.seeds import SeedRange

REFERENCE = pathlib.Path(__file__).parents[2] / "simulator" / "scenarios" / "reference.yaml"
SEED = 7
PRINT_HASH = f"""
import pathlib
from cachesim.campaign.campaign import make_plans
from cachesim.campaign.runner import run_plan
from cachesim.simulation.scenario_file import load_scenario
from cachesim.simulation.seeds import SeedRange
scenario = load_scenario(pathlib.Path({str(REFERENCE)!r}))
print(run_plan(scenario, make_plans(scenario, SeedRange({SEED}, {SEED}), "random")[0]).event_log_hash)
"""


@pytest.fixture(scope="module")
def reference() -> Scenario:
    return load_scenario(REFERENCE)


@pytest.fixture(scope="module")
def expected(reference: Scenario) -> str:
    (plan,) = make_plans(reference, SeedRange(SEED, SEED), "random")
    return run_plan(reference, plan).event_log_hash


def test_a_plan_twice_in_one_process(reference: Scenario, expected: str) -> None:
    (plan,) = make_plans(reference, SeedRange(SEED, SEED), "random")
    assert run_plan(reference, plan).event_log_hash == expected


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_with_other_hashes_of_strings(expected: str, hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", PRINT_HASH]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_without_the_checkers(reference: Scenario) -> None:
    with_checkers = simulate(reference, SEED).outcome.event_log_hash
    assert simulate(reference, SEED, Options(checks=False)).outcome.event_log_hash == with_checkers


def test_another_seed_is_another_run(reference: Scenario) -> None:
    assert simulate(reference, SEED).outcome.event_log_hash != simulate(reference, SEED + 1).outcome.event_log_hash


def test_a_campaign_on_one_core_and_on_two(reference: Scenario) -> None:
    plans = make_plans(reference, SeedRange(1, 4), "random")
    one, two = (run_campaign(reference, plans, jobs=jobs) for jobs in (1, 2))
    assert (one.event_log_hash, one.sometimes, one.plans) == (two.event_log_hash, two.sometimes, 4)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python(expected: str, version: str) -> None:
    """Another interpreter, with what tox has installed for it."""
    root = pathlib.Path(__file__).parents[2]
    found = root / ".tox" / f"py{version.replace('.', '')}-unit" / "bin" / "python"
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if version == running:
        python: str | None = sys.executable
    else:
        python = str(found) if found.exists() else None
    if python is None or shutil.which(python) is None:
        pytest.skip(
            f"no Python {version} with localmodel installed: `tox -e py{version.replace('.', '')}-unit` makes one"
        )
    done = subprocess.run([python, "-c", PRINT_HASH], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
