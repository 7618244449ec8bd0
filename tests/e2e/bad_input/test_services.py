"""Services that are started wrongly: one line on standard error, and exit code 1."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachesim.localcluster.testing_bench import Bench


@pytest.fixture(scope="module")
def taken() -> Iterator[str]:
    """A port that somebody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield str(listening.getsockname()[1])


def refusal(*command: str) -> str:
    """What the service complains of."""
    ended = subprocess.run(
        [sys.executable, "-m", *command, "--address", "127.0.0.1", "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, ended.stderr
    return said[0]


COMMANDS = {
    "cachemanager": ("cachemanager",),
    "cachewebhook": ("cachewebhook", "--webhook-port", "0", "--agent-image", "agent"),
    "cacheagent": ("cacheagent", "run", "--node-name", "node-1"),
}


def start(service: str, root: Path, *more: str) -> str:
    extra = ("--root", str(root)) if service == "cacheagent" else ()
    return refusal(*COMMANDS[service], *extra, *more)


@pytest.mark.parametrize("service", COMMANDS)
def test_a_port_in_use(bench: Bench, taken: str, service: str, tmp_path: Path) -> None:
    said = start(service, tmp_path, "--kubeconfig", str(bench.cluster.kubeconfig), "--port", taken)
    assert said == f"error: cannot listen on 127.0.0.1:{taken}: Address already in use"


def test_the_webhooks_own_port_in_use(bench: Bench, taken: str, tmp_path: Path) -> None:
    kubeconfig = str(bench.cluster.kubeconfig)
    said = start("cachewebhook", tmp_path, "--kubeconfig", kubeconfig, "--port", "0", "--webhook-port", taken)
    assert said == f"error: cannot listen on 127.0.0.1:{taken}: Address already in use"


@pytest.mark.parametrize("service", COMMANDS)
def test_a_kubeconfig_that_is_not_there(service: str, tmp_path: Path) -> None:
    assert "/no/such/kubeconfig" in start(service, tmp_path, "--kubeconfig", "/no/such/kubeconfig", "--port", "0")


def test_an_agent_whose_root_cannot_be_made(bench: Bench) -> None:
    said = start("cacheagent", Path("/proc/none"), "--kubeconfig", str(bench.cluster.kubeconfig), "--port", "0")
    assert said == "error: --root /proc/none: No such file or directory"
