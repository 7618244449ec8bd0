"""Replays against others' caches, use for use."""

from __future__ import annotations

from collections.abc import Sequence

import libcachesim
import numpy as np
import pytest

from cachesim.planning.bound import bound
from cachesim.planning.played import Played
from cachesim.planning.replay import Replay
from cachesim.planning.starts import Floats, Integers, make_starts
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, ObjectStorage, Scenario

POLICIES = ("LRU", "GreedyDualSize", "LFU", "LRFU")
MODELS = 24
NEVER = 2**62
# Longer than a download, a pod's start and its life together: nothing is in use when the next pod comes.
APART_SECONDS = 60.0


def trace(seed: int, length: int = 900) -> Integers:
    weights = 1.0 / np.arange(1, MODELS + 1) ** 0.7
    return np.random.default_rng(seed).choice(MODELS, length, p=weights / weights.sum())


def play(models: Integers, *, room: int, policy: str = "LRU", nodes: Integers | None = None, low: int = 99) -> Played:
    """Models of 1 GB, and room for so many of them on each node. All are assigned everywhere."""
    group = NodeGroup(
        storage_limit=f"{room}G",
        policy=policy,  # type: ignore[arg-type]  # one of the literals
        high_watermark=100,
        low_watermark=low,
    )
    # The first downloads, of what nobody has asked for yet, are over before the first pod comes.
    seconds = 3600.0 + APART_SECONDS * np.arange(len(models), dtype=np.float64)
    return replayed([1] * MODELS, group, seconds, models, nodes=nodes, network="1000Gbps")


def replayed(
    sizes: Sequence[int],
    group: NodeGroup,
    seconds: Floats,
    models: Integers,
    *,
    nodes: Integers | None = None,
    network: str = "8Gbps",
) -> Played:
    """Models of so many GB each, for pods that end as soon as they are Ready. A GB takes a second over 8 Gbps."""
    count = 1 if nodes is None else int(nodes.max()) + 1
    scenario = Scenario(
        name="oracle",
        description="",
        duration="30d",
        nodes=Nodes(count=count, disk=group.storage_limit, network=network, load_rate="1000Tbps"),
        group=group,
        models=tuple(Model(name=f"m{number}", size=f"{size}G") for number, size in enumerate(sizes)),
        storage=ObjectStorage(bandwidth="100Tbps", latency="50ms"),
    )
    end = float(seconds[-1]) + 3600.0
    return Replay(scenario, make_starts(seconds, models, 1e-3, duration_seconds=end, nodes=nodes)).run()


def hits_of(cache: libcachesim.CacheBase, models: Integers) -> list[bool]:
    """What a cache of libcachesim, empty at first, answers to each use. Belady's asks when the next one is."""
    following = [NEVER] * len(models)
    upcoming: dict[int, int] = {}
    for index in range(len(models) - 1, -1, -1):
        following[index] = upcoming.get(int(models[index]), NEVER)
        upcoming[int(models[index])] = index
    hits = []
    for index, number in enumerate(models):
        request = libcachesim.Request()
        request.obj_id, request.obj_size, request.clock_time = int(number) + 1, 1, index
        request.next_access_vtime = following[index]
        hits.append(bool(cache.get(request)))
    return hits


def filled(models: Integers, room: int) -> int:
    """After so many uses an LRU holds the last `room` different ones, whatever it held before."""
    return next(index for index in range(len(models)) if len(set(models[:index])) == room)


@pytest.mark.parametrize("low", [1, 99])
@pytest.mark.parametrize("room", [2, 5, 13, 23])
def test_lru_hits_and_misses_use_for_use_as_libcachesims(room: int, low: int) -> None:
    models = trace(room)
    played = play(models, room=room, low=low)
    expected = hits_of(libcachesim.LRU(room, hashpower=10), models)
    begin = filled(models, room)
    assert list(played.starts.hits[begin:]) == expected[begin:]
    assert 0 < sum(expected) < len(models) - MODELS


def test_each_node_is_an_lru_of_its_own() -> None:
    models, room = trace(7), 6
    nodes = np.random.default_rng(7).integers(0, 3, len(models))
    played = play(models, room=room, nodes=nodes)
    for node in range(3):
        mine = models[nodes == node]
        begin = filled(mine, room)
        expected = hits_of(libcachesim.LRU(room, hashpower=10), mine)
        assert list(played.starts.hits[nodes == node][begin:]) == expected[begin:]


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_does_with_fewer_downloads_than_beladys_min(policy: str) -> None:
    models, room = trace(11), 6
    played = play(models, room=room, policy=policy)
    least = len(models) - sum(hits_of(libcachesim.Belady(room, hashpower=10), models))
    assert bound(played).misses == pytest.approx(least)
    assert least < len(played.fetches.begin_seconds)
