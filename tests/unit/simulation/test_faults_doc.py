"""docs/faults.md and docs/simulator.md name every kind of fault, every situation, every step: as the code says it."""

from __future__ import annotations

import pathlib
import typing

import msgspec
import pytest

from cachesim.faults.kinds import KINDS, What
from cachesim.simulation.scenario import Scenario, Step
from cachesim.sometimes.names import SITUATIONS

DOCS = pathlib.Path(__file__).parents[3] / "docs"


def test_every_kind_has_its_row() -> None:
    text = (DOCS / "faults.md").read_text()
    missing = [name for name, kind in KINDS.items() if f"| `{name}` | " not in text or kind.words not in text]
    assert missing == []


def test_every_word_of_a_plan_is_a_kind() -> None:
    assert set(typing.get_args(What)) == set(KINDS)


def test_every_situation_has_its_row() -> None:
    text = (DOCS / "faults.md").read_text()
    assert [name for name, words in SITUATIONS.items() if f"| `{name}` | {words} |" not in text] == []


def test_every_step_is_named() -> None:
    text = (DOCS / "simulator.md").read_text()
    steps = typing.get_args(typing.get_type_hints(Step)["do"])
    assert [step for step in steps if f"`{step}`" not in text] == []


@pytest.mark.parametrize("field", [field.encode_name for field in msgspec.structs.fields(Scenario)])
def test_every_field_of_a_scenario_is_described(field: str) -> None:
    text = (DOCS / "simulator.md").read_text()
    assert f"| `{field}" in text or f"`{field}`" in text
