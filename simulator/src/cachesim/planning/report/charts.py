"""What is drawn, as values: the template only writes them down. All places are in units of the charts' view boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from cachesim.planning.report.axes import Tick

# A phone shows 360 pixels: a chart this wide keeps its text legible there.
WIDTH = 400.0
LEFT = 80.0
RIGHT = 388.0

_COLOURS = 7
_DASHES = 5
# Around 0, 0.
_SHAPES = (
    "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z",
    "M-3.6 -3.6H3.6V3.6H-3.6Z",
    "M0 -4.8L4.6 3.6H-4.6Z",
    "M0 -5.2L5.2 0L0 5.2L-5.2 0Z",
    "M-3.8 -3.8L3.8 3.8M-3.8 3.8L3.8 -3.8",
    "M0 4.8L-4.6 -3.6H4.6Z",
)


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How one of several is told from the others: by colour, and by shape or dashes besides."""

    colour: str
    dashes: str
    shape: str


def style(number: int) -> Style:
    """The lengths of the lists have no common divisor, so that no two of many are alike."""
    return Style(
        colour=f"colour-{number % _COLOURS}",
        dashes=f"dashes-{number % _DASHES}",
        shape=_SHAPES[number % len(_SHAPES)],
    )


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """`dashes` is the class of its pattern, "" for a solid line."""

    path: str
    colour: str
    title: str
    dashes: str = ""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A point with its interval, from `low` to `high` along the axis of its value."""

    x: float
    y: float
    style: Style
    title: str
    low: float | None = None
    high: float | None = None


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One chart of a stack on a shared axis. `limit` is where a line across says what may be had."""

    caption: str
    top: float
    bottom: float
    ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()
    limit: float | None = None


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """`flags` are numbered moments, drawn down through all panels."""

    title: str
    height: float
    panels: tuple[Panel, ...]
    ticks: tuple[Tick, ...]
    caption: str
    flags: tuple[Tick, ...] = ()
    left: float = LEFT
    right: float = RIGHT
    width: float = WIDTH


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a chart of dots: what it is, its mark if it has a value, and the value in words."""

    y: float
    name: str
    words: str
    mark: Mark | None = None


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Dots in rows under headings. `best` is where a line down says what the best possible is.

    Names stand beside their dots, or above them where they are too long for that.
    """

    title: str
    caption: str
    height: float
    bottom: float
    rows: tuple[Row, ...]
    headings: tuple[Tick, ...]
    ticks: tuple[Tick, ...]
    left: float
    right: float
    above: bool = False
    best: float | None = None
    width: float = WIDTH


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a legend."""

    text: str
    colour: str
    dashes: str = ""
    shape: str = ""


def path(points: Iterable[tuple[float, float] | None]) -> str:
    """Straight lines from point to point; None breaks the line."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{point[0]:g} {point[1]:g}")
        pen = "L"
    return "".join(parts)


def numbered(places: Sequence[float], nearest: float = 16.0) -> tuple[Tick, ...]:
    """A flag for each place, in ascending order; of those too near to each other one says all the numbers."""
    groups: list[list[int]] = []
    for number, place in enumerate(places):
        if groups and place - places[groups[-1][0]] < nearest:
            groups[-1].append(number)
        else:
            groups.append([number])
    flags = []
    for group in groups:
        first, last = group[0] + 1, group[-1] + 1
        flags.append(Tick(at=places[group[0]], text=str(first) if first == last else f"{first}\N{EN DASH}{last}"))
        flags += [Tick(at=places[number], text="") for number in group[1:]]
    return tuple(flags)
