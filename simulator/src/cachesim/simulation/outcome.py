"""What a simulated run came to, as `localmodel simulate --json` writes it."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec

from cachesim.simulation.checkers import Violation
from cachesim.simulation.scenario import Scenario

SCHEMA = "localmodel.simulate/v1"


class ColdStarts(msgspec.Struct, frozen=True, kw_only=True):
    """Pod starts, from creation to Ready. A hit found its model on the node when it was bound there."""

    count: int
    hit_ratio: float
    p50_seconds: float
    p99_seconds: float


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that broke an invariant, and the smallest scenario that was found to do the same."""

    seed: int
    invariant: str
    message: str
    plan: list[Any]
    shrunk: dict[str, Any]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The stable JSON of one run, or of a campaign: then numbers are sums, and the hash is made of all runs' hashes.

    `wall_seconds` alone may differ between two runs of the same seeds. `seed` is the first one, `seeds` are all.
    `scenario_digest` tells two versions of a scenario apart.
    """

    schema: str = SCHEMA
    ok: bool
    scenario: str
    seed: int
    events: int
    virtual_seconds: float
    wall_seconds: float
    event_log_hash: str
    violations: tuple[Violation, ...]
    cold_starts: ColdStarts
    bytes_fetched: int
    evictions: int
    scenario_digest: str = ""
    seeds: str = ""
    plans: int = 1
    sometimes: dict[str, int] = {}
    missed: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


def digest_of(scenario: Scenario) -> str:
    """What a scenario says, its defaults included, in few letters."""
    return f"sha256:{hashlib.sha256(msgspec.json.encode(scenario, order='deterministic')).hexdigest()}"


def summarise_starts(seconds: list[float], hits: int) -> ColdStarts:
    return ColdStarts(
        count=len(seconds),
        hit_ratio=round(hits / len(seconds), 6) if seconds else 0.0,
        p50_seconds=round(percentile(seconds, 50), 6),
        p99_seconds=round(percentile(seconds, 99), 6),
    )


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile; 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
