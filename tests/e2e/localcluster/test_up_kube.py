"""`localmodel up --cluster kube`: Kubernetes' own control plane, which ends without a trace too."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachecore.adapters.kube import connect
from cachecore.resources.core import Node
from cachesim.controlplane import PARTS
from cachesim.localcluster.testing import Kubectl

Start = Callable[..., Any]
KUBE = ("--cluster", "kube", "--nodes", "1", "--disk", "64Mi")


@pytest.fixture
def kube(control_plane_binaries: Path, up: Start) -> Start:
    """`up`, where there is a control plane to start."""
    return up


def made_up_binaries(directory: Path, **programs: str) -> dict[str, str]:
    """An environment in which these shell scripts are the control plane; what is not given waits for ever."""
    for part in PARTS:
        path = directory / part
        path.write_text(f"#!/bin/sh\n{programs.get(part.replace('-', '_'), 'sleep 1000')}\n")
        path.chmod(0o755)
    return {"KUBEBUILDER_ASSETS": str(directory)}


def part_of(running: Any, name: str) -> int:
    """The process of a part of the control plane."""
    for pid in running.descendants():
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().endswith(f"/{name}"):
            return int(pid)
    raise AssertionError(f"no {name} runs")


def left(running: Any, services: list[int]) -> list[str]:
    """Processes and files that are still there."""
    return [
        *(str(pid) for pid in services if Path(f"/proc/{pid}").exists()),
        *map(str, running.temporary.iterdir()),
    ]


def test_its_kubeconfig_is_of_a_cluster_with_ready_nodes(kube: Start) -> None:
    running = kube(*KUBE)
    found = re.search(r"export KUBECONFIG=(\S+)", running.wait_ready())
    assert found is not None

    async def node_names() -> list[str]:
        client = await connect(found[1], user_agent="test")
        try:
            return [node.name for node in (await client.list(Node)).items if node.ready]
        finally:
            await client.close()

    assert asyncio.run(node_names()) == ["node-1"]


def test_kubectl_reads_the_log_of_a_pod(kube: Start, tmp_path: Path) -> None:
    if (program := shutil.which("kubectl")) is None:
        pytest.skip("kubectl not found")
    running = kube(*KUBE)
    found = re.search(r"export KUBECONFIG=(\S+)", running.wait_ready())
    assert found is not None
    kubectl = Kubectl(program, tmp_path, Path(found[1]))
    container = {"name": "main", "image": "python:3.12", "command": ["python3", "-c", "print('I', 'ran')"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    kubectl("wait", "pod/a", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    assert kubectl("logs", "a") == "I ran\n"


def test_ctrl_c_ends_everything(kube: Start) -> None:
    running = kube(*KUBE)
    running.wait_ready()
    services = running.descendants()
    assert len(services) >= len(PARTS) + 4
    assert running.end(signal.SIGINT) == 0
    assert left(running, services) == []


@pytest.mark.parametrize("part", ["etcd", "kube-apiserver", "kube-scheduler"])
def test_a_part_that_dies_ends_it_with_the_parts_last_words(kube: Start, part: str) -> None:
    running = kube(*KUBE)
    running.wait_ready()
    services = running.descendants()
    os.kill(part_of(running, part), signal.SIGKILL)
    _, complaint = running.process.communicate(timeout=60)
    assert running.process.returncode == 1
    first, *last_words = complaint.splitlines()
    assert first.startswith(f"localmodel: {part} ended with signal SIGKILL; the end of ")
    assert last_words
    assert left(running, services) == []


def test_a_part_that_does_not_start_says_why(up: Start, tmp_path: Path) -> None:
    environment = made_up_binaries(tmp_path, etcd="echo the disk is on fire; exit 7")
    running = up(*KUBE, environment=environment)
    _, complaint = running.process.communicate(timeout=30)
    assert running.process.returncode == 1
    assert complaint.startswith("localmodel: etcd ended with exit code 7; the end of ")
    assert complaint.splitlines()[-1] == "the disk is on fire"
    assert left(running, []) == []


def test_binaries_that_are_incomplete_are_named(up: Start, tmp_path: Path) -> None:
    environment = made_up_binaries(tmp_path)
    (tmp_path / "kube-scheduler").unlink()
    _, complaint = up(*KUBE, environment=environment).process.communicate(timeout=30)
    assert complaint.startswith(f"localmodel: KUBEBUILDER_ASSETS={tmp_path} has no kube-scheduler: ")
    assert complaint.count("\n") == 1


def test_without_binaries_and_without_go_it_says_what_to_do(up: Start, tmp_path: Path) -> None:
    environment = {"KUBEBUILDER_ASSETS": "", "XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)}
    process = up(*KUBE, environment=environment).process
    _, complaint = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "run `make kube`" in complaint
    assert "there is no `go` on the PATH" in complaint
    assert complaint.count("\n") == 1


def test_a_port_in_use_is_said_in_one_line(kube: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = kube(*KUBE, "--port", str(port))
        _, complaint = running.process.communicate(timeout=30)
    assert complaint == f"localmodel: port {port} on 127.0.0.1 is in use: choose another one, or 0 for any free one\n"
    assert left(running, []) == []
