"""A plan's numbers and comparisons as a person reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cachecore.errors import InvalidInput
from cachecore.quantity import format_bytes, quantity_bytes
from cachesim.planning.outcome import Comparison, Interval, summary
from cachesim.simulation.report.clock import lasting
from cachesim.simulation.report.tables import DASH
from cachesim.simulation.units import rate_bytes_per_second

Parameters = Mapping[str, str]


def shown_bytes(count: float) -> str:
    return format_bytes(int(count))


def shown_rate(bytes_per_second: float) -> str:
    return f"{shown_bytes(bytes_per_second)}/s"


def percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def times(ratio: float | None) -> str:
    """A multiple of the best possible; a dash where there is none."""
    return DASH if ratio is None else f"{ratio:,.2f} x"


def money(amount: float) -> str:
    """Cents only where they matter."""
    return f"{amount:,.2f}" if abs(amount) < 100 else f"{amount:,.0f}"


def count(number: float) -> str:
    """Means over replications are seldom whole, and matter so only where they are small."""
    return f"{number:,.1f}" if number % 1 and abs(number) < 100 else f"{number:,.0f}"


def short(name: str, most: int = 14) -> str:
    """A name that fits beside a chart: names in a row differ at their end as often as at their beginning."""
    if len(name) <= most:
        return name
    tail = most // 2
    return f"{name[: most - tail - 1]}\N{HORIZONTAL ELLIPSIS}{name[-tail:]}"


def duration_range(ends: tuple[float, float] | None) -> str:
    return DASH if ends is None else f"{lasting(max(0.0, ends[0]))} to {lasting(max(0.0, ends[1]))}"


def ends_of(interval: Interval | None) -> tuple[float, float] | None:
    """Both ends, or None where the replications tell nothing."""
    if interval is None or interval.low is None or interval.high is None:
        return None
    return interval.low, interval.high


def number_of(value: str) -> float | None:
    """The number in a parameter's value (`1Ti`, `2x`, `100Gbps`, `0.5`), None for a name."""
    if re.fullmatch(r"\d+(\.\d+)?x?", value):
        return float(value.removesuffix("x"))
    for parse in (quantity_bytes, rate_bytes_per_second):
        try:
            return float(parse(value))
        except InvalidInput:
            continue
    return None


def varying(parameters: Sequence[Parameters]) -> list[str]:
    """The names whose values differ, in the order in which they were given."""
    names = dict.fromkeys(name for one in parameters for name in one)
    return [name for name in names if len({one.get(name) for one in parameters}) > 1]


def label(parameters: Parameters, names: Sequence[str]) -> str:
    """What tells a point from the others: only the parameters that differ."""
    told = {name: parameters[name] for name in names if name in parameters}
    return summary(told or dict(parameters))


def compared(comparison: Comparison) -> str:
    """Two policies in a sentence."""
    where = f"{summary(comparison.parameters)}: " if comparison.parameters else ""
    first, second = comparison.first, comparison.second
    if not comparison.apart:
        return f"{where}{first} and {second} can't be told apart."
    found = comparison.difference
    more = "more" if found.value > 0 else "less"
    sentence = f"{where}{second} fetches {percent(abs(found.value))} {more} than {first}"
    ends = ends_of(found)
    if ends is None:
        return f"{sentence}."
    low, high = sorted(abs(end) for end in ends)
    return f"{sentence} ({low * 100:.1f} to {percent(high)})."
