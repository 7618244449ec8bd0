"""What is drawn, as values: the template only writes them down. Across in percents of the run, down in pixels."""

from __future__ import annotations

import msgspec


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A text beside a lane."""

    top: float
    text: str
    style: str = ""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A span of time."""

    left: str
    width: str
    top: float
    height: float
    style: str
    title: str
    text: str = ""


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """A moment: an eviction, pods that were bound."""

    left: str
    top: float
    style: str
    title: str


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, an outage or a violation over a whole lane. `width` is "" for a moment, `label` "" where one is near."""

    left: str
    width: str
    label: str
    anchor: str
    style: str
    title: str


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity over time: an SVG path in a box of 1000 by `height`, and lines across."""

    top: float
    height: float
    path: str
    style: str
    title: str
    lines: tuple[tuple[float, str], ...] = ()


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One lane of the chart."""

    name: str
    note: str
    height: float
    troubled: bool
    labels: tuple[Label, ...]
    bars: tuple[Bar, ...]
    signs: tuple[Sign, ...]
    flags: tuple[Flag, ...]
    areas: tuple[Area, ...]


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """The whole chart; `ticks` are the times on its axis; `thinned` says what it leaves out."""

    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[str, str], ...]
    end_seconds: float
    thinned: tuple[str, ...]
