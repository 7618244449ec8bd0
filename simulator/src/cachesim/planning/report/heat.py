"""Which node held which model, around a few moments. Pure."""

from __future__ import annotations

import math

import msgspec

from cachesim.planning.outcome import Picture
from cachesim.planning.report.axes import CHARACTER_WIDTH, Tick
from cachesim.planning.report.charts import WIDTH
from cachesim.planning.report.words import percent, short

STEPS = 10
_RIGHT = 396.0
_NAME_CHARACTERS_MAX = 12
_CELL_MAX = 26.0
_CELL_HEIGHT_MIN = 7.0
# Up to this all nodes have room for their names.
_MAP_HEIGHT = 240.0
_LABEL_HEIGHT = 16.0


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """`step` is how dark it is: 1 to 10, of which 10 is all the time."""

    x: float
    y: float
    step: int
    title: str


class Heat(msgspec.Struct, frozen=True, kw_only=True):
    """One moment: only the cells that are not empty, over one ground for all."""

    title: str
    seconds: float
    height: float
    left: float
    top: float
    columns_width: float
    rows_height: float
    cell_width: float
    cell_height: float
    cells: tuple[Cell, ...]
    nodes: tuple[Tick, ...]
    models: tuple[Tick, ...]
    width: float = WIDTH


def heats(picture: Picture) -> tuple[Heat, ...]:
    """A map for each moment; none where no node fetched anything."""
    if not picture.heat_nodes or not picture.heat_models:
        return ()
    return tuple(
        _heat(picture, seconds, table) for seconds, table in zip(picture.heat_seconds, picture.heat, strict=True)
    )


def _heat(picture: Picture, seconds: float, table: tuple[tuple[float, ...], ...]) -> Heat:
    nodes = [short(name, _NAME_CHARACTERS_MAX) for name in picture.heat_nodes]
    models = [short(name, _NAME_CHARACTERS_MAX) for name in picture.heat_models]
    left = 10 + max(map(len, nodes)) * CHARACTER_WIDTH
    top = 12 + max(map(len, models)) * CHARACTER_WIDTH
    width = round(min(_CELL_MAX, (_RIGHT - left) / len(models)), 2)
    height = max(width, _CELL_HEIGHT_MIN, min(_LABEL_HEIGHT, _MAP_HEIGHT / len(nodes)))
    cells = [
        Cell(
            x=round(left + column * width, 1),
            y=round(top + row * height, 1),
            step=min(STEPS, math.ceil(share * STEPS)),
            title=f"{picture.heat_nodes[row]}, {picture.heat_models[column]}: {percent(share)}",
        )
        for row, shares in enumerate(table)
        for column, share in enumerate(shares)
        if share > 0
    ]
    return Heat(
        title="models on nodes",
        seconds=seconds,
        height=round(top + len(nodes) * height + 6, 1),
        left=left,
        top=top,
        columns_width=round(width * len(models), 1),
        rows_height=round(height * len(nodes), 1),
        cell_width=width,
        cell_height=height,
        cells=tuple(cells),
        nodes=_labels(nodes, top, height),
        models=_labels(models, left, width),
    )


def _labels(names: list[str], begin: float, size: float) -> tuple[Tick, ...]:
    """As many names as have room."""
    every = math.ceil(_LABEL_HEIGHT / size)
    return tuple(
        Tick(at=round(begin + (number + 0.5) * size, 1), text=names[number]) for number in range(0, len(names), every)
    )
