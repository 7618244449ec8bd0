"""What more of something buys: cold starts and bytes fetched against the parameter that varies by a number. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from cachesim.planning.outcome import Point
from cachesim.planning.report.axes import BYTES, SECONDS, Scale, Tick, fitting, side_by_side, spread, stacked, ticks
from cachesim.planning.report.charts import LEFT, RIGHT, Chart, Key, Line, Mark, Panel, path, style
from cachesim.planning.report.words import duration_range, ends_of, label, number_of, shown_bytes, varying
from cachesim.simulation.report.clock import lasting

_TOP = 22.0
_BOTTOM = 222.0
_HEIGHT = 264.0
# So that intervals at the same value do not hide each other.
_STEP_ASIDE = 3.0

Placed = list[tuple[float, Point]]


class Tradeoff(msgspec.Struct, frozen=True, kw_only=True):
    """`axis` is the parameter along x."""

    axis: str
    charts: tuple[Chart, ...]
    keys: tuple[Key, ...]


def tradeoff(points: Sequence[Point]) -> Tradeoff | None:
    """The curves, or None where no parameter varies by numbers."""
    axis = numeric_axis(points)
    if axis is None:
        return None
    lines = _lines(points, axis)
    places = {point.parameters[axis]: place for line in lines.values() for place, point in line}
    x = spread(list(places.values()), LEFT, RIGHT)
    values = side_by_side(
        Tick(at=x.at(place), text=text) for text, place in sorted(places.items(), key=lambda item: item[1])
    )
    drawing = _Drawing(axis=axis, x=x, ticks=values, lines=lines)
    keys = [
        Key(text=name, colour=style(number).colour, shape=style(number).shape)
        for number, name in enumerate(lines)
        if len(lines) > 1
    ]
    bound = Key(text="the best possible, knowing the future", colour="colour-0", dashes="dashes-bound")
    return Tradeoff(axis=axis, charts=(drawing.waits(), drawing.fetched()), keys=(*keys, bound))


def numeric_axis(points: Sequence[Point]) -> str | None:
    """The first parameter that differs and is a number in every point."""
    for name in varying([point.parameters for point in points]):
        if all(number_of(point.parameters.get(name, "")) is not None for point in points):
            return name
    return None


def _lines(points: Sequence[Point], axis: str) -> dict[str, Placed]:
    """The points of each combination of the other parameters, along x."""
    names = [name for name in varying([point.parameters for point in points]) if name != axis]
    lines: dict[str, Placed] = {}
    for point in points:
        rest = {name: value for name, value in point.parameters.items() if name != axis}
        place = number_of(point.parameters[axis]) or 0.0
        lines.setdefault(label(rest, names), []).append((place, point))
    return {name: sorted(line, key=lambda placed: placed[0]) for name, line in lines.items()}


class _Drawing(msgspec.Struct, frozen=True, kw_only=True):
    axis: str
    x: Scale
    ticks: tuple[Tick, ...]
    lines: dict[str, Placed]

    def waits(self) -> Chart:
        points = self._points()
        y = fitting(
            [point.cold_start_seconds.p99 for point in points],
            _BOTTOM,
            _TOP,
            ends=[end for point in points for end in point.cold_start_seconds.ci95 or ()],
        )
        marks: list[Mark] = []
        for number, (name, line) in enumerate(self.lines.items()):
            for place, point in line:
                seconds = point.cold_start_seconds
                title = f"{self._named(name, point)}: p99 {lasting(seconds.p99)}"
                if seconds.ci95:
                    title += f", 95 % interval {duration_range(seconds.ci95)}"
                marks.append(self._mark(number, place, y, seconds.p99, seconds.ci95, title))
        panel = self._panel("p99 cold start, with 95 % intervals", y, _p99)
        panel = msgspec.structs.replace(panel, ticks=stacked(ticks(y, SECONDS)), marks=tuple(marks))
        return self._chart(f"p99 cold start by {self.axis}", panel)

    def fetched(self) -> Chart:
        points = self._points()
        y = fitting(
            [value for point in points for value in (point.bytes_fetched, point.bound_bytes)],
            _BOTTOM,
            _TOP,
            ends=[end for point in points for end in ends_of(point.intervals.get("bytes_fetched")) or ()],
        )
        marks = [
            self._mark(
                number,
                place,
                y,
                point.bytes_fetched,
                ends_of(point.intervals.get("bytes_fetched")),
                f"{self._named(name, point)}: {shown_bytes(point.bytes_fetched)} fetched, "
                f"the best possible {shown_bytes(point.bound_bytes)}",
            )
            for number, (name, line) in enumerate(self.lines.items())
            for place, point in line
        ]
        panel = self._panel("bytes fetched, and the best possible (dashed)", y, lambda point: point.bytes_fetched)
        bounds = self._panel("", y, lambda point: point.bound_bytes, dashes="dashes-bound")
        panel = msgspec.structs.replace(
            panel, ticks=stacked(ticks(y, BYTES)), marks=tuple(marks), lines=(*bounds.lines, *panel.lines)
        )
        return self._chart(f"bytes fetched by {self.axis}", panel)

    def _points(self) -> list[Point]:
        return [point for line in self.lines.values() for _, point in line]

    def _named(self, name: str, point: Point) -> str:
        value = f"{self.axis}={point.parameters[self.axis]}"
        return f"{value} {name}" if len(self.lines) > 1 else value

    def _aside(self, number: int) -> float:
        return (number - (len(self.lines) - 1) / 2) * min(_STEP_ASIDE, 18 / len(self.lines))

    def _mark(
        self, number: int, place: float, y: Scale, value: float, ends: tuple[float, float] | None, title: str
    ) -> Mark:
        low, high = (None, None) if ends is None else (y.at(ends[0]), y.at(ends[1]))
        return Mark(
            x=round(self.x.at(place) + self._aside(number), 1),
            y=y.at(value),
            style=style(number),
            title=title,
            low=low,
            high=high,
        )

    def _panel(self, caption: str, y: Scale, value: Callable[[Point], float], dashes: str = "") -> Panel:
        lines = []
        for number, (name, line) in enumerate(self.lines.items()):
            drawn = path(
                (round(self.x.at(place) + self._aside(number), 1), y.at(value(point))) for place, point in line
            )
            lines.append(Line(path=drawn, colour=style(number).colour, title=name, dashes=dashes))
        logarithmic = f"{caption}; logarithmic" if y.log else caption
        return Panel(caption=logarithmic, top=_TOP, bottom=_BOTTOM, ticks=(), lines=tuple(lines))

    def _chart(self, title: str, panel: Panel) -> Chart:
        return Chart(title=title, height=_HEIGHT, panels=(panel,), ticks=self.ticks, caption=self.axis)


def _p99(point: Point) -> float:
    return point.cold_start_seconds.p99
