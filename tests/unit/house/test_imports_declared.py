"""A distribution declares what it imports, and imports what it declares."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SOURCES = {
    "libs/cachecore": "cachecore",
    "services/manager": "cachemanager",
    "services/agent": "cacheagent",
    "services/webhook": "cachewebhook",
    "simulator": "cachesim",
}
SIBLINGS = {
    "cachecore": "localmodel-core",
    "cachemanager": "localmodel-manager",
    "cacheagent": "localmodel-agent",
    "cachewebhook": "localmodel-webhook",
}

# Several distributions put modules into these packages.
SHARED_PACKAGES = {"azure.identity": "azure-identity", "azure.storage": "azure-storage-blob"}
# Declared, yet never imported by name.
LOADED_BY_OTHERS = {
    "flask": "moto's server is a Flask application",
    "flask-cors": "moto's server is a Flask application",
    "localmodel-agent": "the local cluster starts the service by its command",
    "localmodel-manager": "the local cluster starts the service by its command",
    "localmodel-webhook": "the local cluster starts the service by its command",
    "s3fs": "fsspec loads the driver of a scheme",
}


def imported_distributions(source: Path, own: str) -> set[str]:
    """The distributions whose modules are imported below `source`; a name of none stands for itself."""
    modules: set[str] = set()
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    shared = {module: SHARED_PACKAGES.get(".".join(module.split(".")[:2])) for module in modules}
    names = {found or module.split(".")[0] for module, found in shared.items()}
    installed = packages_distributions()
    return {
        SIBLINGS.get(name) or canonicalize_name(installed.get(name, [name])[0])
        for name in names
        if name not in sys.stdlib_module_names and name != own
    }


def declared_distributions(folder: Path) -> set[str]:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    texts = [
        *project["dependencies"],
        *(text for extra in project.get("optional-dependencies", {}).values() for text in extra),
    ]
    return {canonicalize_name(Requirement(text).name) for text in texts}


@pytest.mark.parametrize(("folder", "package"), SOURCES.items())
def test_what_is_imported_is_declared(repository: Path, folder: str, package: str) -> None:
    imported = imported_distributions(repository / folder / "src", package)
    assert imported - declared_distributions(repository / folder) == set()


@pytest.mark.parametrize(("folder", "package"), SOURCES.items())
def test_what_is_declared_is_imported(repository: Path, folder: str, package: str) -> None:
    imported = imported_distributions(repository / folder / "src", package)
    assert declared_distributions(repository / folder) - imported - set(LOADED_BY_OTHERS) == set()
