"""The least of something that meets all objectives: bisection over one parameter."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from cachecore.errors import InvalidInput
from cachecore.quantity import quantity_bytes
from cachesim.planning.outcome import Point
from cachesim.planning.parameters import Parameters, known
from cachesim.planning.study import Study
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.units import rate_bytes_per_second

_GIB = 2**30
# Ends of the search are this close, relative to the upper one.
_RESOLUTION = 0.01
# Where the most of it meets nothing, so many steps in between are tried before it is given up.
_SCAN_STEPS = 8


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched, as numbers; `write` makes a parameter's value of one."""

    low: int
    high: int
    write: Callable[[int], str]


def search_range(name: str, scenario: Scenario) -> Range:
    """From the least that can work to more than can be used. Raises `InvalidInput`."""
    known(name)
    nodes, group = scenario.nodes, scenario.group
    match name:
        case "disk":
            share = quantity_bytes(group.storage_limit) / quantity_bytes(nodes.disk)
            sizes = [quantity_bytes(model.size) for model in scenario.models]
            # With all models below the high watermark, nothing is ever evicted.
            most_bytes = sum(sizes) * 100 / group.high_watermark
            return Range(
                low=math.ceil(max(sizes) / share / _GIB),
                high=math.ceil(most_bytes / share / _GIB) + 1,
                write=lambda value: f"{value}Gi",
            )
        case "nodes":
            return Range(low=1, high=4 * nodes.count, write=str)
        case "copies":
            return Range(low=1, high=nodes.count, write=str)
        case "gpus" | "maxConcurrentDownloads":
            return Range(low=1, high=64, write=str)
        case "bandwidth" | "network":
            rate = nodes.network if name == "network" else scenario.storage.bandwidth
            most = math.ceil(rate_bytes_per_second(rate) * 8 / 1e9 * 10)
            return Range(low=1, high=most, write=lambda value: f"{value}Gbps")
        case _:
            raise InvalidInput(
                f"--find {name}: no more or less of it; use one of disk, nodes, copies, gpus, maxConcurrentDownloads, "
                f"bandwidth, network, or --vary {name}=..."
            )


def find_least(study: Study, name: str, rest: Parameters) -> list[Point]:
    """All points that were tried, the least that meets every objective among them if there is one.

    More is taken to be better, so that halving the range finds it; where the most of it does not do, because of what
    it costs, steps in between are tried first. Raises `InvalidInput`.
    """
    if not study.question.objectives:
        raise InvalidInput(f"--find {name}: say with --slo what has to hold")
    span = search_range(name, study.question.scenario_at(rest))
    tried: dict[int, Point] = {}

    def meets(value: int) -> bool:
        if value not in tried:
            tried[value] = study.points([{**rest, name: span.write(value)}])[0]
        return bool(tried[value].meets)

    low, high = span.low, span.high
    if not meets(high):
        ratio = max(high / low, 1.0) ** (1 / _SCAN_STEPS)
        steps = sorted({round(low * ratio**step) for step in range(_SCAN_STEPS)})
        found = next((value for value in steps if meets(value)), None)
        if found is None:
            return [tried[value] for value in sorted(tried)]
        high = found
        low = max((value for value in steps if value < found), default=low)
    if not meets(low):
        while high - low > max(1, int(high * _RESOLUTION)):
            middle = (low + high) // 2
            if meets(middle):
                high = middle
            else:
                low = middle
    return [tried[value] for value in sorted(tried)]
