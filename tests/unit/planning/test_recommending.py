"""Which point is recommended, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from cachesim.planning.outcome import ColdStartSeconds, Comparison, Cost, Interval, Point, Recommendation
from cachesim.planning.parameters import Parameters, apply
from cachesim.planning.recommending import recommend
from cachesim.planning.slo import parse_slo
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario

GIB = 2.0**30
SCENARIO = Scenario(
    name="small",
    description="two nodes",
    duration="1h",
    nodes=Nodes(count=2, disk="1Ti"),
    group=NodeGroup(storage_limit="800Gi"),
    models=(Model(name="a", size="1Gi"),),
)


def point(parameters: Parameters, p99: float = 10.0, *, gib: float = 100.0, cost: float | None = None) -> Point:
    return Point(
        parameters=parameters,
        cold_start_seconds=ColdStartSeconds(p50=1.0, p95=2.0, p99=p99),
        hit_ratio=0.9,
        byte_hit_ratio=0.8,
        bytes_fetched=gib * GIB,
        prefetched_bytes=0.0,
        bound_bytes=50 * GIB,
        ratio_to_bound=gib / 50.0,
        misses=10.0,
        bound_misses=8.0,
        miss_ratio_to_bound=1.25,
        evictions=5.0,
        unready=0.0,
        starts=100.0,
        replications=3,
        cost=None if cost is None else Cost(total=cost),
    )


def ask(points: Sequence[Point], *slo: str, comparisons: Sequence[Comparison] = ()) -> Recommendation:
    """The recommendation, where each point has been held against the objectives."""
    objectives = parse_slo(slo)
    if objectives:
        met = [all(one.holds(found) for one in objectives) for found in points]
        points = [msgspec.structs.replace(one, meets=meets) for one, meets in zip(points, met, strict=True)]
    return recommend(points, comparisons, objectives, lambda parameters: apply(SCENARIO, parameters))


def against(second: str, *, apart: bool, first: str = "LRU", **parameters: str) -> Comparison:
    return Comparison(
        parameters=parameters,
        first=first,
        second=second,
        metric="bytes_fetched",
        difference=Interval(value=-0.05),
        apart=apart,
    )


def test_the_least_disk_that_meets_the_objectives_is_taken() -> None:
    points = [point({"disk": "1Ti"}, 40.0), point({"disk": "2Ti"}, 20.0), point({"disk": "4Ti"}, 5.0)]
    found = ask(points, "cold_start_p99<30s")
    assert found.parameters == {"disk": "2Ti"}
    assert found.why.startswith("disk=2Ti meets cold_start_p99<30s: p99 cold start 20.0 s, hit ratio 90.0%, ")


def test_disks_count_over_all_nodes() -> None:
    points = [point({"nodes": "8", "disk": "1Ti"}), point({"nodes": "2", "disk": "3Ti"})]
    assert ask(points, "cold_start_p99<30s").parameters == {"nodes": "2", "disk": "3Ti"}


def test_with_prices_the_cheapest_that_meets_them_is_taken() -> None:
    points = [
        point({"disk": "1Ti"}, cost=900.0),
        point({"disk": "2Ti"}, cost=700.0),
        point({"disk": "4Ti"}, cost=800.0),
    ]
    found = ask(points, "cold_start_p99<30s")
    assert found.parameters == {"disk": "2Ti"}
    assert found.why.endswith("at 700.")


def test_a_cheaper_one_that_does_not_meet_them_is_not_taken() -> None:
    points = [point({"disk": "1Ti"}, 60.0, cost=100.0), point({"disk": "2Ti"}, 20.0, cost=700.0)]
    assert ask(points, "cold_start_p99<30s").parameters == {"disk": "2Ti"}


def test_without_objectives_prices_decide() -> None:
    found = ask([point({"disk": "1Ti"}, 60.0, cost=100.0), point({"disk": "2Ti"}, 20.0, cost=700.0)])
    assert found.parameters == {"disk": "1Ti"}
    assert found.why.startswith("disk=1Ti costs least: ")


def test_of_equal_disks_the_one_that_fetches_least_is_taken() -> None:
    points = [point({"policy": "LRU"}, gib=100.0), point({"policy": "LFU"}, gib=60.0)]
    assert ask(points, "cold_start_p99<30s").parameters == {"policy": "LFU"}


def test_a_policy_that_can_not_be_told_from_lru_gives_way_to_it() -> None:
    points = [point({"policy": "LRU"}, gib=100.0), point({"policy": "LFU"}, gib=95.0)]
    found = ask(points, "cold_start_p99<30s", comparisons=[against("LFU", apart=False)])
    assert found.parameters == {"policy": "LRU"}
    assert found.why.endswith("LFU can't be told apart from it.")
    # What is said is said of the one that is recommended.
    assert "100.0 GiB fetched, 2.00 x of the best possible" in found.why


def test_a_policy_that_is_better_for_certain_is_taken() -> None:
    points = [point({"policy": "LRU"}, gib=100.0), point({"policy": "LFU"}, gib=60.0)]
    found = ask(points, comparisons=[against("LFU", apart=True)])
    assert found.parameters == {"policy": "LFU"}
    assert "told apart" not in found.why


def test_a_policy_is_compared_where_all_else_is_equal() -> None:
    points = [
        point({"disk": disk, "policy": policy}, gib=gib)
        for disk, policy, gib in [
            ("1Ti", "LRU", 100.0),
            ("1Ti", "LFU", 60.0),
            ("2Ti", "LRU", 50.0),
            ("2Ti", "LFU", 50.0),
        ]
    ]
    comparisons = [against("LFU", apart=True, disk="1Ti"), against("LFU", apart=False, disk="2Ti")]
    assert ask(points, comparisons=comparisons).parameters == {"disk": "1Ti", "policy": "LFU"}


def test_lru_is_not_taken_where_it_misses_the_objectives() -> None:
    points = [point({"policy": "LRU"}, 31.0), point({"policy": "LFU"}, 29.0)]
    found = ask(points, "cold_start_p99<30s", comparisons=[against("LFU", apart=False)])
    assert found.parameters == {"policy": "LFU"}


def test_without_objectives_the_least_disk_that_is_about_as_fast_is_taken() -> None:
    found = ask([point({"disk": "1Ti"}, 20.0), point({"disk": "2Ti"}, 10.9), point({"disk": "4Ti"}, 10.0)])
    assert found.parameters == {"disk": "2Ti"}
    assert "has the least disk of those whose p99 cold start is within 10 % of the best" in found.why


def test_without_another_disk_the_one_that_fetches_least_is_taken() -> None:
    found = ask([point({"policy": "LRU"}, gib=100.0), point({"policy": "LFU"}, gib=60.0)])
    assert found.parameters == {"policy": "LFU"}
    assert found.why.startswith("policy=LFU fetches least of those whose p99 cold start")


def test_where_nothing_meets_them_the_nearest_is_told_with_what_it_has() -> None:
    points = [point({"disk": "1Ti"}, 60.0, cost=100.0), point({"disk": "2Ti"}, 40.0, cost=700.0)]
    found = ask(points, "cold_start_p99<30s", "hit_ratio>=80%")
    assert found.parameters == {"disk": "2Ti"}
    assert found.why == (
        "Nothing that was tried meets cold_start_p99<30s: the nearest is disk=2Ti, with cold_start_p99 40.0 s, at 700."
    )


def test_the_nearest_is_the_one_that_misses_none_by_much() -> None:
    far, near = point({"disk": "1Ti"}, 60.0), point({"disk": "2Ti"}, 36.0, gib=120.0)
    found = ask([far, near], "cold_start_p99<30s", "bytes_fetched<100Gi")
    assert found.parameters == {"disk": "2Ti"}
    assert "meets cold_start_p99<30s and bytes_fetched<100Gi: " in found.why
    assert found.why.endswith("with cold_start_p99 36.0 s and bytes_fetched 120.0 GiB.")


@pytest.mark.parametrize("slo", [(), ("cold_start_p99<30s",)], ids=["without", "with"])
def test_a_single_point_is_the_scenario_as_it_is(slo: Any) -> None:
    found = ask([point({}, 12.0)], *slo)
    assert found.parameters == {}
    assert found.why == (
        "The scenario as it is: p99 cold start 12.0 s, hit ratio 90.0%, 100.0 GiB fetched, 2.00 x of the best possible."
    )


def test_a_single_point_that_misses_them_is_told_as_it_is() -> None:
    found = ask([point({}, 40.0)], "cold_start_p99<30s")
    assert "the nearest is as it is, with cold_start_p99 40.0 s." in found.why


def test_where_nothing_had_to_be_fetched_there_is_no_best_to_tell() -> None:
    found = ask([msgspec.structs.replace(point({}, gib=0.0), ratio_to_bound=None)])
    assert "best possible" not in found.why
