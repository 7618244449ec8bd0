"""What a model is worth to a node's cache: the ranking of each eviction policy. Pure.

A `Usage` is all that a policy may know of a model: it grows with each use (`used`) and is remembered when the copy
goes, so that a model that comes back keeps its history. `value` ranks the models: more is kept longer.
"""

from __future__ import annotations

import math

import msgspec

from cachecore.resources.serving import EvictionPolicy

# A use counts half after this time: long enough for a daily rhythm, short enough to forget last week's model.
HALF_LIFE_SECONDS = 24 * 3600.0
# LRFU lets a use count by its age to the power of -0.5: how the need for anything falls after its last uses, from
# minutes to years (Anderson and Schooler, Reflections of the Environment in Memory, 1991). A sum of exponentials, from
# an hour to six weeks, comes close to it, and needs no list of all uses.
LRFU_HALF_LIVES_SECONDS = tuple(3600.0 * 4**step for step in range(6))
_LRFU_WEIGHTS = tuple(1.0 / math.sqrt(half_life) for half_life in LRFU_HALF_LIVES_SECONDS)
# What a load costs beyond its bytes (requests, checks, publishing), and how fast bytes come when nothing was measured.
LOAD_OVERHEAD_SECONDS = 1.0
LOAD_BYTES_PER_SECOND = 200e6


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """One model's history on one node. Times are Unix seconds.

    `frequency` is the decayed count of uses as of `last_used_seconds`, `frequencies` the same for each half-life of
    LRFU (empty before the first use); `inflation` is what the clock of GreedyDualSize showed at the last use.
    """

    arrived_seconds: float = 0.0
    last_used_seconds: float = 0.0
    frequency: float = 0.0
    frequencies: tuple[float, ...] = ()
    inflation: float = 0.0

    @property
    def recency_seconds(self) -> float:
        """Arrival counts as a use: a model that has just been asked for is not the first to go."""
        return max(self.arrived_seconds, self.last_used_seconds)


def load_seconds(size_bytes: int) -> float:
    """What it costs to fetch a model again."""
    return LOAD_OVERHEAD_SECONDS + size_bytes / LOAD_BYTES_PER_SECOND


def arrived(now: float, *, inflation: float) -> Usage:
    """The history of a model that the node has just been asked to hold; its size may not be known yet."""
    return Usage(arrived_seconds=now, inflation=inflation)


def used(usage: Usage, now: float, *, inflation: float) -> Usage:
    """The history after one more use. A clock that fell back changes no order: time here never falls."""
    moment = max(now, usage.last_used_seconds)
    return msgspec.structs.replace(
        usage,
        last_used_seconds=moment,
        frequency=_decayed(usage, moment) + 1.0,
        frequencies=tuple(count + 1.0 for count in _all_decayed(usage, moment)),
        inflation=max(inflation, usage.inflation),
    )


def value(policy: EvictionPolicy, usage: Usage, *, size_bytes: int, now: float) -> float:
    """The worth of a model under a policy: comparable between models at one `now` only."""
    match policy:
        case EvictionPolicy.LRU:
            return usage.recency_seconds
        case EvictionPolicy.GREEDY_DUAL_SIZE:
            return _credit(usage, size_bytes)
        case EvictionPolicy.LFU:
            # An arrival is worth a little, so that a new model has its chance.
            hits = _decayed(usage, max(now, usage.recency_seconds)) + _decay(usage.arrived_seconds, now)
            return hits * load_seconds(size_bytes) / max(size_bytes, 1)
        case EvictionPolicy.LRFU:
            need = _need(usage, max(now, usage.recency_seconds))
            return need * load_seconds(size_bytes) / max(size_bytes, 1)


def inflated(inflation: float, victim: Usage, *, size_bytes: int) -> float:
    """GreedyDualSize's clock after an eviction: what stays is worth at least as much as what went."""
    return max(inflation, _credit(victim, size_bytes))


def _credit(usage: Usage, size_bytes: int) -> float:
    """Seconds of loading saved per byte kept, on top of the clock; scaled to MiB to keep the sums exact enough."""
    return usage.inflation + load_seconds(size_bytes) * 2**20 / max(size_bytes, 1)


def _decayed(usage: Usage, now: float) -> float:
    return usage.frequency * _decay(usage.last_used_seconds, now)


def _decay(since: float, now: float) -> float:
    return math.exp2(-max(now - since, 0.0) / HALF_LIFE_SECONDS)


def _counts(usage: Usage) -> tuple[float, ...]:
    """The decayed counts as of the last use. An agent that did not count so yet has left the time of that use alone."""
    return usage.frequencies or (1.0 if usage.last_used_seconds else 0.0,) * len(LRFU_HALF_LIVES_SECONDS)


def _all_decayed(usage: Usage, now: float) -> list[float]:
    age = max(now - usage.last_used_seconds, 0.0)
    return [
        count * math.exp2(-age / half_life)
        for count, half_life in zip(_counts(usage), LRFU_HALF_LIVES_SECONDS, strict=True)
    ]


def _need(usage: Usage, now: float) -> float:
    """How likely the model is needed next, on no particular scale; an arrival counts like a use."""
    age = max(now - usage.last_used_seconds, 0.0)
    arrival_age = max(now - usage.arrived_seconds, 0.0)
    need = 0.0
    # A plan asks for each model of a node: no calls in here but one for each number.
    for weight, half_life, count in zip(_LRFU_WEIGHTS, LRFU_HALF_LIVES_SECONDS, _counts(usage), strict=True):
        need += weight * (count * math.exp2(-age / half_life) + math.exp2(-arrival_age / half_life))
    return need
