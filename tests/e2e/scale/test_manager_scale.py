"""The benchmark of the manager at a small size: what it prints, what the manager may write, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "manager_scale.py"
NODES, MODELS = 20, 5


def command(*flags: str) -> list[str]:
    return [sys.executable, str(PROGRAM), *flags]


@pytest.fixture(scope="module")
def result(control_plane_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("scale") / "result.json"
    sizes = ("--nodes", str(NODES), "--models", str(MODELS))
    times = ("--quiet", "2", "--idle", "4", "--timeout", "60")
    ended = subprocess.run(command(*sizes, *times, "--json", str(output)), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def test_the_result_has_the_fields_that_are_promised(result: dict[str, Any]) -> None:
    assert (result["schema"], result["nodes"], result["models"]) == ("localmodel.manager_scale/v1", NODES, MODELS)
    numbers = "seconds_to_ready writes_total conflicts manager_cpu_seconds manager_peak_rss_bytes idle_writes"
    assert all(isinstance(result[field], int | float) for field in numbers.split())
    assert list(result["after"]) == ["node_added", "node_removed", "model_added", "agents_rolled"]
    for phase in result["after"].values():
        assert phase["ready"]
        assert {"seconds", "writes", "writes_total", "conflicts"} <= set(phase)


def test_all_is_ready_and_nothing_is_lost(result: dict[str, Any]) -> None:
    assert (result["ready"], result["lost_updates"], result["refused"]) == (True, 0, 0)


def test_writes_grow_with_what_changed_and_not_with_nodes_times_models(result: dict[str, Any]) -> None:
    writes = result["writes"]
    assert writes["create localmodelnodes"] == NODES
    assert writes["patch localmodelcaches"] == MODELS
    # Twice, should a model come late.
    assert NODES <= writes["patch localmodelnodes"] <= 2 * NODES
    assert result["writes_total"] == sum(writes.values())
    assert result["writes_total"] <= 2 * NODES + 2 * NODES + 10 * MODELS + 5
    after = result["after"]
    assert after["node_added"]["writes_total"] <= 4 + 4 * MODELS
    assert after["model_added"]["writes"]["patch localmodelnodes"] == NODES
    # The storage of the group, which the model before it has changed, may be told as late as this.
    assert set(after["agents_rolled"]["writes"]) <= {"update localmodelnodegroups/status"}


def test_a_quiet_cluster_costs_no_write(result: dict[str, Any]) -> None:
    assert result["idle_writes"] == 0


def test_what_is_not_ready_in_time_is_told_with_the_numbers_so_far(control_plane_binaries: Path) -> None:
    flags = ("--nodes", "3", "--models", "2", "--timeout", "0", "--json", "-")
    ended = subprocess.run(command(*flags), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    result = json.loads(ended.stdout[ended.stdout.index("{") :])
    assert (result["ready"], result["seconds_to_ready"], result["lost_updates"]) == (False, None, None)
    assert result["writes_total"] == sum(result["writes"].values())
    assert result["manager_peak_rss_bytes"] > 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--nodes", "0"), "--nodes: '0' is not a number from 1 to 5000"),
        (("--nodes", "10,x"), "--nodes: 'x' is not a number from 1 to 5000"),
        (("--models", "-1"), "--models: '-1' is not a number from 1 to 1000"),
        (("--idle", "nan"), "--idle must be a number of seconds"),
        (("--json", "/nowhere/result.json"), "--json /nowhere/result.json: cannot be written"),
    ],
)
def test_arguments_that_cannot_be_meant_are_one_line(
    control_plane_binaries: Path, flags: tuple[str, ...], words: str
) -> None:
    ended = subprocess.run(command(*flags), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"manager_scale: {words}")
    assert ended.stderr.count("\n") == 1


def test_no_process_outlives_an_interrupt(control_plane_binaries: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command(*("--nodes", "5")), env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        # The nodes come when the control plane is ready.
        for line in running.stderr:
            if "creating 5 nodes" in line:
                break
        assert processes_of(tmp_path)
        running.send_signal(signal.SIGINT)
        running.stderr.read()
        assert running.wait() == 130
    deadline = time.monotonic() + 10
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def processes_of(directory: Path) -> list[str]:
    """The processes whose command line names the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line:
            found.append(line)
    return found
