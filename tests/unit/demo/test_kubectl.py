"""Calling kubectl: what it answers, what it complains of, and where it is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cachecore.errors import InvalidInput
from cachesim.demo.kubectl import Kubectl, KubectlFailed


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Becomes the only kubectl on PATH when it is written."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "kubectl"


def write(program: Path, script: str) -> Kubectl:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Kubectl("/some/kubeconfig")


def test_it_is_called_for_one_cluster(program: Path) -> None:
    kubectl = write(program, 'echo "$@"; cat')
    assert asyncio.run(kubectl.run("apply", given="text")) == "--kubeconfig=/some/kubeconfig apply\ntext"


def test_its_last_word_is_the_error(program: Path) -> None:
    kubectl = write(program, "echo a warning >&2; echo the error >&2; exit 3")
    with pytest.raises(KubectlFailed, match=r"^kubectl get pods: the error$"):
        asyncio.run(kubectl.run("get", "pods"))


@pytest.mark.parametrize("script, found", [("true", None), ("""echo '{"items": [1]}'""", {"items": [1]})])
def test_what_is_not_there_is_none(program: Path, script: str, found: object) -> None:
    kubectl = write(program, script)
    assert asyncio.run(kubectl.read("secret", "name")) == found
    assert asyncio.run(kubectl.items("secrets")) == ([] if found is None else [1])


def test_a_port_is_forwarded_until_it_is_stopped(program: Path) -> None:
    kubectl = write(program, "echo 'Forwarding from 127.0.0.1:4321 -> 9000'; exec sleep 60")

    async def use() -> int:
        port = await kubectl.forward("namespace", "service/s3", 9000)
        await kubectl.stop()
        return port

    assert asyncio.run(use()) == 4321


def test_a_port_that_can_t_be_forwarded_says_why(program: Path) -> None:
    kubectl = write(program, "echo 'no such service' >&2; exit 1")
    with pytest.raises(KubectlFailed, match="port-forward service/s3: no such service"):
        asyncio.run(kubectl.forward("namespace", "service/s3", 9000))


def test_without_kubectl_there_is_no_demo_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="kubectl is not installed"):
        Kubectl("/some/kubeconfig")
