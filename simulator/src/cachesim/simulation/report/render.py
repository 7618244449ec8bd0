"""Writes a run as one HTML page that needs nothing else: no network, and no JavaScript to be read."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2

from cachesim.simulation.outcome import Outcome
from cachesim.simulation.report import tables
from cachesim.simulation.report.clock import clock, lasting
from cachesim.simulation.report.lanes import AXIS_HEIGHT, FLAG_HEIGHT, Lanes
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.timeline import Timeline


def render(
    timeline: Timeline, outcome: Outcome, scenario: Scenario, command: str, last_lines: Sequence[str] = ()
) -> str:
    """The page. `command` replays the run; `last_lines` are its last events in words, shown when it failed."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cachesim.simulation.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    environment.filters["lasting"] = lasting
    return environment.get_template("report.html").render(
        outcome=outcome,
        scenario=scenario,
        command=command,
        broken=list(dict.fromkeys(found.invariant for found in outcome.violations)),
        figures=tables.key_figures(outcome),
        drawing=Lanes(timeline).draw(),
        violations=tables.violations_table(timeline),
        faults=tables.faults_table(timeline),
        numbers=[tables.models_table(timeline), tables.nodes_table(timeline)],
        last_lines=last_lines if outcome.violations else (),
        flag_height=FLAG_HEIGHT,
        axis_height=AXIS_HEIGHT,
    )
