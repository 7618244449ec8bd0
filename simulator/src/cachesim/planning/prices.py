"""What a plan costs: disks, egress, nodes, and the GPU time that pods wait for their models."""

from __future__ import annotations

import re

from cachecore.errors import InvalidInput
from cachecore.quantity import quantity_bytes
from cachesim.planning.outcome import Cost
from cachesim.simulation.scenario import Scenario
from cachesim.simulation.units import duration_seconds

_GIB = 2**30
_MONTH_SECONDS = 30 * 86400.0
_HOUR_SECONDS = 3600.0

# In the currency of whoever asks.
UNITS = {
    "disk": "for a GiB of disk and a month of 30 days",
    "egress": "for a GiB that is fetched",
    "gpu_hour": "for an hour of one GPU, of which what pods wait is counted",
    "node_hour": "for an hour of one node",
}


def parse_prices(text: str) -> dict[str, float]:
    """`disk=0.08,egress=0.02,gpu_hour=2.5`. Raises `InvalidInput`."""
    prices: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name not in UNITS:
            units = "; ".join(f"{known} {words}" for known, words in UNITS.items())
            raise InvalidInput(f"--price {part}: no price {name!r}; there are: {units}")
        if not re.fullmatch(r"\d+(\.\d+)?", value):
            raise InvalidInput(f"--price {part}: write a number from 0 on, such as {name}=0.08")
        prices[name] = float(value)
    if not prices:
        raise InvalidInput("--price: give at least one, such as disk=0.08")
    return prices


def cost_of(prices: dict[str, float], scenario: Scenario, *, fetched_bytes: float, gpu_wait_seconds: float) -> Cost:
    """The cost of one replication: of the whole time of the scenario."""
    seconds = duration_seconds(scenario.duration)
    disks_gib = scenario.nodes.count * quantity_bytes(scenario.nodes.disk) / _GIB
    disk = prices.get("disk", 0.0) * disks_gib * seconds / _MONTH_SECONDS
    egress = prices.get("egress", 0.0) * fetched_bytes / _GIB
    gpu = prices.get("gpu_hour", 0.0) * gpu_wait_seconds / _HOUR_SECONDS
    nodes = prices.get("node_hour", 0.0) * scenario.nodes.count * seconds / _HOUR_SECONDS
    return Cost(total=disk + egress + gpu + nodes, disk=disk, egress=egress, gpu=gpu, nodes=nodes)
