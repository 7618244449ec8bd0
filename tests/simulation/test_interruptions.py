"""Who is interrupted keeps what is done and says what is not: Ctrl-C in a campaign, a reader that goes."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from cachesim.campaign.campaign import Tally, make_plans, run_campaign
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_scenario
from cachesim.simulation.seeds import SeedRange

SCENARIO = pathlib.Path(__file__).parents[2] / "simulator" / "scenarios" / "small-crash.yaml"
MANY = 100_000


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(SCENARIO)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_done_is_kept(scenario: Scenario, jobs: int) -> None:
    def interrupt(tally: Tally, seconds: float) -> None:
        if tally.plans == 3:
            raise KeyboardInterrupt

    plans = make_plans(scenario, SeedRange(1, 20), "random")
    outcome = run_campaign(scenario, plans, jobs=jobs, told=interrupt)
    assert (outcome.plans, outcome.failures) == (3, ())
    assert outcome.events > 0


def test_control_c_ends_the_command_at_once_with_its_outcome(tmp_path: pathlib.Path) -> None:
    result = tmp_path / "outcome.json"
    command = (sys.executable, "-m", "cachesim.cli", "simulate", str(SCENARIO), "--faults", "random", "--jobs", "2")
    process = subprocess.Popen(
        (*command, "--seeds", f"1..{MANY}", "--json", str(result)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal does it: Ctrl-C goes to the workers, too.
        process_group=0,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    # The first line of progress: by then there is something to keep.
    assert f"of {MANY} plans" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    outcome = json.loads(result.read_text())
    assert outcome["plans"] > 0
    assert f"Interrupted: {MANY - outcome['plans']} of {MANY} plans were not run" in told


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "errors").open("w+") as errors:
        process = subprocess.Popen(
            (sys.executable, "-m", "cachesim.cli", "simulate", str(SCENARIO)), stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdout is not None
        process.stdout.close()
        # What a shell answers for a program that SIGPIPE ended.
        assert process.wait(timeout=60) == 141
        errors.seek(0)
        assert errors.read() == ""
