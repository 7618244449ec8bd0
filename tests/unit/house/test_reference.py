"""docs/reference.md is what the code says, and has a word of advice for every reason that a service gives."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

# Where reasons are made up. Nouns of Kubernetes are in the same modules, and are no reasons.
MODULES = (
    "cachecore.errors",
    "cacheagent.actions",
    "cacheagent.adopting",
    "cacheagent.looking",
    "cacheagent.planning",
    "cacheagent.reconciler",
    "cacheagent.status",
    "cacheagent.transfer",
    "cacheagent.works",
    "cachemanager.cache_reconciler",
    "cachemanager.group_status",
    "cachemanager.status",
    "cachewebhook.admission",
)
NO_REASONS = frozenset(
    """
    True False Unknown Normal Warning
    Ready Progressing Degraded NodeStatusComplete StorageReady
    Transferring
    AlreadyExists Conflict Expired Forbidden InternalError Invalid LeaseLost NotFound ServiceUnavailable
    TooManyRequests
    """.split()
)
# Given without a word of their own in these modules.
GIVEN_ELSEWHERE = frozenset({"InternalError", "Ready"})

CAMEL_CASE = re.compile(r"(?:[A-Z][a-z]+)+")


@pytest.fixture(scope="module")
def reasons_in_code(production_modules: dict[str, Path]) -> frozenset[str]:
    return frozenset(
        node.value
        for module in MODULES
        for node in ast.walk(ast.parse(production_modules[module].read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CAMEL_CASE.fullmatch(node.value)
    )


@pytest.fixture(scope="module")
def reasons_in_tables(repository: Path) -> frozenset[str]:
    sections = yaml.safe_load((repository / "tools" / "reference.yaml").read_text())["reasons"].values()
    return frozenset(entry.split("|")[0].strip() for section in sections for entry in section["entries"].splitlines())


def test_the_reference_is_what_the_code_says(repository: Path) -> None:
    command = [sys.executable, str(repository / "tools" / "reference.py"), "--check"]
    answer = subprocess.run(command, text=True, capture_output=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_every_reason_in_the_code_is_explained(repository: Path, reasons_in_code: frozenset[str]) -> None:
    reference = (repository / "docs" / "reference.md").read_text()
    assert [reason for reason in sorted(reasons_in_code - NO_REASONS) if f"`{reason}`" not in reference] == []


def test_every_reason_that_is_explained_is_in_the_code(
    reasons_in_code: frozenset[str], reasons_in_tables: frozenset[str]
) -> None:
    assert sorted(reasons_in_tables - (reasons_in_code - NO_REASONS) - GIVEN_ELSEWHERE) == []


def test_the_agents_own_page_names_every_reason_of_a_copy(repository: Path) -> None:
    tables = yaml.safe_load((repository / "tools" / "reference.yaml").read_text())["reasons"]
    reasons = {entry.split("|")[0].strip() for entry in tables["copies"]["entries"].splitlines()}
    page = (repository / "docs" / "agent.md").read_text()
    assert sorted(reason for reason in reasons if f"`{reason}`" not in page) == []
