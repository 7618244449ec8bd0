"""`localmodel plan` and `localmodel explain` as they are typed."""

from __future__ import annotations

import csv
import json
import pathlib

import pytest

from cachesim.cli import main

SCENARIO = """
name: small
description: a small plan
duration: 12h
nodes: {count: 2, disk: 20Gi, network: 10Gbps}
group: {storageLimit: 10Gi}
models:
  - {name: llama, size: 6Gi}
  - {name: gemma, size: 5Gi}
  - {name: whisper, size: 1Gi}
traffic: {startsPerHour: 20, zipf: 0.2, lifetime: 4m}
"""


@pytest.fixture
def scenario(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return str(path)


def log(tmp_path: pathlib.Path, *lines: str) -> str:
    path = tmp_path / "requests.csv"
    path.write_text("\n".join(["timestamp,model", *lines, ""]))
    return str(path)


def plan(*arguments: str) -> int:
    return main(["plan", *arguments, "--replications", "1", "--jobs", "1"])


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip()


def test_the_json_has_what_is_promised(scenario: str, tmp_path: pathlib.Path) -> None:
    assert plan(scenario, "--vary", "policy=LRU,LRFU", "--json", str(tmp_path / "plan.json")) == 0
    outcome = json.loads((tmp_path / "plan.json").read_text())
    assert outcome["schema"] == "localmodel.plan/v1"
    assert {"scenario", "seed", "points", "recommendation", "requests", "wall_seconds"} <= set(outcome)
    point = outcome["points"][0]
    assert {"p50", "p95", "p99", "ci95"} <= set(point["cold_start_seconds"])
    assert {"hit_ratio", "byte_hit_ratio", "bytes_fetched", "bound_bytes", "ratio_to_bound", "cost"} <= set(point)
    assert {"parameters", "why"} == set(outcome["recommendation"])


def test_the_same_seed_gives_the_same_json_but_for_the_time(scenario: str, tmp_path: pathlib.Path) -> None:
    texts = []
    for name in ("one.json", "other.json"):
        plan(scenario, "--json", str(tmp_path / name))
        outcome = json.loads((tmp_path / name).read_text())
        del outcome["wall_seconds"]
        texts.append(json.dumps(outcome))
    assert texts[0] == texts[1]


def test_the_csv_has_a_row_for_each_point(scenario: str, tmp_path: pathlib.Path) -> None:
    plan(scenario, "--vary", "disk=20Gi,30Gi", "--csv", str(tmp_path / "plan.csv"))
    rows = list(csv.DictReader((tmp_path / "plan.csv").read_text().splitlines()))
    assert [row["disk"] for row in rows] == ["20Gi", "30Gi"]
    assert float(rows[0]["hit_ratio"]) < 1.0


def test_the_terminal_shows_a_table_a_plot_and_a_recommendation(
    scenario: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(scenario, "--vary", "disk=20Gi,30Gi", "--price", "disk=0.1,egress=0.02,gpu_hour=2")
    text = capsys.readouterr().out
    assert "p99 cold start" in text
    assert "█" in text
    assert "costs least: p99 cold start" in text


def test_the_page_is_written_and_names_the_command(scenario: str, tmp_path: pathlib.Path) -> None:
    plan(scenario, "--report", str(tmp_path / "plan.html"), "--faults", str(faults(tmp_path)))
    page = (tmp_path / "plan.html").read_text()
    assert "localmodel plan" in page
    assert "node-lost" in page


def faults(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "faults.yaml"
    path.write_text("faults:\n  - {when: 2h, where: node-1, what: node-lost, for: 30m}\n")
    return path


def test_an_objective_that_nothing_meets_is_exit_code_1(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(scenario, "--slo", "cold_start_p99<1s") == 1
    assert "Nothing that was tried meets cold_start_p99<1s: the nearest is" in capsys.readouterr().out


def test_a_log_is_replayed(scenario: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{1767225600 + 600 * number},{('llama', 'gemma')[number % 2]}" for number in range(50)]
    path = log(tmp_path, *lines, "1767225600,whisper")
    assert plan(scenario, "--log", path, "--json", str(tmp_path / "plan.json")) == 0
    assert json.loads((tmp_path / "plan.json").read_text())["points"][0]["starts"] == 51
    assert "out of order" in capsys.readouterr().out


def test_a_log_of_unknown_models_is_refused(
    scenario: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = log(tmp_path, "1767225600,mystery", "1767225700,llama")
    assert plan(scenario, "--log", path) == 2
    assert "mystery" in told(capsys)
    assert plan(scenario, "--log", path, "--ignore-unknown") == 0


def test_a_log_without_requests_is_refused(
    scenario: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(scenario, "--log", log(tmp_path)) == 2
    assert "0 requests" in told(capsys)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--vary", "disk"], "write a parameter and its values"),
        (["--vary", "disc=1Ti"], "no parameter 'disc'"),
        (["--find", "disk"], "say with --slo what has to hold"),
        (["--find", "disk", "--vary", "disk=1Ti", "--slo", "hit_ratio>0.9"], "can't be varied and searched at once"),
        (["--slo", "cost<5"], "needs prices"),
        (["--slo", "speed>1"], "no metric 'speed'"),
        (["--price", "rack=5"], "no price 'rack'"),
        (["--json", "/nowhere/plan.json"], "cannot be written"),
        (["--precision", "0"], "--precision"),
        (["--kubeconfig", "somewhere"], "--from-cluster"),
    ],
)
def test_bad_input_is_one_clear_line(
    scenario: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(scenario, *arguments) == 2
    line = told(capsys)
    assert line.startswith("localmodel plan: ")
    assert words in line
    assert "\n" not in line


def test_without_a_scenario_it_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan() == 2
    assert "which SCENARIO?" in told(capsys)


def test_explain_says_why_and_what_it_cost(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", scenario, "--count", "1", "--set", "nodes=1"]) == 0
    text = capsys.readouterr().out
    assert "evictions; after" in text
    assert "it ranked" in text
    assert "regret: " in text
    assert "At the end these would go next:" in text


def test_explain_of_one_node_and_model_as_json(scenario: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "why.json"
    assert main(["explain", scenario, "--node", "node-2", "--model", "llama", "--json", str(path)]) == 0
    explained = json.loads(path.read_text())
    assert {(one["node"], one["model"]) for one in explained["explanations"]} <= {("node-2", "llama")}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--node", "node-9"], "the scenario has node-1 to node-2"),
        (["--model", "mystery"], "no such model"),
        (["--set", "policy=LRU,LFU"], "one value for each parameter"),
        (["--count", "0"], "at least one"),
    ],
)
def test_explain_refuses_what_is_not_there(
    scenario: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", scenario, *arguments]) == 2
    assert words in told(capsys)


def test_simulate_refuses_what_is_for_plans(scenario: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = pathlib.Path(scenario)
    path.write_text(SCENARIO.replace("network: 10Gbps", "network: 10Gbps, gpus: 8"))
    assert main(["simulate", scenario]) == 2
    assert "nodes.gpus is for localmodel plan" in told(capsys)
