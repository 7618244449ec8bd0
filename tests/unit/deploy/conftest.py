"""The manifests of the base, as they are written, and the overlays, as Kustomize makes them."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def manifests(repository: Path) -> list[Manifest]:
    files = sorted((repository / "deploy" / "base").rglob("*.yaml"))
    return [
        document
        for path in files
        if path.name != "kustomization.yaml"
        for document in yaml.safe_load_all(path.read_text())
    ]


@pytest.fixture(scope="session")
def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod spec of each service, by its short name."""
    return {
        manifest["metadata"]["name"].removeprefix("localmodel-"): manifest["spec"]["template"]["spec"]
        for manifest in manifests
        if manifest["kind"] in ("Deployment", "DaemonSet")
    }


@pytest.fixture(scope="session")
def render(repository: Path) -> Render:
    """The manifests of an overlay, by its name or its path; each is built once, so never change one."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")

    @functools.cache
    def built(overlay: str) -> list[Manifest]:
        command = [str(program), "kustomize", str(repository / "deploy" / "overlays" / overlay)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))

    return built
