"""What a plan says: the JSON of `localmodel plan --json`, and what its page draws besides."""

from __future__ import annotations

from typing import Any

import msgspec

SCHEMA = "localmodel.plan/v1"


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its 95 % confidence interval; both ends are None where one replication tells nothing."""

    value: float
    low: float | None = None
    high: float | None = None


class ColdStartSeconds(msgspec.Struct, frozen=True, kw_only=True):
    """From a pod's creation to Ready, over all starts; `ci95` is the interval of p99."""

    p50: float
    p95: float
    p99: float
    ci95: tuple[float, float] | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Money over the time of the plan, by what it is for, in the currency of the prices."""

    total: float
    disk: float = 0.0
    egress: float = 0.0
    gpu: float = 0.0
    nodes: float = 0.0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One combination of parameters, over all its replications: means, and the percentiles of all starts.

    - parameters: as they were given: `{"disk": "1Ti", "policy": "LRU"}`
    - hit_ratio, byte_hit_ratio: of the starts, whose model was on the node when their pod got there
    - bytes_fetched: of one replication; `prefetched_bytes` of them came before any pod asked
    - bound_bytes: the fewest that any policy could have fetched for the same pods on the same nodes, knowing the future
    - ratio_to_bound: bytes_fetched / bound_bytes; None when nothing had to be fetched
    - misses, bound_misses, miss_ratio_to_bound: the same for cold starts, of policies that fetch on demand
    - intervals: of the metrics named in it, over replications, or over slices of time of a single one
    - unready: starts that were not Ready when the time was over, or never got a node
    - meets: whether every `--slo` holds; None without one
    """

    parameters: dict[str, str]
    cold_start_seconds: ColdStartSeconds
    hit_ratio: float
    byte_hit_ratio: float
    bytes_fetched: float
    prefetched_bytes: float
    bound_bytes: float
    ratio_to_bound: float | None
    misses: float
    bound_misses: float
    miss_ratio_to_bound: float | None
    evictions: float
    unready: float
    starts: float
    replications: int
    intervals: dict[str, Interval] = {}
    cost: Cost | None = None
    meets: bool | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two points that differ in their policy alone: by how much the second one's bytes differ, start by start.

    `difference` is relative: -0.1 is a tenth less. `apart` is false when the interval has zero in it.
    """

    parameters: dict[str, str]
    first: str
    second: str
    metric: str
    difference: Interval
    apart: bool


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    parameters: dict[str, str]
    why: str


class PlanOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A whole plan. `requests` counts the starts that were replayed, over all points and replications."""

    schema: str = SCHEMA
    scenario: str
    seed: int
    points: tuple[Point, ...]
    recommendation: Recommendation
    requests: int
    wall_seconds: float
    slo: tuple[str, ...] = ()
    prices: dict[str, float] = {}
    comparisons: tuple[Comparison, ...] = ()
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    command: str = ""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Values over time: `values[i]` is of the slice that begins `i * step_seconds` after the beginning."""

    step_seconds: float
    values: tuple[float, ...]


class Wave(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, a release or a flash crowd: when it was, in words."""

    seconds: float
    words: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What the page draws of one point: its first replication.

    - cold_starts: the share of starts, ascending, that took at most `cold_start_bins[i]` seconds
    - waits: the p99 of cold starts by time; starts: how many there were; egress: bytes per second
    - disk_used: the mean and the largest share of the limit over the nodes, by time
    - heat: for each of a few moments, a row for each node (those with the most fetches), a cell for each model in the
      order of `heat_models`: the share of the time around that moment that the node held it
    """

    parameters: dict[str, str]
    cold_start_bins: tuple[float, ...]
    cold_starts: tuple[float, ...]
    waits: Series
    starts: Series
    egress: Series
    disk_used_mean: Series
    disk_used_max: Series
    heat_seconds: tuple[float, ...]
    heat_nodes: tuple[str, ...]
    heat_models: tuple[str, ...]
    heat: tuple[tuple[tuple[float, ...], ...], ...]
    waves: tuple[Wave, ...] = ()


def summary(parameters: dict[str, str]) -> str:
    """A point's parameters as people write them: `disk=1Ti policy=LRU`."""
    return " ".join(f"{name}={value}" for name, value in parameters.items()) or "as it is"


def decoded(content: bytes) -> Any:
    """The JSON of a plan. Raises `msgspec.DecodeError`."""
    return msgspec.json.decode(content, type=PlanOutcome)
