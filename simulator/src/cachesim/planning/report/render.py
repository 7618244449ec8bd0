"""Writes a plan as one HTML page that needs nothing else: no network, and no JavaScript."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2
import msgspec

from cachesim.planning.outcome import Picture, PlanOutcome, Point, Wave
from cachesim.planning.report import sidebyside, tables
from cachesim.planning.report.curves import Story, distribution, distribution_keys, stories
from cachesim.planning.report.heat import STEPS, Heat, heats
from cachesim.planning.report.tradeoff import tradeoff
from cachesim.planning.report.words import compared
from cachesim.simulation.report.clock import clock, lasting
from cachesim.simulation.report.tables import Table


class _Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """A picture as the template writes it down."""

    story: Story
    story_table: Table
    heats: tuple[Heat, ...]
    heat_table: Table


def render(outcome: PlanOutcome, pictures: Sequence[Picture]) -> str:
    """The page: the recommendation first, then the curves that it follows from, then every number."""
    points = outcome.points
    curves = tradeoff(points)
    drawn = _drawn(pictures)
    return (
        _environment()
        .get_template("plan.html.j2")
        .render(
            outcome=outcome,
            verdict=_verdict(outcome),
            figures=[] if (chosen := _chosen(outcome)) is None else tables.figures(chosen),
            tradeoff=curves,
            by_point=() if curves else sidebyside.by_point(points),
            tradeoff_table=tables.tradeoff_table(points),
            policies=sidebyside.policies(points),
            policies_table=tables.policies_table(points),
            comparisons=[compared(comparison) for comparison in outcome.comparisons],
            distribution=distribution(pictures),
            distribution_keys=distribution_keys(pictures),
            distribution_table=tables.distribution_table(pictures),
            pictures=drawn,
            waves=_common_waves(pictures),
            heat_steps=range(1, STEPS + 1),
            points_table=tables.points_table(outcome),
            chosen_row=_chosen_row(outcome),
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        # A plan looks like a run: the style sheet is the run's, and what only a plan has comes after it.
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("cachesim.planning.report", "page"),
                jinja2.PackageLoader("cachesim.simulation.report", "page"),
            ]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    environment.filters["lasting"] = lasting
    return environment


def _chosen(outcome: PlanOutcome) -> Point | None:
    row = _chosen_row(outcome)
    return None if row is None else outcome.points[row]


def _chosen_row(outcome: PlanOutcome) -> int | None:
    parameters = outcome.recommendation.parameters
    return next((row for row, point in enumerate(outcome.points) if point.parameters == parameters), None)


def _verdict(outcome: PlanOutcome) -> tuple[str, str]:
    """A style, and whether what was asked for can be had; "" where nothing was asked for."""
    if not outcome.slo:
        return "", ""
    objectives = " and ".join(outcome.slo)
    chosen = _chosen(outcome)
    if chosen is not None and chosen.meets:
        return "ok", f"\N{CHECK MARK} meets {objectives}"
    return "broken", f"\N{BALLOT X} nothing that was tried meets {objectives}"


def _drawn(pictures: Sequence[Picture]) -> list[_Drawn]:
    return [
        _Drawn(
            story=story,
            story_table=tables.story_table(picture),
            heats=heats(picture),
            heat_table=tables.heat_table(picture),
        )
        for picture, story in zip(pictures, stories(pictures), strict=True)
    ]


def _common_waves(pictures: Sequence[Picture]) -> tuple[Wave, ...] | None:
    """The waves, where all pictures have the same; None where each has its own."""
    found = {picture.waves for picture in pictures}
    return found.pop() if len(found) == 1 else None
