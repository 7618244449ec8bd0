"""The manifests of the base, as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]


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
