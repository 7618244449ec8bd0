"""Writes simulator/scenario.schema.json, for editors and generators of scenarios: python tools/scenario_schema.py."""

from __future__ import annotations

import pathlib

import msgspec

from cachesim.simulation.scenario import Scenario

PATH = pathlib.Path(__file__).parents[1] / "simulator" / "scenario.schema.json"


def schema_text() -> str:
    """The JSON Schema of a scenario file, as its types say it."""
    schema = msgspec.json.schema(Scenario)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A scenario of localmodel simulate"
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


if __name__ == "__main__":
    PATH.write_text(schema_text(), encoding="utf-8")
