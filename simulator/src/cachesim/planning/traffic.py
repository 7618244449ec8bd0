"""Workloads drawn by lot: from a scenario's traffic and a seed to the starts of pods. Pure.

The lots of each part (when, which model, for how long, what drifts) come from streams of their own. So who varies the
disk, the policy or the number of nodes replays the very same starts (common random numbers: Law, Simulation Modeling
and Analysis, 11.2), and a change of one pattern leaves the lots of the others alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cachesim.planning.starts import Floats, Integers, Replacement, Starts, make_starts
from cachesim.simulation.scenario import Model, Release, Scenario, Traffic
from cachesim.simulation.units import duration_seconds

DAY_SECONDS = 86400.0


def draw_starts(scenario: Scenario, traffic: Traffic, seed: int) -> Starts:
    """The starts of one replication; the same for the same traffic, models, duration and seed."""
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(8)]
    moments, choices, lives, noons, swaps, bursts, crowds, releases = streams
    duration = duration_seconds(scenario.duration)
    begin = duration_seconds(traffic.begin)
    seconds = _moments(moments, traffic, begin, duration)
    noon = noons.uniform(0.0, DAY_SECONDS, len(scenario.models))
    models = _choose(choices, swaps, seconds, traffic, noon)
    if traffic.bursts is not None:
        seconds, models = _burst(bursts, seconds, models, traffic, duration)
    for crowd in traffic.flash_crowds:
        index = [model.name for model in scenario.models].index(crowd.model)
        more = duration_seconds(crowd.at) + crowds.uniform(0.0, duration_seconds(crowd.over), crowd.starts)
        more = more[more < duration]
        seconds, models = np.concatenate([seconds, more]), np.concatenate([models, np.full(len(more), index)])
    replacements = [
        one for release in traffic.releases for one in _replacements(releases, release, scenario.models, duration)
    ]
    if traffic.idle is not None:
        seconds, models, lifetimes = sessions(seconds, models, duration_seconds(traffic.idle))
    else:
        lifetimes = lives.exponential(duration_seconds(traffic.lifetime), len(seconds))
    return make_starts(seconds, models, lifetimes, duration_seconds=duration, replacements=replacements)


def sessions(seconds: Floats, models: Integers, idle_seconds: float) -> tuple[Floats, Integers, Floats]:
    """From requests to instances that scale to zero: when each starts, its model, how long it runs.

    A request starts one when the last request of its model is longer ago than `idle_seconds`.
    """
    order = np.lexsort((seconds, models))
    times, of = seconds[order], models[order]
    first = np.ones(len(times), dtype=bool)
    first[1:] = (of[1:] != of[:-1]) | (times[1:] - times[:-1] > idle_seconds)
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], len(times)) - 1
    lifetimes = times[ends] - times[begins] + idle_seconds if len(times) else times
    return times[begins], of[begins], lifetimes


def _moments(chance: np.random.Generator, traffic: Traffic, begin: float, duration: float) -> Floats:
    """A Poisson process; of bursts with bursts, each of which is several starts."""
    rate = traffic.starts_per_hour / 3600.0 / (traffic.bursts.starts if traffic.bursts else 1.0)
    span = max(duration - begin, 0.0)
    # Drawn one after the other, so that a longer plan begins as a shorter one does.
    gaps = chance.exponential(1.0 / rate, int(span * rate * 1.2 + 100))
    while gaps.sum() < span:
        gaps = np.concatenate([gaps, chance.exponential(1.0 / rate, len(gaps))])
    times: Floats = begin + np.cumsum(gaps)
    return times[times < duration]


def _choose(
    chance: np.random.Generator, swaps: np.random.Generator, seconds: Floats, traffic: Traffic, noon: Floats
) -> Integers:
    """A model for each start: by its rank, by who has that rank then, and by the hour."""
    count = len(noon)
    weights = 1.0 / np.arange(1, count + 1) ** traffic.zipf
    ranking, epochs = _rankings(swaps, seconds, traffic, count)
    lots = chance.uniform(0.0, 1.0, len(seconds))
    if not traffic.diurnal:
        ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), lots, side="right")
        return ranking[epochs, np.minimum(ranks, count - 1)]
    chosen = np.empty(len(seconds), dtype=np.int64)
    for index, (moment, lot) in enumerate(zip(seconds, lots, strict=True)):
        by_rank = ranking[epochs[index]]
        wanted = weights * (1.0 + traffic.diurnal * np.cos((moment - noon[by_rank]) * 2.0 * np.pi / DAY_SECONDS))
        rank = int(np.searchsorted(np.cumsum(wanted), lot * wanted.sum(), side="right"))
        chosen[index] = by_rank[min(rank, count - 1)]
    return chosen


def _rankings(chance: np.random.Generator, seconds: Floats, traffic: Traffic, count: int) -> tuple[Integers, Integers]:
    """Which model has each rank, a row for each epoch of the drift; and the epoch of each start."""
    present = np.arange(count)
    if traffic.drift is None:
        return present[np.newaxis], np.zeros(len(seconds), dtype=np.int64)
    # Each exchange moves two models, some of them again; after the time of `drift` half of all have moved.
    exchange_seconds = duration_seconds(traffic.drift) / max(count * math.log(2.0) / 2.0, 1.0)
    epochs = (seconds // exchange_seconds).astype(np.int64)
    rows = [present.copy()]
    for _ in range(int(epochs.max(initial=0))):
        one, other = chance.choice(count, 2, replace=False) if count > 1 else (0, 0)
        present[[one, other]] = present[[other, one]]
        rows.append(present.copy())
    return np.stack(rows), epochs


def _burst(
    chance: np.random.Generator, seconds: Floats, models: Integers, traffic: Traffic, duration: float
) -> tuple[Floats, Integers]:
    """Each start becomes a burst: a geometric number of starts, at intervals drawn by lot."""
    assert traffic.bursts is not None  # noqa: S101 - for the type checker: the caller has looked
    mean, over = traffic.bursts.starts, duration_seconds(traffic.bursts.over)
    sizes = chance.geometric(1.0 / mean, len(seconds))
    gaps = chance.exponential(over / mean, int(sizes.sum()))
    starts_of_bursts = np.cumsum(sizes) - sizes
    gaps[starts_of_bursts] = 0.0
    sums = np.cumsum(gaps)
    times = np.repeat(seconds - sums[starts_of_bursts], sizes) + sums if len(sizes) else seconds
    kept = times < duration
    return times[kept], np.repeat(models, sizes)[kept]


def _replacements(
    chance: np.random.Generator, release: Release, models: Sequence[Model], duration: float
) -> list[Replacement]:
    at, over = duration_seconds(release.at), duration_seconds(release.over)
    named = [index for index, model in enumerate(models) if not release.models or model.name in release.models]
    moments = at + chance.uniform(0.0, over, len(named))
    return [
        Replacement(seconds=float(moment), model=index)
        for moment, index in zip(moments, named, strict=True)
        if moment < duration
    ]
