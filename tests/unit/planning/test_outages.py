"""Faults in a plan: what goes on, what has to be done again, and when."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from cachecore.errors import InvalidInput
from cachesim.faults.kinds import KINDS, Scope
from cachesim.faults.plan import Fault
from cachesim.planning.outages import PLANNED, POD_EVICTION_SECONDS, make_replay, refuse_unplanned
from cachesim.planning.played import Played
from cachesim.planning.traffic import draw_starts
from cachesim.simulation.scenario import Traffic

CLOSE = 1e-6


def lost(what: Any = "node-lost", *, when: str = "200s", where: str = "node-1", **fields: Any) -> Fault:
    return Fault(when=when, where=where, what=what, **{"lasting": "10m", **fields})


def arrivals(played: Played) -> list[float]:
    return [float(seconds) for seconds in played.holdings.begin_seconds]


def test_pods_of_a_lost_node_are_made_anew_elsewhere(plan: Any) -> None:
    played = plan.play(plan.scenario("1G", nodes=2), plan.starts((100, 0, 0), lifetime=1000.0), lost())
    assert list(played.starts.created_seconds) == [100.0, 200.0 + POD_EVICTION_SECONDS]
    assert list(played.starts.nodes) == [0, 1]
    assert list(played.starts.hits) == [True, True]


def test_a_node_that_is_back_soon_is_waited_for(plan: Any) -> None:
    starts = plan.starts((100, 0, 0), lifetime=1000.0)
    played = plan.play(plan.scenario("1G", nodes=2), starts, lost(lasting="2m"))
    assert list(played.starts.created_seconds) == [100.0, 320.0]


def test_pods_of_a_deleted_node_are_made_anew_at_once(plan: Any) -> None:
    starts = plan.starts((100, 0, 0), lifetime=1000.0)
    played = plan.play(plan.scenario("1G", nodes=2), starts, lost("node-deleted"))
    assert list(played.starts.created_seconds) == [100.0, 200.0]
    assert list(played.starts.nodes) == [0, 1]


def test_a_pod_made_anew_runs_for_the_rest_of_its_time(plan: Any) -> None:
    scenario = plan.scenario("1G", nodes=2, gpus=1)
    starts = plan.starts((100, 0, 0), (250, 0, 1), lifetime=1000.0)
    ready = plan.play(scenario, starts, lost("node-deleted", lasting="1h")).starts.ready_seconds
    # It has run from 101.6 to 200, starts again at 201.6, and whoever waits for its GPU gets it at its end.
    assert ready[2] == pytest.approx(201.6 + 1000.0 - 98.4 + plan.start_seconds + 1.0, abs=CLOSE)


def test_without_another_node_pods_wait_for_the_lost_one(plan: Any) -> None:
    starts = plan.starts((100, 0), (250, 0), lifetime=1000.0)
    played = plan.play(plan.scenario("1G"), starts, lost("node-deleted", lasting="10m"))
    ready = 800.0 + plan.start_seconds + 1.0
    assert list(played.starts.ready_seconds[1:]) == pytest.approx([ready, ready], abs=CLOSE)


def test_a_download_goes_on_where_it_was_when_the_disk_is_kept(plan: Any) -> None:
    played = plan.play(plan.scenario("10G"), plan.starts(), lost(when="5s", lasting="1m"))
    assert arrivals(played) == pytest.approx([65 + plan.fetch_seconds + 10.0 - 4.2], abs=CLOSE)
    assert played.bytes_fetched == pytest.approx(10e9)


@pytest.mark.parametrize("disk", ["wiped", "swapped"])
def test_a_download_begins_anew_when_the_disk_is_lost(plan: Any, disk: str) -> None:
    played = plan.play(plan.scenario("10G"), plan.starts(), lost(when="5s", lasting="1m", disk=disk))
    assert arrivals(played) == pytest.approx([65 + plan.fetch_seconds + 10.0], abs=CLOSE)
    assert played.bytes_fetched == pytest.approx(14.2e9)


def test_what_a_node_holds_outlives_its_fault(plan: Any) -> None:
    played = plan.play(plan.scenario("1G"), plan.starts(), lost())
    assert len(arrivals(played)) == 1


def test_a_lost_disk_is_filled_anew(plan: Any) -> None:
    played = plan.play(plan.scenario("1G"), plan.starts(), lost(disk="wiped"))
    assert played.holdings.end_seconds[0] == 200.0
    assert arrivals(played)[1] == pytest.approx(800 + plan.fetch_seconds + 1.0, abs=CLOSE)
    assert len(played.evictions.seconds) == 0


def test_a_fault_of_a_zone_strikes_each_of_its_nodes(plan: Any) -> None:
    scenario = plan.scenario("1G", nodes=4, zones=2)
    starts = plan.starts(*[(100, 0, node) for node in range(4)], lifetime=1000.0)
    played = plan.play(scenario, starts, lost("node-deleted", where="zone-1"))
    assert list(played.starts.created_seconds[4:]) == [200.0, 200.0]
    assert set(played.starts.nodes[4:]) == {1, 3}


def test_a_slow_store_brings_its_share(plan: Any) -> None:
    fault = Fault(when="2.8s", what="storage-slow", lasting="20s", share=0.1)
    played = plan.play(plan.scenario("10G"), plan.starts(), fault)
    assert arrivals(played) == pytest.approx([2.8 + 20.0 + 6.0], abs=CLOSE)


@pytest.mark.parametrize(
    "what, moved_gb", [("storage-down", 0.0), ("storage-stalled", 0.0), ("storage-throttled", 5.0)]
)
def test_a_store_that_fails_delays_downloads(plan: Any, what: Any, moved_gb: float) -> None:
    fault = Fault(when="2.8s", what=what, lasting="10s")
    played = plan.play(plan.scenario("10G"), plan.starts(), fault)
    assert arrivals(played) == pytest.approx([12.8 + 8.0 - moved_gb], abs=CLOSE)


def test_hits_need_no_store(plan: Any) -> None:
    played = plan.play(plan.scenario("1G"), plan.starts((100, 0)), Fault(when="50s", what="storage-down", lasting="5m"))
    assert list(played.wait_seconds) == pytest.approx([plan.start_seconds + 1.0], abs=CLOSE)


@pytest.mark.parametrize("what", ["agent-crash", "agent-paused"])
def test_without_its_agent_a_node_downloads_nothing(plan: Any, what: Any) -> None:
    played = plan.play(plan.scenario("10G"), plan.starts(), lost(what, when="5s", lasting="1m"))
    assert arrivals(played) == pytest.approx([65 + plan.fetch_seconds + 10.0 - 4.2], abs=CLOSE)


def test_without_its_agent_hits_go_on(plan: Any) -> None:
    played = plan.play(plan.scenario("1G", "50G", slots=1), plan.starts((30, 0)), lost("agent-crash", when="5s"))
    assert list(played.starts.hits) == [True]
    assert list(played.wait_seconds) == pytest.approx([plan.start_seconds + 1.0], abs=CLOSE)


def test_a_miss_waits_for_the_agent(plan: Any) -> None:
    scenario = plan.scenario("6G", "6G", limit="10G")
    starts = plan.starts((0, 0), (300, 1), lifetime=1.0)
    played = plan.play(scenario, starts, lost("agent-crash", when="200s", lasting="10m"))
    assert played.starts.ready_seconds[1] == pytest.approx(800 + plan.fetch_seconds + 6.0 + 6.0, abs=CLOSE)


def test_a_rolling_upgrade_takes_one_agent_after_the_other(plan: Any) -> None:
    scenario = plan.scenario("20G", nodes=2, bandwidth="16Gbps")
    played = plan.play(scenario, plan.starts(), Fault(when="3s", what="rolling-upgrade", lasting="5s"))
    fetches = played.fetches
    cut = fetches.end_seconds < 10.0
    ends = {int(node): float(end) for node, end in zip(fetches.nodes[cut], fetches.end_seconds[cut], strict=True)}
    # Each lacks its agent for five seconds, and waits once more for the first byte.
    assert ends == {0: pytest.approx(3.0), 1: pytest.approx(8.0)}
    assert sorted(arrivals(played)) == pytest.approx([26.6, 26.6], abs=CLOSE)


def test_a_fault_that_plans_do_not_know_is_refused_in_a_line() -> None:
    with pytest.raises(InvalidInput, match=r"^disk-full is for localmodel simulate; a plan knows agent-") as told:
        refuse_unplanned([Fault(when="5s", where="node-1", what="disk-full")])
    assert "\n" not in str(told.value)


def test_an_occasion_is_refused_in_a_line(plan: Any) -> None:
    fault = Fault(when="1st", where="agent/node-1 rename", what="node-lost")
    with pytest.raises(InvalidInput, match="a plan has no sites, give a time") as told:
        make_replay(plan.scenario("1G"), plan.starts(), [fault])
    assert "\n" not in str(told.value)


def test_all_that_plans_know_are_taken() -> None:
    refuse_unplanned([Fault(when="5s", where="node-1", what=what) for what in PLANNED])


@pytest.mark.parametrize("where", ["node-3", "zone-1"])
def test_a_fault_of_a_node_that_is_not_there_is_left_out(plan: Any, where: str) -> None:
    scenario, starts = plan.scenario("1G", nodes=2), plan.starts((100, 0), (150, 0), lifetime=1000.0)
    without, with_it = plan.play(scenario, starts), plan.play(scenario, starts, lost(where=where, disk="wiped"))
    for field in msgspec.structs.fields(without.starts):
        np.testing.assert_array_equal(getattr(without.starts, field.name), getattr(with_it.starts, field.name))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_whatever_fails_no_node_holds_more_than_its_limit(plan: Any, seed: int) -> None:
    chance = random.Random(seed)
    faults = [
        Fault(
            when=f"{chance.uniform(0, 7000):.1f}s",
            where=f"node-{chance.randint(1, 3)}" if KINDS[what].scope is Scope.NODE else "",
            what=what,
            lasting=f"{chance.uniform(1, 900):.1f}s",
            disk=chance.choice(("kept", "wiped")),
        )
        for what in chance.choices(PLANNED, k=8)
    ]
    scenario = plan.scenario(*["2G", "5G", "8G", "11G"] * 3, nodes=3, limit="24G", duration="2h")
    played = plan.play(scenario, draw_starts(scenario, Traffic(starts_per_hour=120, zipf=0.8), seed), *faults)
    assert len(played.evictions.seconds) > 10
    for node in range(3):
        assert plan.most_held_bytes(played, node) <= 24_000_000_000


def test_whoever_waited_for_a_lost_pod_goes_on_waiting(plan: Any) -> None:
    played = plan.play(
        plan.scenario("10G", nodes=2), plan.starts((1, 0, 0)), lost("node-deleted", when="5s", where="node-1")
    )
    assert len(played.starts) == 1
    assert played.wait_seconds[0] < 25.0


def test_a_wiped_disk_has_no_part_of_a_download_from_before(plan: Any) -> None:
    first = lost(when="3s", lasting="10s")
    wiped = lost(when="16s", lasting="20s", disk="wiped")
    fetches = plan.play(plan.scenario("10G"), plan.starts((3000, 0)), first, wiped).fetches
    assert fetches.moved_bytes[-1] == pytest.approx(10e9)


def test_a_node_is_back_when_the_last_of_its_faults_is_over(plan: Any) -> None:
    played = plan.play(
        plan.scenario("1G"), plan.starts((170, 0)), lost(when="100s", lasting="100s"), lost(when="110s", lasting="20s")
    )
    assert played.starts.served_seconds[0] == pytest.approx(200.0)


def test_a_store_is_as_slow_as_the_worst_of_its_faults(plan: Any) -> None:
    down = Fault(when="3s", what="storage-down", lasting="100s")
    throttled = Fault(when="10s", what="storage-throttled", lasting="10s")
    fetches = plan.play(plan.scenario("10G"), plan.starts((3000, 0)), down, throttled).fetches
    assert fetches.end_seconds[0] == pytest.approx(plan.fetch_seconds + 10.0 + 100.0, abs=CLOSE)
