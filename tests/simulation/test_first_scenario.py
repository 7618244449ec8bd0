"""The first scenario: pressure, a lost node, a deleted node and a crashed agent, over the production services."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import msgspec
import pytest

from cachesim.simulation.outcome import Outcome
from cachesim.simulation.run import simulate
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.scenario_file import load_scenario

SCENARIOS = pathlib.Path(__file__).parents[2] / "simulator" / "scenarios"


@pytest.fixture(scope="module")
def first() -> Scenario:
    return load_scenario(SCENARIOS / "first.yaml")


@pytest.fixture(scope="module")
def short(first: Scenario) -> Scenario:
    """The first scenario's first 45 minutes, its faults brought forward into them."""
    faults = tuple(
        msgspec.structs.replace(fault, when=at, lasting="5m")
        for fault, at in zip(first.faults, ("15m", "20m", "25m"), strict=True)
    )
    return msgspec.structs.replace(first, duration="45m", faults=faults)


@pytest.fixture(scope="module")
def outcome(first: Scenario) -> Outcome:
    return simulate(first, seed=1).outcome


@pytest.mark.timeout(600)
def test_no_invariant_is_broken(outcome: Outcome) -> None:
    assert outcome.violations == ()
    assert outcome.ok


@pytest.mark.timeout(600)
def test_the_disks_are_too_small_and_the_cache_is_a_cache(outcome: Outcome) -> None:
    assert outcome.evictions > 0
    assert 0.5 < outcome.cold_starts.hit_ratio < 1.0


@pytest.mark.timeout(600)
def test_pods_start_all_through_the_run(outcome: Outcome) -> None:
    assert outcome.cold_starts.count > 150
    assert outcome.cold_starts.p50_seconds < outcome.cold_starts.p99_seconds


@pytest.mark.timeout(600)
def test_one_seed_gives_one_run(short: Scenario) -> None:
    assert simulate(short, seed=3).outcome.event_log_hash == simulate(short, seed=3).outcome.event_log_hash


@pytest.mark.timeout(600)
def test_another_seed_gives_another_run(short: Scenario) -> None:
    assert simulate(short, seed=3).outcome.event_log_hash != simulate(short, seed=4).outcome.event_log_hash


def _run_command(scenario: pathlib.Path, output: pathlib.Path, hash_seed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cachesim.cli", "simulate", str(scenario), "--seed", "3", "--json", str(output)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def short_file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "short.yaml"
    path.write_text((SCENARIOS / "first.yaml").read_text().replace("duration: 6h", "duration: 15m"))
    return path


@pytest.mark.timeout(600)
def test_the_command_gives_the_same_hash_in_other_processes(short_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    outcomes = []
    for hash_seed in ("0", "77"):
        output = tmp_path / f"{hash_seed}.json"
        assert _run_command(short_file, output, hash_seed).returncode == 0
        outcomes.append(json.loads(output.read_text()))
    assert outcomes[0]["event_log_hash"] == outcomes[1]["event_log_hash"]
    assert set(outcomes[0]) == {
        "schema",
        "ok",
        "scenario",
        "scenario_digest",
        "seed",
        "events",
        "virtual_seconds",
        "wall_seconds",
        "event_log_hash",
        "violations",
        "cold_starts",
        "bytes_fetched",
        "evictions",
        "seeds",
        "plans",
        "sometimes",
        "missed",
        "failures",
    }
    assert outcomes[0]["schema"] == "localmodel.simulate/v1"


def test_a_typo_is_one_line_and_exit_code_2(short_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    text = short_file.read_text().replace("storageLimit", "storageLimt")
    short_file.write_text(text)
    line = text[: text.index("storageLimt")].count("\n") + 1
    done = _run_command(short_file, tmp_path / "never.json", "0")
    assert done.returncode == 2
    assert done.stderr.startswith(f"localmodel simulate: {short_file}:{line}: unknown field 'storageLimt'")
    assert done.stderr.count("\n") == 1
