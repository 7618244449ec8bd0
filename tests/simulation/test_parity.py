"""What a cluster has decided is decided again from its log: the same, unless the log or the code is another one."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cacheagent import planning
from cachecore.adapters.logs import JsonFormatter
from cachemanager import node_spec, placement
from cachesim.cli import main
from cachesim.simulation.run import simulate
from cachesim.simulation.scenario_file import load_scenario

SCENARIOS = Path(__file__).parents[2] / "simulator" / "scenarios"
LOGGERS = ("cacheagent.decisions", "cachemanager.decisions", "cachemanager.placement_decisions")


def log_of(scenario: str) -> bytes:
    """What the services of a simulated cluster log, as lines of JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("services"))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        simulate(load_scenario(SCENARIOS / scenario), seed=1)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
    return stream.getvalue().encode()


@pytest.fixture(scope="module")
def pressure_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "pressure.log"
    path.write_bytes(log_of("small-pressure.yaml"))
    return path


def compare(log: Path, report: Path) -> tuple[int, dict[str, Any]]:
    code = main(["simulate", "--from-log", str(log), "--json", str(report)])
    return code, msgspec.json.decode(report.read_bytes())


def changed(line: str, old: str, new: str) -> str:
    assert old in line
    return line.replace(old, new)


@pytest.mark.parametrize("scenario", ["reference.yaml", "outage.yaml", "lost-copies.yaml", "namespaces.yaml"])
def test_what_a_simulated_cluster_decided_is_decided_again(scenario: str, tmp_path: Path) -> None:
    log = tmp_path / "services.log"
    log.write_bytes(log_of(scenario))
    code, report = compare(log, tmp_path / "report.json")
    assert (code, report["differences"], report["left_out"]) == (0, [], [])
    assert report["decisions"] == len(log.read_bytes().splitlines())


def test_all_kinds_of_decisions_are_compared(pressure_log: Path, tmp_path: Path) -> None:
    code, report = compare(pressure_log, tmp_path / "report.json")
    assert (code, report["ok"]) == (0, True)
    assert {"Fetch", "Evict", "Resolve", "MakeView", "Keep", "Hold", "Storage"} <= report["kinds"].keys()


def test_the_same_is_said_in_words(pressure_log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--from-log", str(pressure_log)]) == 0
    assert " decisions, all the same\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"kind":"Evict"', '"kind":"Fetch"'),
        ('"reason":"LeastRecentlyUsed"', '"reason":"NotAssigned"'),
        ('"kind":"Evict","key":"', '"kind":"Evict","key":"0'),
        ('"keep":["', '"keep":["0'),
    ],
)
def test_an_altered_decision_is_found(
    pressure_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    lines = pressure_log.read_text().splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines) if "LeastRecentlyUsed" in line)
    lines[number] = changed(lines[number], old, new)
    altered = tmp_path / "altered.log"
    altered.write_text("".join(lines))
    code, report = compare(altered, tmp_path / "report.json")
    assert code == 1
    assert [found["where"] for found in report["differences"]] == [f"{altered}:{number + 1}"]
    assert f"{altered}:{number + 1}: " in capsys.readouterr().out


def test_an_altered_spec_is_found(pressure_log: Path, tmp_path: Path) -> None:
    lines = pressure_log.read_text().splitlines(keepends=True)
    number = next(
        number for number, line in enumerate(lines) if '"spec":{"localModels"' in line and "node-spec" in line
    )
    seen, _, decided = lines[number].rpartition('"spec":{"localModels"')
    lines[number] = seen + '"spec":{"localModels"' + changed(decided, '"nodeGroup":"workers"', '"nodeGroup":"others"')
    altered = tmp_path / "altered.log"
    altered.write_text("".join(lines))
    code, report = compare(altered, tmp_path / "report.json")
    assert (code, len(report["differences"])) == (1, 1)
    assert "(others)" in report["differences"][0]["there"]
    assert "(workers)" in report["differences"][0]["here"]


def test_a_placement_elsewhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "services.log"
    log.write_bytes(log_of("reference.yaml"))
    monkeypatch.setattr(placement, "_rank", lambda one, _size_bytes, _seed: one.node == "node-1")
    code, report = compare(log, tmp_path / "report.json")
    assert code == 1
    assert {found["there"].partition(" ")[0] for found in report["differences"]} == {"Place"}


def test_a_planner_that_ranks_otherwise_is_found(
    pressure_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "rank", lambda model: (not model.protected, model.value, model.key))
    code, report = compare(pressure_log, tmp_path / "report.json")
    assert code == 1
    assert any("Evict" in found["there"] or "Keep" in found["there"] for found in report["differences"])


def test_a_manager_that_forgets_the_policy_is_found(
    pressure_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_spec, "storage_policy", lambda groups: None)
    code, report = compare(pressure_log, tmp_path / "report.json")
    assert code == 1
    assert {found["here"].partition(" ")[0] for found in report["differences"]} <= {"Storage", "nothing"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from-log", "missing.log"], "missing.log: cannot be read: No such file or directory"),
        (["--from-log", "missing.log", "--seeds", "1..2"], "--seeds and --from-log: a log is compared without it"),
        ([], "which SCENARIO? Give a file, --merge with the outcomes of a campaign, or --from-log"),
    ],
)
def test_bad_input_is_answered_in_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *arguments]) == 2
    assert capsys.readouterr().err == f"localmodel simulate: {said}\n"
