"""From values to places on a chart: scales, and ticks at round values. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from cachesim.planning.report.words import percent, shown_bytes, shown_rate
from cachesim.simulation.report.clock import DAY_SECONDS, HOUR_SECONDS, lasting, tick_seconds

# Beyond this a linear axis shows only its largest values.
LOG_SPAN = 20.0
# Of the text on charts, at its size there: what a character takes, with some room to spare.
CHARACTER_WIDTH = 7.0
_TICKS_MAX = 5
_LINE_HEIGHT = 18.0
_DECIMALS = tuple(step * 10.0**power for power in range(-3, 10) for step in (1, 2, 5))
_BINARY = tuple(2.0**power for power in range(60))
_DURATIONS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800),
    *(3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000, 2592000),
)


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    text: str


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """`steps` are round values, ascending: the distances of ticks, and on a log scale the ticks themselves."""

    steps: tuple[float, ...]
    show: Callable[[float], str]


def _plain(show: Callable[[float], str]) -> Callable[[float], str]:
    """Ticks are round: a decimal that is 0 says nothing."""
    return lambda value: show(value).replace(".0 ", " ") if value else "0"


SECONDS = Unit(steps=_DURATIONS, show=_plain(lasting))
BYTES = Unit(steps=_BINARY, show=_plain(shown_bytes))
RATE = Unit(steps=_BINARY, show=_plain(shown_rate))
SHARE = Unit(steps=(0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0), show=_plain(percent))
RATIO = Unit(steps=_DECIMALS, show=lambda value: f"{value:g} x")


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Values from `low` to `high`, drawn from `begin` to `end`; what lies beyond is drawn at the edge."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        held = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(held / self.low) / math.log(self.high / self.low)
        else:
            share = (held - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)


def fitting(
    values: Iterable[float], begin: float, end: float, *, ends: Iterable[float] = (), floor: float = 0.0
) -> Scale:
    """A scale for values and the ends of their intervals: from `floor` on, or logarithmic where they span much."""
    known = [value for value in values if math.isfinite(value)]
    most = max([*known, *ends, floor], default=floor)
    positive = [value for value in known if value > 0]
    if positive and max(positive) / min(positive) > LOG_SPAN:
        return Scale(low=min(positive) / 1.5, high=most * 1.1, begin=begin, end=end, log=True)
    return Scale(low=floor, high=most + (most - floor) * 0.06 if most > floor else floor + 1.0, begin=begin, end=end)


def spread(values: Sequence[float], begin: float, end: float) -> Scale:
    """A scale that just holds the values of a parameter, with room at both sides for their marks."""
    low, high = min(values), max(values)
    if low > 0 and high / low > 3:
        return Scale(low=low / (high / low) ** 0.05, high=high * (high / low) ** 0.05, begin=begin, end=end, log=True)
    room = (high - low) * 0.05 or 1.0
    return Scale(low=low - room, high=high + room, begin=begin, end=end)


def ticks(scale: Scale, unit: Unit) -> tuple[Tick, ...]:
    """A few round values; on a log scale that spans too little for them, as on a linear one."""
    inside = [step for step in unit.steps if scale.low <= step <= scale.high] if scale.log else []
    if len(inside) < 2:
        span = scale.high - scale.low
        most = min(_TICKS_MAX, abs(scale.end - scale.begin) / _LINE_HEIGHT)
        step = next((step for step in unit.steps if span / step <= most), unit.steps[-1])
        first = math.ceil(scale.low / step - 1e-9)
        inside = [number * step for number in range(first, math.floor(scale.high / step + 1e-9) + 1)]
    return tuple(Tick(at=scale.at(value), text=unit.show(value)) for value in inside)


def stacked(found: Iterable[Tick]) -> tuple[Tick, ...]:
    """Those of a vertical axis that do not lie on each other."""
    return _apart(found, lambda one, other: _LINE_HEIGHT)


def side_by_side(found: Iterable[Tick]) -> tuple[Tick, ...]:
    """Those of a horizontal axis that do not lie on each other."""
    return _apart(found, lambda one, other: (len(one.text) + len(other.text)) / 2 * CHARACTER_WIDTH + 6)


def _apart(found: Iterable[Tick], distance: Callable[[Tick, Tick], float]) -> tuple[Tick, ...]:
    kept: list[Tick] = []
    for tick in found:
        if not kept or abs(tick.at - kept[-1].at) >= distance(tick, kept[-1]):
            kept.append(tick)
    return tuple(kept)


def time_ticks(scale: Scale) -> tuple[tuple[Tick, ...], str]:
    """The ticks of a time axis, and the unit they are in."""
    size, name = (DAY_SECONDS, "days") if scale.high >= 2 * DAY_SECONDS else (HOUR_SECONDS, "hours")
    step = tick_seconds(scale.high)
    moments = range(0, int(scale.high) + 1, step)
    return side_by_side(Tick(at=scale.at(seconds), text=f"{seconds / size:.4g}") for seconds in moments), name
