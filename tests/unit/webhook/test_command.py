"""`cachewebhook` as a process: its flags, and one clear line when it can't run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cachewebhook.__main__ import parser
from cachewebhook.certificates import make_certificates

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The flags that name files, all of which are there."""
    certificates = make_certificates(("127.0.0.1",), now=time.time())
    (tmp_path / "tls.crt").write_bytes(certificates.certificate)
    (tmp_path / "tls.key").write_bytes(certificates.private_key)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    return [
        f"--kubeconfig={tmp_path / 'kubeconfig'}",
        f"--certificate={tmp_path / 'tls.crt'}",
        f"--private-key={tmp_path / 'tls.key'}",
    ]


def run(*flags: str) -> tuple[int, str]:
    """Exit code, and what a person is told."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCALMODEL_")}
    command = [sys.executable, "-m", "cachewebhook", "--address=127.0.0.1", "--log-level=error", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    told = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(told) == 1, done.stderr
    return done.returncode, told[0]


@pytest.mark.parametrize("flag", ["--webhook-port", "--port"])
def test_a_taken_port(files: list[str], flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = "--port" if flag == "--webhook-port" else "--webhook-port"
        code, told = run(*files, "--agent-image=a", f"{flag}={port}", f"{other}=0")
    assert (code, told) == (1, f"error: cannot listen on 127.0.0.1:{port}: Address already in use")


def test_no_certificate(files: list[str]) -> None:
    code, told = run(files[0], "--agent-image=a")
    assert (code, told) == (1, "error: give --certificate and --private-key, or --self-signed")


def test_a_certificate_that_is_not_there(files: list[str], tmp_path: Path) -> None:
    code, told = run(files[0], f"--certificate={tmp_path}/no.crt", files[2], "--agent-image=a")
    assert (code, told) == (1, f"error: cannot read {tmp_path}/no.crt: No such file or directory")


def test_two_ways_to_a_certificate(files: list[str]) -> None:
    code, told = run(*files, "--self-signed", "--agent-image=a")
    assert code == 1
    assert "leave out --certificate and --private-key" in told


def test_no_agent_image(files: list[str]) -> None:
    code, told = run(*files)
    assert code == 2
    assert "--agent-image" in told


def test_flags_are_variables_too() -> None:
    environment = {"LOCALMODEL_AGENT_IMAGE": "agent:1", "LOCALMODEL_WEBHOOK_PORT": "1234"}
    made = parser(environment)
    flags = made.parse_flags(["--self-signed"])
    assert (flags.agent_image, flags.webhook_port, flags.self_signed) == ("agent:1", 1234, True)
