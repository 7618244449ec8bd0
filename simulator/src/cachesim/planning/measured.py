"""What is measured of one replay, small enough to be sent from a worker to whoever asked."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np

from cachesim.planning.bound import Bound
from cachesim.planning.played import Played
from cachesim.planning.starts import Booleans, Floats

# Of one replay, for intervals without replications.
SLICES = 10


class Slices(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics by equal slices of time; not a number where nothing started."""

    p99_seconds: tuple[float, ...]
    hit_ratio: tuple[float, ...]
    bytes_fetched: tuple[float, ...]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One replay. `wait_seconds` has every start."""

    wait_seconds: Floats
    hits: int
    hit_bytes: float
    asked_bytes: float
    bytes_fetched: float
    prefetched_bytes: float
    misses: int
    evictions: int
    unready: int
    gpu_wait_seconds: float
    bound_bytes: float
    bound_misses: float
    bound_method: str
    slices: Slices

    @property
    def starts(self) -> int:
        return len(self.wait_seconds)


def measure(played: Played, bound: Bound, gpus: Floats) -> Measured:
    """All that a point needs of a replay. `gpus` is what a pod of each model takes."""
    starts = played.starts
    waits = played.wait_seconds
    sizes = played.kind_bytes[starts.kinds] if len(starts) else np.zeros(0)
    bound_to_node = starts.nodes >= 0
    # A pod holds its GPUs from when it has a node; until then it waits for somebody else's.
    return Measured(
        wait_seconds=waits,
        hits=int(starts.hits.sum()),
        hit_bytes=float(sizes[starts.hits].sum()),
        asked_bytes=float(sizes.sum()),
        bytes_fetched=played.bytes_fetched,
        prefetched_bytes=float(played.fetches.moved_bytes[~played.fetches.demanded].sum()),
        misses=int((~starts.hits & bound_to_node).sum()),
        evictions=len(played.evictions.seconds),
        unready=int(np.isnan(starts.ready_seconds).sum()),
        gpu_wait_seconds=float((waits * gpus[starts.models])[bound_to_node].sum()) if len(starts) else 0.0,
        bound_bytes=bound.bytes_fetched,
        bound_misses=bound.misses,
        bound_method=bound.method,
        slices=_slices(played, waits),
    )


def _slices(played: Played, waits: Floats) -> Slices:
    edges = np.linspace(0.0, played.duration_seconds, SLICES + 1)
    created = played.starts.created_seconds
    p99, hit_ratio, fetched = [], [], []
    for low, high in itertools.pairwise(edges):
        within = (created >= low) & (created < high)
        p99.append(_percentile(waits, within))
        hit_ratio.append(float(played.starts.hits[within].mean()) if within.any() else float("nan"))
        moved = (played.fetches.end_seconds >= low) & (played.fetches.end_seconds < high)
        fetched.append(float(played.fetches.moved_bytes[moved].sum()))
    return Slices(p99_seconds=tuple(p99), hit_ratio=tuple(hit_ratio), bytes_fetched=tuple(fetched))


def _percentile(waits: Floats, within: Booleans) -> float:
    return float(np.percentile(waits[within], 99)) if within.any() else float("nan")
