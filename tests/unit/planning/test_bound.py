"""The best possible: by hand, against Belady's MIN, and below whatever a policy does."""

from __future__ import annotations

from collections.abc import Sequence

import libcachesim
import numpy as np
import pytest

from cachesim.planning.bound import LINEAR_PROGRAM, PFOO_L, bound
from cachesim.planning.copies import Kind
from cachesim.planning.journal import Journal
from cachesim.planning.played import Played
from cachesim.planning.replay import Replay
from cachesim.planning.traffic import draw_starts
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario, Traffic

POLICIES = ("LRU", "GreedyDualSize", "LFU", "LRFU")


def uses(kinds: Sequence[int], sizes: Sequence[int], limit_bytes: int, nodes: Sequence[int] = ()) -> Played:
    """A replay that served these kinds, one after the other."""
    made = [
        Kind(
            number=number,
            model=number,
            version=0,
            name=f"m{number}",
            key=f"{number:03}",
            size_bytes=size,
            load_seconds=0,
        )
        for number, size in enumerate(sizes)
    ]
    journal = Journal()
    for index, number in enumerate(kinds):
        row = journal.start(float(index), made[number])
        journal.served[row] = journal.ready[row] = float(index)
        journal.nodes[row] = nodes[index] if nodes else 0
    return journal.close(float(len(kinds)), made, nodes=1 + max(nodes, default=0), limit_bytes=limit_bytes, models=[])


def belady_misses(kinds: Sequence[int], room: int) -> int:
    cache = libcachesim.Belady(room)
    upcoming: dict[int, int] = {}
    following = []
    for index in range(len(kinds) - 1, -1, -1):
        following.append(upcoming.get(kinds[index], 2**62))
        upcoming[kinds[index]] = index
    misses = 0
    for index, (number, after) in enumerate(zip(kinds, reversed(following), strict=True)):
        request = libcachesim.Request()
        request.obj_id, request.obj_size, request.clock_time, request.next_access_vtime = number + 1, 1, index, after
        misses += not cache.get(request)
    return misses


def test_the_first_use_of_each_model_is_fetched_whatever_one_does() -> None:
    found = bound(uses([0, 1, 2], [5, 6, 7], 100))
    assert (found.bytes_fetched, found.misses, found.method) == (18, 3, LINEAR_PROGRAM)


def test_what_fits_is_kept() -> None:
    assert bound(uses([0, 1, 0, 1], [5, 6], 11)).bytes_fetched == 11


def test_of_two_that_do_not_fit_together_the_larger_is_kept() -> None:
    # Beside the third there is room for one of the two.
    assert bound(uses([0, 1, 2, 0, 1], [5, 6, 4], 10)).bytes_fetched == 15 + 5


def test_nodes_keep_for_themselves() -> None:
    assert bound(uses([0, 1, 0, 1], [5, 6], 6, nodes=[0, 1, 0, 1])).bytes_fetched == 11


def test_a_model_larger_than_the_limit_leaves_room_for_no_other() -> None:
    assert bound(uses([0, 1, 0], [5, 20], 10)).bytes_fetched == 30


def test_without_starts_there_is_nothing_to_fetch() -> None:
    assert bound(uses([], [5], 10)).bytes_fetched == 0


@pytest.mark.parametrize("seed", range(5))
def test_on_unit_sizes_it_is_beladys_min(seed: int) -> None:
    chance = np.random.default_rng(seed)
    kinds = [int(number) for number in chance.zipf(1.3, 400) if number <= 30]
    sizes = [1] * 31
    for room in (2, 5, 12):
        assert bound(uses(kinds, sizes, room)).misses == pytest.approx(belady_misses(kinds, room))


@pytest.mark.parametrize("seed", range(5))
def test_the_relaxation_is_no_higher(seed: int) -> None:
    chance = np.random.default_rng(seed)
    sizes = [int(size) for size in chance.integers(1, 20, 12)]
    played = uses([int(number) for number in chance.integers(0, 12, 300)], sizes, 40)
    exact, relaxed = bound(played), bound(played, requests_max=10)
    assert relaxed.method == PFOO_L
    assert relaxed.bytes_fetched <= exact.bytes_fetched + 1e-6
    assert relaxed.misses <= exact.misses + 1e-6


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_no_policy_fetches_less(policy: str, seed: int) -> None:
    chance = np.random.default_rng(seed)
    scenario = Scenario(
        name="small",
        description="",
        duration="2d",
        nodes=Nodes(count=2, disk="40Gi"),
        group=NodeGroup(storage_limit="30Gi", policy=policy),  # type: ignore[arg-type]  # one of the literals
        models=tuple(
            Model(name=f"m{number}", size=f"{size}Gi") for number, size in enumerate(chance.integers(1, 15, 12))
        ),
        traffic=Traffic(starts_per_hour=15, lifetime="6m", zipf=0.6),
    )
    assert scenario.traffic is not None
    played = Replay(scenario, draw_starts(scenario, scenario.traffic, seed)).run()
    assert 0 < bound(played).bytes_fetched <= played.bytes_fetched
