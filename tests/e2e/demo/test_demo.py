from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachesim.cli import main
from cachesim.demo.outcome import DemoReport
from cachesim.simulation.parity.comparing import Parity

STEPS = [
    "start-cluster",
    "seed",
    "start-uncached",
    "apply-cache",
    "download",
    "start-cached",
    "start-more",
    "pressure",
    "come-back",
    "crash",
    "lose-node",
    "return-node",
    "delete-all",
    "stop-cluster",
]


def read_report(demo: Any) -> DemoReport:
    return msgspec.json.decode(demo.report.read_bytes(), type=DemoReport)


def check_story(demo: Any, *arguments: str, nodes: int) -> None:
    process = demo.start("--model-size", "24Mi", "--nodes", str(nodes), *arguments)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    report = read_report(demo)
    assert [step.name for step in report.steps] == STEPS
    assert report.ok
    assert all(step.ok for step in report.steps)
    assert report.model.digest.startswith("blake3:")
    assert report.model.bytes_total > 24 * 2**20
    assert report.cold_start_seconds.cached is not None
    assert report.cold_start_seconds.uncached is not None
    assert report.cold_start_seconds.cached < report.cold_start_seconds.uncached
    assert {eviction.node for eviction in report.evictions} == {f"node-{number + 1}" for number in range(nodes)}
    assert report.model.key not in {eviction.key for eviction in report.evictions}
    assert "\x1b" not in output
    assert demo.leftovers() == []


@pytest.mark.timeout(300)
def test_the_demo_tells_its_whole_story(demo: Any) -> None:
    check_story(demo, nodes=2)


@pytest.mark.timeout(300)
def test_what_its_services_decided_is_decided_again_in_the_simulator(demo: Any, tmp_path: Path) -> None:
    check_story(demo, "--state", "state", nodes=5)
    logs = tmp_path / "state" / "logs"
    parity = tmp_path / "parity.json"
    services = [str(logs / "manager.log"), *map(str, sorted(logs.glob("agent-*.log")))]
    assert len(services) == 6
    code = main(["simulate", "--from-log", *services, "--json", str(parity)])
    compared = msgspec.json.decode(parity.read_bytes(), type=Parity)
    assert (code, compared.differences, compared.left_out) == (0, (), ())
    assert {"Fetch", "Evict", "Hold", "Storage"} <= compared.kinds.keys()


@pytest.mark.timeout(300)
def test_the_demo_tells_its_whole_story_on_a_real_control_plane(demo: Any, control_plane_binaries: Path) -> None:
    process = demo.start("--model-size", "24Mi", "--cluster", "kube")
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    report = read_report(demo)
    assert [step.name for step in report.steps] == STEPS
    assert report.ok
    assert report.cluster == "kube"
    assert demo.leftovers() == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_stops_everything(demo: Any, number: signal.Signals) -> None:
    process = demo.start("--model-size", "24Mi")
    for line in process.stdout:
        if "Apply a node group" in line:
            process.send_signal(number)
            break
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not read_report(demo).ok
    assert demo.leftovers() == []


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--disk", "10Mi"], "--disk 10.0 MiB is too small"),
        (["--model", "missing"], "--model missing: there is no such directory"),
        (["--model-size", "large"], "--model-size: 'large' is not a quantity"),
        (
            ["--model-size", "900Ti"],
            "--model-size 900.0 TiB is too large: with 2 nodes the demo writes up to 9000.0 TiB",
        ),
        (["--model-size", "16Mi"], "--model-size: 24.0 MiB is the least that the demo can tell something with"),
        (["--nodes", "1"], "--nodes 1: the demo loses a node"),
        (["--kubeconfig", "missing"], "--kubeconfig missing: there is no such file"),
        (["--kubeconfig", "/dev/null", "--nodes", "0"], "--nodes 0: the demo needs a node"),
        (["--kubeconfig", "missing", "--disk", "1Gi"], "--disk is about a cluster on this machine: leave it out"),
        (["--json", "no/such/place.json"], "--json no/such/place.json: No such file or directory"),
    ],
)
def test_bad_input_is_answered_in_one_line(demo: Any, arguments: list[str], said: str) -> None:
    process = demo.start(*arguments)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(output.splitlines()) == 1
    assert said in output
