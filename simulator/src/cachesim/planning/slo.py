"""What a plan has to meet: `cold_start_p99<30s`, `hit_ratio>=99%`, `cost<10000`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable

import msgspec

from cachecore.errors import InvalidInput
from cachecore.quantity import format_bytes, quantity_bytes
from cachesim.planning.outcome import Point
from cachesim.simulation.units import duration_seconds

_EXPRESSION = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=|<|>)\s*(\S+)\s*")


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """How a metric is read off a point, and how its values are written and shown."""

    of: Callable[[Point], float]
    parse: Callable[[str], float]
    show: Callable[[float], str]


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """One expression. `limit` is in the metric's own unit: seconds, bytes, a ratio, money."""

    text: str
    metric: str
    below: bool
    strict: bool
    limit: float

    def value(self, point: Point) -> float:
        return METRICS[self.metric].of(point)

    def holds(self, point: Point) -> bool:
        value = self.value(point)
        if self.strict:
            return value < self.limit if self.below else value > self.limit
        return value <= self.limit if self.below else value >= self.limit

    def shortfall(self, point: Point) -> float:
        """How far a point is from it, relative to the limit; 0 where it holds."""
        if self.holds(point):
            return 0.0
        return abs(self.value(point) - self.limit) / (abs(self.limit) or 1.0)

    def shown(self, point: Point) -> str:
        return f"{self.metric} {METRICS[self.metric].show(self.value(point))}"


def parse_slo(texts: Iterable[str]) -> tuple[Objective, ...]:
    """As given with `--slo`, which all have to hold. Raises `InvalidInput`."""
    return tuple(_objective(text) for text in texts)


def _objective(text: str) -> Objective:
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise InvalidInput(f"--slo {text!r}: write a metric, < or >, and a value: cold_start_p99<30s")
    name, sign, value = match.groups()
    if name not in METRICS:
        raise InvalidInput(f"--slo {text!r}: no metric {name!r}; use one of {', '.join(METRICS)}")
    try:
        limit = METRICS[name].parse(value)
    except (InvalidInput, ValueError) as error:
        raise InvalidInput(f"--slo {text!r}: {value!r} is no value of {name}: {error}") from error
    if not math.isfinite(limit):
        raise InvalidInput(f"--slo {text!r}: {value!r} is no value of {name}: write a number")
    return Objective(text=text, metric=name, below=sign.startswith("<"), strict=len(sign) == 1, limit=limit)


def _ratio(text: str) -> float:
    value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    if not 0.0 <= value <= 1.0:
        raise InvalidInput("write a share from 0 to 1, or a percentage")
    return value


def _bytes(text: str) -> float:
    return float(quantity_bytes(text))


def _number(text: str) -> float:
    return float(text)


def _seconds_shown(value: float) -> str:
    return f"{value:.1f} s"


def _percent_shown(value: float) -> str:
    return f"{value:.2%}"


def _bytes_shown(value: float) -> str:
    return format_bytes(int(value))


def _money_shown(value: float) -> str:
    return f"{value:,.0f}"


def _cost(point: Point) -> float:
    if point.cost is None:
        raise InvalidInput("--slo on cost needs prices: add --price disk=...,egress=...,gpu_hour=...")
    return point.cost.total


METRICS = {
    "cold_start_p50": Metric(of=lambda p: p.cold_start_seconds.p50, parse=duration_seconds, show=_seconds_shown),
    "cold_start_p95": Metric(of=lambda p: p.cold_start_seconds.p95, parse=duration_seconds, show=_seconds_shown),
    "cold_start_p99": Metric(of=lambda p: p.cold_start_seconds.p99, parse=duration_seconds, show=_seconds_shown),
    "hit_ratio": Metric(of=lambda p: p.hit_ratio, parse=_ratio, show=_percent_shown),
    "byte_hit_ratio": Metric(of=lambda p: p.byte_hit_ratio, parse=_ratio, show=_percent_shown),
    "bytes_fetched": Metric(of=lambda p: p.bytes_fetched, parse=_bytes, show=_bytes_shown),
    "egress": Metric(of=lambda p: p.bytes_fetched, parse=_bytes, show=_bytes_shown),
    "ratio_to_bound": Metric(of=lambda p: p.ratio_to_bound or 1.0, parse=_number, show=lambda v: f"{v:.2f}"),
    "cost": Metric(of=_cost, parse=_number, show=_money_shown),
}
