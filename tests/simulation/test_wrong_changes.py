"""The simulator is checked too: each of many small, wrong changes of the code is found, by the invariant that should.

Each change is tried in a process of its own, with the plan that finds it soonest; then the same plans run on the code
as it is, so that it is the mistake which they find.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from cachesim.testing.trial import Replay, Verdict
from cachesim.testing.wrong_change import load_change

FOLDER = pathlib.Path(__file__).parent / "wrong_changes"
CHANGES = sorted(FOLDER.glob("*.yaml"))
# What no plan that was tried has found.
UNFOUND_CHANGES = sorted(FOLDER.glob("unfound/*.yaml"))
CHANGES_MIN = 30
PROCESSES = os.cpu_count() or 1


def _trial(argument: str, given: bytes = b"") -> list[Verdict]:
    command = [sys.executable, "-m", "cachesim.testing.trial", argument]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{argument}: {done.stderr.decode()[-2000:]}")
    return [msgspec.json.decode(line, type=Verdict) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    """What was found, by the name of the change."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = pool.map(lambda path: _trial(str(path)), CHANGES)
        return {verdict.change: verdict for answers in found for verdict in answers}


@pytest.fixture(scope="module")
def unchanged(verdicts: dict[str, Verdict]) -> dict[str, Verdict]:
    """The same plans, without the changes."""
    replays = [
        Replay(change=one.change, scenario=one.scenario, seed=one.seed, faults=one.faults)
        for one in verdicts.values()
        if one.invariants
    ]
    shares: Sequence[list[Replay]] = [replays[number::PROCESSES] for number in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = pool.map(lambda share: _trial("-", msgspec.json.encode(share)), shares)
        return {verdict.change: verdict for answers in found for verdict in answers}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", CHANGES, ids=lambda path: path.stem)
def test_a_wrong_change_is_found_by_its_invariant(path: pathlib.Path, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[path.stem]
    assert set(verdict.invariants) <= set(load_change(path).invariants), verdict.message
    assert verdict.invariants != (), f"{verdict.plans} plans have found nothing"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", CHANGES, ids=lambda path: path.stem)
def test_the_same_plan_finds_nothing_without_the_change(path: pathlib.Path, unchanged: dict[str, Verdict]) -> None:
    assert (unchanged[path.stem].invariants, unchanged[path.stem].message) == ((), "")


@pytest.mark.parametrize("path", [*CHANGES, *UNFOUND_CHANGES], ids=lambda path: path.stem)
def test_a_change_fits_the_code_as_it_is(path: pathlib.Path) -> None:
    change = load_change(path)
    spec = importlib.util.find_spec(change.module)
    assert spec is not None
    assert spec.origin is not None
    source = pathlib.Path(spec.origin).read_text(encoding="utf-8")
    assert ast.dump(ast.parse(change.apply(source))) != ast.dump(ast.parse(source))


def test_there_are_many() -> None:
    assert len(CHANGES) >= CHANGES_MIN


def test_the_table_has_each_change_with_its_invariant() -> None:
    document = (FOLDER.parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    rows = [line for line in document.splitlines() if line.startswith("| `")]
    expected = [f"| `{path.stem}` | {load_change(path).invariants[0]} |" for path in CHANGES]
    assert [row for row in expected if not any(line.startswith(row) for line in rows)] == []
