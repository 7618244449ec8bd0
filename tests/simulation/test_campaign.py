"""Campaigns over the reference story: every write site, and hundreds of random plans; what they found stays mended."""

from __future__ import annotations

import os
import pathlib

import pytest

from cachesim.campaign.campaign import make_plans, run_campaign
from cachesim.campaign.plans import AT_WRITES
from cachesim.simulation.outcome import Outcome
from cachesim.simulation.run import simulate
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_scenario
from cachesim.simulation.seeds import SeedRange
from cachesim.sometimes.names import SITUATIONS

HERE = pathlib.Path(__file__).parent
REFERENCE = HERE.parents[1] / "simulator" / "scenarios" / "reference.yaml"
# Where time is short, each so many-th plan of the exhaustive campaign, and half of the random ones: all of them take
# six minutes of two cores.
EXHAUSTIVE_STEP = int(os.environ.get("LOCALMODEL_TEST_EXHAUSTIVE_STEP", "1"))
RANDOM_PLANS = 500 if EXHAUSTIVE_STEP == 1 else 250
SITUATIONS_MIN = 60


@pytest.fixture(scope="module")
def reference() -> Scenario:
    return load_scenario(REFERENCE)


@pytest.fixture(scope="module")
def campaign(reference: Scenario) -> Outcome:
    """Both in one, so that what must be seen sometimes may be seen in either."""
    plans = make_plans(reference, SeedRange(1, 1), "exhaustive")
    assert len(plans) > 100 * len(AT_WRITES)
    plans = plans[::EXHAUSTIVE_STEP] + make_plans(reference, SeedRange(1, RANDOM_PLANS), "random")
    return run_campaign(reference, plans, jobs=os.cpu_count() or 1)


@pytest.mark.timeout(1200)
def test_no_plan_breaks_an_invariant(campaign: Outcome) -> None:
    assert campaign.failures == (), "\n".join(str(failure) for failure in campaign.failures)


@pytest.mark.timeout(1200)
def test_what_tests_seldom_think_of_has_happened(campaign: Outcome) -> None:
    assert set(campaign.sometimes) | set(campaign.missed) == set(SITUATIONS)
    assert len(campaign.sometimes) >= SITUATIONS_MIN
    if EXHAUSTIVE_STEP == 1:
        assert campaign.missed == ()


@pytest.mark.parametrize("path", sorted((HERE / "regressions").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_a_campaign_has_found_stays_mended(path: pathlib.Path) -> None:
    scenario = load_scenario(path)
    assert simulate(scenario, scenario.seed or 1).outcome.violations == ()
