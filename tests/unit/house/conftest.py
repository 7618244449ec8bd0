"""What the house's own tests look at: the root of the repository and its Python modules."""

from __future__ import annotations

from pathlib import Path

import pytest

SOURCES = ("libs/cachecore/src", "services/manager/src", "services/agent/src", "services/webhook/src", "simulator/src")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def production_modules(repository: Path) -> dict[str, Path]:
    """Every module of the five packages, by its dotted name."""
    modules: dict[str, Path] = {}
    for source in SOURCES:
        for path in sorted((repository / source).rglob("*.py")):
            parts = path.relative_to(repository / source).with_suffix("").parts
            modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


@pytest.fixture(scope="session")
def all_modules(repository: Path, production_modules: dict[str, Path]) -> list[Path]:
    """Every Python file of the repository: the five packages, the tests, the tools, the benchmarks."""
    beside = [
        path for folder in ("tests", "tools", "benchmarks") for path in sorted((repository / folder).rglob("*.py"))
    ]
    return [*production_modules.values(), *beside]
