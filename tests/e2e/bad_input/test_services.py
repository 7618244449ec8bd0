"""Services that are started wrongly: one line on standard error, and exit code 1."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

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


SERVICES = ("cachemanager", "cachewebhook", "cacheagent")


def start(bench: Bench, service: str, *more: str) -> str:
    """What a second one of a running service complains of."""
    certificates = bench.cluster.state / "certificates" / "webhook"
    pair = ("--certificate", str(certificates / "tls.crt"), "--private-key", str(certificates / "tls.key"))
    own = {
        "cachemanager": (),
        "cachewebhook": ("--webhook-port", "0", "--agent-image", "agent", *pair),
        "cacheagent": ("run", "--node-name", "node-1", "--root", str(bench.cluster.store_root("node-1"))),
    }
    return refusal(service, *own[service], "--kubeconfig", str(bench.cluster.kubeconfig), "--port", "0", *more)


@pytest.mark.parametrize("service", SERVICES)
def test_a_port_in_use(bench: Bench, taken: str, service: str) -> None:
    said = start(bench, service, "--port", taken)
    assert said == f"error: cannot listen on 127.0.0.1:{taken}: Address already in use"


def test_the_webhooks_own_port_in_use(bench: Bench, taken: str) -> None:
    said = start(bench, "cachewebhook", "--webhook-port", taken)
    assert said == f"error: cannot listen on 127.0.0.1:{taken}: Address already in use"


@pytest.mark.parametrize("service", SERVICES)
def test_a_kubeconfig_that_is_not_there(bench: Bench, service: str) -> None:
    assert "/no/such/kubeconfig" in start(bench, service, "--kubeconfig", "/no/such/kubeconfig")


def test_an_agent_whose_root_cannot_be_made(bench: Bench) -> None:
    said = start(bench, "cacheagent", "--root", "/proc/none")
    assert said == "error: --root /proc/none: No such file or directory"
