"""Replays against arithmetic: LRU as others have it, Che's approximation, and the queues of downloads."""

from __future__ import annotations

import libcachesim
import numpy as np
import pytest
from scipy.optimize import brentq

from cachesim.planning.downloads import FETCH_OVERHEAD_SECONDS, ROUND_TRIPS
from cachesim.planning.played import Played
from cachesim.planning.replay import Replay
from cachesim.planning.starts import Floats, Integers, make_starts
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, ObjectStorage, Scenario

GB = 10**9
LATENCY_SECONDS = 0.05
OVERHEAD_SECONDS = FETCH_OVERHEAD_SECONDS + ROUND_TRIPS * LATENCY_SECONDS


def play(
    sizes: list[int], seconds: Floats, models: Integers, *, room: int, network: str = "1000Gbps", slots: int = 1000
) -> Played:
    """One node with LRU and room for so many GB; pods end as soon as they are Ready.

    The low watermark lets nothing be fetched on suspicion.
    """
    scenario = Scenario(
        name="arithmetic",
        description="",
        duration=f"{seconds[-1] + 3600:.0f}s",
        nodes=Nodes(count=1, disk=f"{room}G", network=network, load_rate="1000Tbps"),
        group=NodeGroup(storage_limit=f"{room}G", high_watermark=100, low_watermark=1, max_concurrent_downloads=slots),
        models=tuple(Model(name=f"m{number}", size=f"{size}G") for number, size in enumerate(sizes)),
        storage=ObjectStorage(bandwidth="100Tbps", latency="50ms"),
    )
    return Replay(scenario, make_starts(seconds, models, 1e-3, duration_seconds=float(seconds[-1]) + 3600)).run()


def poisson(chance: np.random.Generator, count: int, mean_seconds: float) -> Floats:
    return 3600.0 + np.cumsum(chance.exponential(mean_seconds, count))


def popularity(count: int, zipf: float) -> Floats:
    weights = 1.0 / np.arange(1, count + 1) ** zipf
    return np.asarray(weights / weights.sum())


def test_lru_on_unit_sizes_is_libcachesims_lru() -> None:
    chance = np.random.default_rng(3)
    models = chance.choice(20, 1500, p=popularity(20, 0.8))
    played = play([1] * 20, np.linspace(3600.0, 93600.0, 1500), models, room=7)
    cache = libcachesim.LRU(7)
    hits = []
    for number in models:
        request = libcachesim.Request()
        request.obj_id, request.obj_size = int(number) + 1, 1
        hits.append(bool(cache.get(request)))
    # By then both have seen enough models to hold the same seven.
    assert list(played.starts.hits[100:]) == hits[100:]
    assert 0.2 < np.mean(hits) < 0.9


def test_misses_of_lru_are_as_che_approximates_them() -> None:
    chance = np.random.default_rng(1)
    count, room, starts = 40, 12, 15_000
    shares = popularity(count, 0.8)
    played = play([1] * count, poisson(chance, starts, 120.0), chance.choice(count, starts, p=shares), room=room)
    measured = 1.0 - played.starts.hits[1000:].mean()
    # Che, Tung, Wang, Hierarchical Web Caching Systems, 2002: each model stays for one characteristic time.
    time = brentq(lambda value: (1.0 - np.exp(-shares * value)).sum() - room, 1e-6, 1e6)
    assert measured == pytest.approx((shares * np.exp(-shares * time)).sum(), rel=0.02)


def never_twice(chance: np.random.Generator, starts: int, groups: int, members: int) -> Integers:
    """A group for each start by lot, and of each group one model after the other: LRU has room for few, and misses."""
    group = chance.integers(0, groups, starts)
    turn = np.zeros(starts, dtype=np.int64)
    for number in range(groups):
        mine = group == number
        turn[mine] = np.arange(int(mine.sum())) % members
    return group * members + turn


def test_downloads_share_the_network_as_processor_sharing_has_it() -> None:
    chance = np.random.default_rng(5)
    starts, members, load = 20_000, 20, 0.5
    sizes = [size for size in (1, 2, 4) for _ in range(members)]
    models = never_twice(chance, starts, 3, members)
    # 1 GB takes a second.
    mean_seconds = float(np.mean(sizes))
    played = play(sizes, poisson(chance, starts, mean_seconds / load), models, room=40, network="8Gbps")
    assert not played.starts.hits[100:].any()
    lasting = played.fetches.end_seconds - played.fetches.begin_seconds - OVERHEAD_SECONDS
    demanded = lasting[played.fetches.demanded]
    # M/G/1-PS: Kleinrock, Queueing Systems II, 4.4: E[S] / (1 - load), whatever the distribution of sizes.
    assert float(demanded.mean()) == pytest.approx(mean_seconds / (1 - load), rel=0.03)


def test_downloads_one_by_one_wait_as_pollaczek_and_khinchine_say() -> None:
    chance = np.random.default_rng(9)
    starts, count, load = 20_000, 60, 0.6
    service = OVERHEAD_SECONDS + 8.0
    played = play(
        [8] * count,
        poisson(chance, starts, service / load),
        never_twice(chance, starts, 1, count),
        room=100,
        network="8Gbps",
        slots=1,
    )
    # Who waits is served in the order of keys: the last of a long queue may come just before its model's next turn.
    assert played.starts.hits[count:].mean() < 0.005
    waited = played.starts.served_seconds - played.starts.created_seconds
    # M/D/1: the mean wait is load * service / (2 (1 - load)), whoever goes first.
    assert float(waited[count:].mean()) == pytest.approx(service + load * service / (2 * (1 - load)), rel=0.03)
