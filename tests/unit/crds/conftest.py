"""The CustomResourceDefinitions as they lie in crds/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cachecore.resources.meta import Resource
from cachecore.resources.serving import (
    LocalModelCache,
    LocalModelNamespaceCache,
    LocalModelNode,
    LocalModelNodeGroup,
)

KINDS: tuple[type[Resource], ...] = (LocalModelCache, LocalModelNamespaceCache, LocalModelNodeGroup, LocalModelNode)


@pytest.fixture(scope="session")
def folder() -> Path:
    return Path(__file__).resolve().parents[3] / "crds"


@pytest.fixture(scope="session")
def definitions(folder: Path) -> dict[str, dict[str, Any]]:
    """Each definition by its kind."""
    parsed = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
    return {definition["spec"]["names"]["kind"]: definition for definition in parsed}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.resource_type.kind)
def kind(request: pytest.FixtureRequest) -> type[Resource]:
    chosen: type[Resource] = request.param
    return chosen


@pytest.fixture
def definition(kind: type[Resource], definitions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return definitions[kind.resource_type.kind]


@pytest.fixture
def schema(definition: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found
