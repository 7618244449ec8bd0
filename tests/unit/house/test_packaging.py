"""The five distributions declare the same things in the same way, and the constraint files hold for all of them."""

from __future__ import annotations

import importlib
import importlib.resources
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from cachesim.definitions import load_definitions

PACKAGES = {
    "libs/cachecore": ("localmodel-core", "cachecore"),
    "services/manager": ("localmodel-manager", "cachemanager"),
    "services/agent": ("localmodel-agent", "cacheagent"),
    "services/webhook": ("localmodel-webhook", "cachewebhook"),
    "simulator": ("localmodel-simulator", "cachesim"),
}


def pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def pins(constraints: Path) -> dict[str, Version]:
    """The versions of a constraints file, by canonical name."""
    lines = (line.split("#", 1)[0].strip() for line in constraints.read_text().splitlines())
    found: dict[str, Version] = {}
    for requirement in (Requirement(line) for line in lines if line):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{requirement} is not a pin"
        found[canonicalize_name(requirement.name)] = Version(specifier.version)
    return found


def declared(repository: Path) -> dict[str, Requirement]:
    """What the five distributions and the suites need from others, extras included, by canonical name and text."""
    texts: set[str] = set()
    for folder in PACKAGES:
        project = pyproject(repository / folder)["project"]
        texts.update(project["dependencies"])
        texts.update(text for extra in project.get("optional-dependencies", {}).values() for text in extra)
    texts.update(pyproject(repository)["dependency-groups"]["test"])
    return {text: Requirement(text) for text in sorted(texts) if not text.startswith("localmodel-")}


@pytest.mark.parametrize(("folder", "distribution", "package"), [(k, *v) for k, v in PACKAGES.items()])
def test_each_distribution_is_named_typed_and_licensed(
    repository: Path, folder: str, distribution: str, package: str
) -> None:
    project = pyproject(repository / folder)["project"]
    assert (repository / folder / "src" / package / "py.typed").is_file()
    assert "Typing :: Typed" in project["classifiers"]
    assert (project["name"], project["license"], project["requires-python"]) == (distribution, "Apache-2.0", ">=3.11")


@pytest.mark.parametrize("folder", PACKAGES)
def test_each_command_that_a_distribution_installs_can_be_called(repository: Path, folder: str) -> None:
    for target in pyproject(repository / folder)["project"].get("scripts", {}).values():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_installed_simulator_brings_the_definitions_of_the_four_kinds() -> None:
    kinds = {definition["spec"]["names"]["kind"] for definition in load_definitions()}
    assert kinds == {"LocalModelCache", "LocalModelNamespaceCache", "LocalModelNode", "LocalModelNodeGroup"}


def test_the_installed_simulator_brings_the_module_that_the_control_plane_is_built_from() -> None:
    module = importlib.resources.files("cachesim.controlplane") / "module"
    assert [name for name in ("go.mod", "go.sum", "main.go") if not (module / name).is_file()] == []


def test_all_distributions_have_one_version(repository: Path) -> None:
    assert len({pyproject(repository / folder)["project"]["version"] for folder in PACKAGES}) == 1


def test_a_dependency_has_the_same_lower_bound_wherever_it_is_declared(repository: Path) -> None:
    bounds: dict[str, set[str]] = {}
    for requirement in declared(repository).values():
        bounds.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


def test_every_direct_dependency_is_pinned_to_a_version_that_it_allows(repository: Path) -> None:
    pinned = pins(repository / "constraints.txt")
    wrong = [
        text
        for text, requirement in declared(repository).items()
        if (version := pinned.get(canonicalize_name(requirement.name))) is None or version not in requirement.specifier
    ]
    assert wrong == []


def test_every_tool_is_pinned(repository: Path) -> None:
    group = pyproject(repository)["dependency-groups"]["dev"]
    names = {canonicalize_name(Requirement(text).name) for text in group if isinstance(text, str)}
    assert names - set(pins(repository / "constraints.txt")) == set()


def test_the_oldest_constraints_are_the_declared_lower_bounds(repository: Path) -> None:
    pinned = pins(repository / "constraints-oldest.txt")
    lower_bounds = {
        canonicalize_name(requirement.name): Version(specifier.version)
        for requirement in declared(repository).values()
        for specifier in requirement.specifier
        if specifier.operator == ">="
    }
    assert {name: pinned.get(name) for name in lower_bounds} == lower_bounds
