"""Points as dots in rows, with their intervals: policies side by side, or whatever else has no numbers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from cachesim.planning.outcome import Point, summary
from cachesim.planning.report.axes import (
    BYTES,
    CHARACTER_WIDTH,
    RATIO,
    SECONDS,
    Tick,
    Unit,
    fitting,
    side_by_side,
    ticks,
)
from cachesim.planning.report.charts import WIDTH, Mark, Row, Rows, style
from cachesim.planning.report.words import ends_of, label, shown_bytes, times, varying
from cachesim.simulation.report.clock import lasting
from cachesim.simulation.report.tables import DASH

_TOP = 24.0
_ROW_HEIGHT = 20.0
_NAME_HEIGHT = 16.0
_BELOW = 24.0
# A longer name takes a line of its own.
_NAME_CHARACTERS_MAX = 16
# What a value in words takes at the right: `23 min 12 s`.
_WORDS_WIDTH = 84.0

Ends = tuple[float, float] | None


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A number of a point, as it is drawn. `floor` is where its axis begins; `best` whether the best possible is 1."""

    caption: str
    of: Callable[[Point], float | None]
    ends: Callable[[Point], Ends]
    unit: Unit
    show: Callable[[float], str]
    floor: float = 0.0
    best: bool = False


RATIO_TO_BOUND = Measure(
    caption="bytes fetched, as a multiple of the best possible",
    of=lambda point: point.ratio_to_bound,
    ends=lambda point: ends_of(point.intervals.get("ratio_to_bound")),
    unit=RATIO,
    show=times,
    floor=0.95,
    best=True,
)
P99 = Measure(
    caption="p99 cold start",
    of=lambda point: point.cold_start_seconds.p99,
    ends=lambda point: point.cold_start_seconds.ci95,
    unit=SECONDS,
    show=lasting,
)
FETCHED = Measure(
    caption="bytes fetched",
    of=lambda point: point.bytes_fetched,
    ends=lambda point: ends_of(point.intervals.get("bytes_fetched")),
    unit=BYTES,
    show=shown_bytes,
)


def policies_of(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(point.parameters.get("policy", DASH) for point in points))


def policies(points: Sequence[Point]) -> tuple[Rows, ...]:
    """A chart for each measure, with a group for each combination of the other parameters; none for one policy."""
    found = policies_of(points)
    if len(found) < 2:
        return ()
    groups: dict[str, list[Point]] = {}
    for point in points:
        rest = {name: value for name, value in point.parameters.items() if name != "policy"}
        groups.setdefault(summary(rest) if rest else "", []).append(point)
    return tuple(
        _rows(measure, groups, lambda point: point.parameters.get("policy", DASH), found)
        for measure in (RATIO_TO_BOUND, P99)
    )


def by_point(points: Sequence[Point]) -> tuple[Rows, ...]:
    """A chart for each measure, with a row for each point."""
    names = varying([point.parameters for point in points])
    labels = list(dict.fromkeys(label(point.parameters, names) for point in points))
    return tuple(
        _rows(measure, {"": list(points)}, lambda point: label(point.parameters, names), labels)
        for measure in (P99, FETCHED)
    )


def _rows(measure: Measure, groups: dict[str, list[Point]], name: Callable[[Point], str], names: Sequence[str]) -> Rows:
    points = [point for group in groups.values() for point in group]
    longest = max(map(len, names))
    above = longest > _NAME_CHARACTERS_MAX
    left = 12 + (0 if above else longest * CHARACTER_WIDTH)
    right = WIDTH - _WORDS_WIDTH
    scale = fitting(
        [value for point in points if (value := measure.of(point)) is not None],
        left + 6,
        right - 6,
        ends=[end for point in points for end in measure.ends(point) or ()],
        floor=measure.floor,
    )
    rows, headings = [], []
    y = _TOP
    for heading, group in groups.items():
        if heading:
            headings.append(Tick(at=y + 14, text=heading))
            y += _ROW_HEIGHT
        for point in group:
            y += _NAME_HEIGHT if above else 0.0
            value, ends = measure.of(point), measure.ends(point)
            words = DASH if value is None else measure.show(value)
            mark = None
            if value is not None:
                interval = f" (95 % interval {measure.show(ends[0])} to {measure.show(ends[1])})" if ends else ""
                mark = Mark(
                    x=scale.at(value),
                    y=y + 10,
                    style=style(names.index(name(point))),
                    title=f"{summary(point.parameters)}: {words}{interval}",
                    low=scale.at(ends[0]) if ends else None,
                    high=scale.at(ends[1]) if ends else None,
                )
            rows.append(Row(y=y + 10, name=name(point), words=words, mark=mark))
            y += _ROW_HEIGHT
    caption = f"{measure.caption}; logarithmic" if scale.log else measure.caption
    return Rows(
        title=f"{measure.caption}, with 95 % intervals",
        caption=caption,
        height=y + _BELOW + (_NAME_HEIGHT if measure.best else 0),
        bottom=y + 4,
        rows=tuple(rows),
        headings=tuple(headings),
        ticks=side_by_side(ticks(scale, measure.unit)),
        left=left,
        right=right,
        above=above,
        best=scale.at(1.0) if measure.best else None,
    )
