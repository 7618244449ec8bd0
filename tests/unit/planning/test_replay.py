"""Pods that start, wait for their models and end, to the second; and nodes that keep to their limit."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from cachesim.planning.outages import make_replay
from cachesim.planning.played import Played
from cachesim.planning.starts import Replacement
from cachesim.planning.traffic import draw_starts
from cachesim.simulation.scenario import Bursts, Model, Release, Traffic

# What is computed in another order differs in the last digits; arrivals are a nanosecond late.
CLOSE = 1e-6


def waits(played: Played) -> list[float]:
    return [float(wait) for wait in played.wait_seconds]


def test_a_hit_is_ready_when_it_has_started_and_loaded(plan: Any) -> None:
    played = plan.play(plan.scenario("2G"), plan.starts((100, 0)))
    assert waits(played) == pytest.approx([plan.start_seconds + 2.0], abs=CLOSE)
    assert played.starts.hits.all()


@pytest.mark.parametrize("network, bandwidth", [("4Gbps", "8Gbps"), ("8Gbps", "4Gbps")])
def test_a_miss_waits_for_the_bytes_over_the_narrower_link(plan: Any, network: str, bandwidth: str) -> None:
    played = plan.play(plan.scenario("2G", network=network, bandwidth=bandwidth), plan.starts((0, 0)))
    assert waits(played) == pytest.approx([plan.fetch_seconds + 4.0 + 2.0], abs=CLOSE)
    assert not played.starts.hits.any()


def test_a_miss_of_what_was_evicted_is_fetched_for_the_pod(plan: Any) -> None:
    starts = plan.starts((100, 0), (200, 1), (300, 0), lifetime=1.0)
    played = plan.play(plan.scenario("6G", "6G", limit="10G"), starts)
    assert waits(played)[1:] == pytest.approx([plan.fetch_seconds + 6.0 + 6.0] * 2, abs=CLOSE)
    assert list(played.evictions.kinds)[-2:] == [0, 1]
    assert list(played.fetches.demanded[-2:]) == [True, True]


def test_what_nobody_asked_for_yet_was_not_demanded(plan: Any) -> None:
    played = plan.play(plan.scenario("1G", "2G"), plan.starts())
    assert not played.fetches.demanded.any()
    assert played.bytes_fetched == pytest.approx(3e9)


def test_two_nodes_that_download_share_the_store(plan: Any) -> None:
    played = plan.play(plan.scenario("1G", nodes=2), plan.starts())
    assert list(played.fetches.end_seconds) == pytest.approx([plan.fetch_seconds + 2.0] * 2, abs=CLOSE)


def test_so_many_downloads_run_at_once(plan: Any) -> None:
    played = plan.play(plan.scenario("1G", "2G", slots=1), plan.starts())
    first = plan.fetch_seconds + 1.0
    assert list(played.fetches.kinds) == [0, 1]
    assert list(played.fetches.begin_seconds) == pytest.approx([0.0, first], abs=CLOSE)
    assert played.fetches.end_seconds[1] == pytest.approx(first + plan.fetch_seconds + 2.0, abs=CLOSE)


def test_pods_prefer_a_node_that_holds_the_model(plan: Any) -> None:
    model = Model(name="a", size="1G", copies=1)
    played = plan.play(plan.scenario(model, nodes=3), plan.starts((100, 0), (101, 0), (102, 0)))
    (holder,) = plan.holders(played, 99.0)
    assert set(played.starts.nodes) == {holder}
    assert played.starts.hits.all()


def test_of_those_that_hold_it_the_emptiest_is_taken(plan: Any) -> None:
    played = plan.play(plan.scenario("1G", nodes=3), plan.starts((100, 0), (101, 0), (102, 0)))
    assert sorted(played.starts.nodes) == [0, 1, 2]


def test_a_pod_runs_on_the_node_that_it_names(plan: Any) -> None:
    played = plan.play(plan.scenario("1G", nodes=3), plan.starts((100, 0, 2), (101, 0, 2), (102, 0, 1)))
    assert list(played.starts.nodes) == [2, 2, 1]


def test_without_room_a_pod_waits_until_another_ends(plan: Any) -> None:
    starts = plan.starts((100, 0), (101, 0), (102, 0), lifetime=50.0)
    played = plan.play(plan.scenario("1G", gpus=1), starts)
    turn = plan.start_seconds + 1.0 + 50.0
    expected = [100 + plan.start_seconds + 1.0 + number * turn for number in range(3)]
    assert list(played.starts.ready_seconds) == pytest.approx(expected, abs=CLOSE)


def test_a_pod_that_finds_no_room_holds_up_nobody_but_its_like(plan: Any) -> None:
    small, large = Model(name="small", size="1G"), Model(name="large", size="1G", gpus=2)
    starts = plan.starts((100, 0), (101, 1), (102, 0), (103, 1), lifetime=50.0)
    ready = plan.play(plan.scenario(small, large, gpus=2), starts).starts.ready_seconds
    assert ready[2] == pytest.approx(102 + plan.start_seconds + 1.0, abs=CLOSE)
    assert ready[1] == pytest.approx(ready[2] + 50.0 + plan.start_seconds + 1.0, abs=CLOSE)
    assert ready[3] == pytest.approx(ready[1] + 50.0 + plan.start_seconds + 1.0, abs=CLOSE)


def test_a_pod_that_never_gets_a_node_has_waited_until_the_end(plan: Any) -> None:
    model = Model(name="a", size="1G", gpus=4)
    played = plan.play(plan.scenario(model, gpus=2), plan.starts((600, 0), duration=3600.0))
    assert list(played.starts.nodes) == [-1]
    assert np.isnan(played.starts.ready_seconds).all()
    assert waits(played) == [3000.0]


def test_what_is_in_use_is_never_evicted(plan: Any) -> None:
    starts = plan.starts((100, 0), (210, 1), lifetime=[300.0, 10.0])
    played = plan.play(plan.scenario("6G", "6G", limit="10G"), starts)
    ended = played.starts.ready_seconds[0] + 300.0
    assert list(played.evictions.seconds)[-1] == pytest.approx(ended)
    assert played.starts.served_seconds[1] == pytest.approx(ended + plan.fetch_seconds + 6.0, abs=CLOSE)


def test_what_is_pinned_stays(plan: Any) -> None:
    pinned = Model(name="pinned", size="6G", pinned=True)
    played = plan.play(plan.scenario(pinned, "6G", limit="10G"), plan.starts((100, 1), duration=1000.0))
    assert len(played.evictions.seconds) == 0
    assert list(played.holdings.end_seconds) == [1000.0]
    assert waits(played) == [900.0]


def test_the_one_that_was_used_last_stays(plan: Any) -> None:
    starts = plan.starts((100, 0), (200, 1), (300, 0), (400, 2), lifetime=1.0)
    played = plan.play(plan.scenario("4G", "4G", "4G", limit="10G"), starts)
    assert list(played.evictions.kinds)[-1] == 1
    assert plan.holders(played, 500.0, kind=0) == [0]


def test_a_model_with_one_copy_is_on_one_node(plan: Any) -> None:
    model = Model(name="a", size="1G", copies=1)
    played = plan.play(plan.scenario(model, nodes=4), plan.starts((100, 0)))
    assert len(played.holdings.nodes) == 1


def test_a_copy_moves_to_where_it_is_needed_once_it_is_whole_there(plan: Any) -> None:
    scenario = plan.scenario(Model(name="a", size="1G", copies=1), nodes=2)
    (old,) = plan.holders(plan.play(scenario, plan.starts()), 50.0)
    played = plan.play(scenario, plan.starts((100, 0, 1 - old)))
    moved = 100 + plan.fetch_seconds + 1.0
    assert plan.holders(played, moved - 0.01) == [old]
    assert plan.holders(played, moved + 0.01) == [1 - old]
    assert len(played.evictions.seconds) == 0


def test_a_release_fetches_the_new_version_and_drops_the_old_one(plan: Any) -> None:
    starts = plan.starts((300, 0), replacements=[Replacement(seconds=200.0, model=0)])
    played = plan.play(plan.scenario("1G"), starts)
    assert list(played.kind_models) == [0, 0]
    assert list(played.holdings.end_seconds) == [200.0, 3600.0]
    assert played.holdings.begin_seconds[1] == pytest.approx(200 + plan.fetch_seconds + 1.0, abs=CLOSE)
    assert (list(played.starts.kinds), list(played.starts.hits)) == ([1], [True])


def test_an_old_version_in_use_goes_with_its_last_pod(plan: Any) -> None:
    starts = plan.starts((100, 0), lifetime=500.0, replacements=[Replacement(seconds=200.0, model=0)])
    played = plan.play(plan.scenario("1G"), starts)
    ended = 100 + plan.start_seconds + 1.0 + 500.0
    assert played.holdings.end_seconds[0] == pytest.approx(ended, abs=CLOSE)
    assert plan.holders(played, 300.0, kind=1) == [0]


def test_an_old_version_that_goes_is_no_eviction(plan: Any) -> None:
    starts = plan.starts(replacements=[Replacement(seconds=200.0, model=0)])
    assert len(plan.play(plan.scenario("1G"), starts).evictions.seconds) == 0


def test_what_has_moved_when_the_time_is_over_counts(plan: Any) -> None:
    played = plan.play(plan.scenario("100G"), plan.starts(duration=50.0))
    assert played.bytes_fetched == pytest.approx((50.0 - plan.fetch_seconds) * 1e9)
    assert len(played.holdings.nodes) == 0


def test_a_model_larger_than_the_limit_is_never_fetched(plan: Any) -> None:
    played = plan.play(plan.scenario("20G", limit="10G"), plan.starts((100, 0)))
    assert played.bytes_fetched == 0
    assert np.isnan(played.starts.ready_seconds).all()


BUSY = Traffic(
    starts_per_hour=120,
    zipf=0.8,
    lifetime="5m",
    bursts=Bursts(starts=3, over="10m"),
    releases=(Release(at="1h", over="1h"),),
)


def _busy(plan: Any, policy: str, **fields: Any) -> Any:
    """Twelve models of several sizes, of which a node can hold a third; one is pinned, others have two copies."""
    models = [
        Model(name=f"m{number}", size=f"{2 + number % 4}G", pinned=number == 5, copies=2 if number % 3 == 1 else None)
        for number in range(12)
    ]
    return plan.scenario(*models, nodes=3, limit="14G", policy=policy, duration="3h", traffic=BUSY, **fields)


@pytest.mark.parametrize("policy", ["LRU", "GreedyDualSize", "LFU", "LRFU"])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_node_ever_holds_more_than_its_limit(plan: Any, policy: str, seed: int) -> None:
    scenario = _busy(plan, policy)
    played = plan.play(scenario, draw_starts(scenario, BUSY, seed))
    assert len(played.evictions.seconds) > 20
    for node in range(3):
        assert plan.most_held_bytes(played, node) <= 14_000_000_000


@pytest.mark.parametrize("gpus", [None, 3])
def test_the_same_inputs_are_replayed_alike(plan: Any, gpus: int | None) -> None:
    scenario = _busy(plan, "LFU", gpus=gpus)
    one, other = (plan.play(scenario, draw_starts(scenario, BUSY, 1)) for _ in range(2))
    for table in ("starts", "fetches", "evictions", "holdings"):
        first, second = getattr(one, table), getattr(other, table)
        for field in msgspec.structs.fields(first):
            np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


def test_a_start_that_hit_was_on_a_node_that_held_it(plan: Any) -> None:
    scenario = _busy(plan, "LRU")
    played = plan.play(scenario, draw_starts(scenario, BUSY, 1))
    rows = played.starts
    hits = np.flatnonzero(rows.hits)
    assert len(hits) > 20
    for row in hits:
        assert int(rows.nodes[row]) in plan.holders(played, float(rows.served_seconds[row]), int(rows.kinds[row]))


def test_what_was_held_had_been_fetched_whole(plan: Any) -> None:
    scenario = _busy(plan, "LRU")
    played = plan.play(scenario, draw_starts(scenario, BUSY, 1))
    for number, size in enumerate(played.kind_bytes):
        arrivals = int((played.holdings.kinds == number).sum())
        moved = float(played.fetches.moved_bytes[played.fetches.kinds == number].sum())
        assert moved >= arrivals * size - 1.0


def test_whoever_watches_is_told_how_far_it_is(plan: Any) -> None:
    shares: list[float] = []
    make_replay(plan.scenario("1G"), plan.starts((100, 0))).run(shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_pods_download_goes_first_and_the_other_goes_on_later(plan: Any) -> None:
    played = plan.play(plan.scenario("20G", "30G", slots=1), plan.starts((10, 1)))
    fetches = played.fetches
    assert list(fetches.kinds) == [0, 1, 0]
    assert fetches.end_seconds[0] == pytest.approx(10.0)
    assert fetches.moved_bytes[[0, 2]].sum() == pytest.approx(20e9)
    assert waits(played) == pytest.approx([plan.fetch_seconds + 30.0 + 30.0], abs=CLOSE)


def test_what_is_given_up_for_a_pod_makes_room_at_once(plan: Any) -> None:
    played = plan.play(plan.scenario("6G", "6G", limit="10G"), plan.starts((1, 1)))
    assert played.starts.served_seconds[0] == pytest.approx(1.0 + plan.fetch_seconds + 6.0, abs=1.0)


def test_a_pod_that_waits_for_an_old_version_gets_the_new_one(plan: Any) -> None:
    starts = plan.starts((1, 0), replacements=[Replacement(seconds=5.0, model=0)])
    played = plan.play(plan.scenario("10G"), starts)
    assert list(played.starts.kinds) == [1]
    assert played.starts.served_seconds[0] == pytest.approx(5.0 + plan.fetch_seconds + 10.0, abs=0.1)


def test_a_pod_that_waits_for_a_gpu_takes_the_version_of_the_day(plan: Any) -> None:
    starts = plan.starts((100, 0), (110, 0), lifetime=100.0, replacements=[Replacement(seconds=150.0, model=0)])
    played = plan.play(plan.scenario("1G", gpus=1), starts)
    assert list(played.starts.kinds) == [0, 1]
    assert not np.isnan(played.starts.ready_seconds).any()


def test_a_release_while_its_model_is_on_the_way_and_no_slot_is_free(plan: Any) -> None:
    starts = plan.starts((1, 0), replacements=[Replacement(seconds=5.0, model=0)])
    played = plan.play(plan.scenario("20G", slots=1), starts)
    assert played.starts.served_seconds[0] == pytest.approx(5.0 + plan.fetch_seconds + 20.0, abs=0.1)


def test_pods_that_do_not_fit_together_are_served_one_after_the_other(plan: Any) -> None:
    starts = plan.starts(*((10.0 * number, number - 1) for number in range(1, 6)), lifetime=1.0)
    played = plan.play(plan.scenario(*["15G"] * 5, limit="20G", slots=4), starts)
    assert list(played.fetches.moved_bytes[played.fetches.demanded]) == pytest.approx([15e9] * 5)
    assert played.starts.served_seconds[0] == played.starts.served_seconds.min()
