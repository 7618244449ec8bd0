"""Grids, searches, replications: what is replayed, and what is made of it."""

from __future__ import annotations

import msgspec
import pytest

from cachecore.errors import InvalidInput
from cachesim.planning.answering import Asked, answer
from cachesim.planning.finding import search_range
from cachesim.planning.outcome import PlanOutcome
from cachesim.planning.pace import refuse_hours
from cachesim.planning.parameters import parse_vary
from cachesim.planning.prices import parse_prices
from cachesim.planning.question import Question
from cachesim.planning.slo import parse_slo
from cachesim.planning.study import Study
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, ObjectStorage, Scenario, Traffic

SIZES_GIB = (4, 2, 6, 3, 8, 1)


def question(**fields: object) -> Question:
    scenario = Scenario(
        name="small",
        description="",
        duration="2d",
        nodes=Nodes(count=2, disk="20Gi", network="10Gbps"),
        group=NodeGroup(storage_limit="10Gi"),
        models=tuple(Model(name=f"model-{number}", size=f"{size}Gi") for number, size in enumerate(SIZES_GIB, 1)),
        traffic=Traffic(starts_per_hour=20, zipf=0.5, lifetime="4m"),
        storage=ObjectStorage(bandwidth="10Gbps"),
    )
    asked = Question(scenario=scenario, seed=1, replications_max=1)
    return msgspec.structs.replace(asked, **fields)


def plan(*vary: str, find: str = "", **fields: object) -> PlanOutcome:
    return answer(Asked(question=question(**fields), varied=parse_vary(vary), find=find), jobs=1)


def test_a_grid_has_a_point_for_each_combination_in_order() -> None:
    outcome = plan("disk=20Gi,40Gi", "policy=LRU,LRFU")
    assert [point.parameters for point in outcome.points] == [
        {"disk": disk, "policy": policy} for disk in ("20Gi", "40Gi") for policy in ("LRU", "LRFU")
    ]


def test_the_same_seed_gives_the_same_outcome() -> None:
    assert plan("disk=20Gi,40Gi") == plan("disk=20Gi,40Gi")


def test_another_seed_gives_another_outcome() -> None:
    assert plan().points != plan(seed=2).points


def test_processes_change_nothing_but_the_time() -> None:
    asked = Asked(question=question(), varied=parse_vary(["disk=20Gi,40Gi"]))
    assert answer(asked, jobs=2) == answer(asked, jobs=1)


def test_all_points_replay_the_same_starts() -> None:
    starts = [point.starts for point in plan("disk=20Gi,40Gi", "policy=LRU,LFU").points]
    assert len(set(starts)) == 1


def test_more_disk_means_more_hits_and_no_policy_beats_the_bound() -> None:
    outcome = plan("disk=16Gi,24Gi,48Gi")
    hits = [point.hit_ratio for point in outcome.points]
    assert hits == sorted(hits)
    assert hits[0] < hits[-1]
    assert all(point.ratio_to_bound is not None and point.ratio_to_bound >= 1.0 for point in outcome.points)


def test_find_agrees_with_the_grid() -> None:
    objectives = parse_slo(["hit_ratio>=80%"])
    found = plan(find="disk", objectives=objectives)
    least = min(int(point.parameters["disk"][:-2]) for point in found.points if point.meets)
    assert found.recommendation.parameters == {"disk": f"{least}Gi"}
    assert found.notes == (f"the least disk that meets every objective: disk={least}Gi",)
    grid = plan(f"disk={least - 2}Gi,{least - 1}Gi,{least}Gi,{least + 2}Gi", objectives=objectives)
    assert [point.meets for point in grid.points][-2:] == [True, True]
    assert not grid.points[0].meets


def test_find_for_each_value_of_what_is_varied_beside_it() -> None:
    found = plan("policy=LRU,LRFU", find="disk", objectives=parse_slo(["hit_ratio>=80%"]))
    assert {point.parameters["policy"] for point in found.points if point.meets} == {"LRU", "LRFU"}


def test_searches_of_two_policies_are_compared_where_they_met() -> None:
    searched = plan("policy=LRU,LRFU", find="disk", objectives=parse_slo(["hit_ratio>=80%"]), replications_max=4)
    assert {comparison.second for comparison in searched.comparisons} == {"LRFU"}


def test_an_impossible_objective_names_the_nearest_and_its_price() -> None:
    outcome = plan(find="disk", objectives=parse_slo(["cold_start_p99<100ms"]), prices=parse_prices("disk=0.1"))
    assert not any(point.meets for point in outcome.points)
    assert outcome.recommendation.why.startswith(
        "Nothing that was tried meets cold_start_p99<100ms: the nearest is disk="
    )
    assert " s, at " in outcome.recommendation.why


def test_a_search_for_less_cost_looks_in_between() -> None:
    prices = parse_prices("disk=1,egress=1")
    most = plan(find="disk", objectives=parse_slo(["cost<1"]), prices=prices).points
    costs = [point.cost.total for point in most if point.cost]
    found = plan(find="disk", objectives=parse_slo([f"cost<={min(costs):.3f}"]), prices=prices)
    assert any(point.meets for point in found.points) or len(found.points) > 2


def test_find_without_an_objective_is_refused() -> None:
    with pytest.raises(InvalidInput, match="say with --slo what has to hold"):
        plan(find="disk")


def test_what_has_no_more_or_less_can_not_be_searched() -> None:
    with pytest.raises(InvalidInput, match="--find policy: no more or less of it"):
        search_range("policy", question().scenario)


def test_replications_go_on_until_the_interval_is_tight() -> None:
    loose = plan(replications_max=4, precision=10.0)
    tight = plan(replications_max=4, precision=1e-9)
    assert loose.points[0].replications == 1
    assert tight.points[0].replications == 4
    assert tight.requests > loose.requests


def test_policies_are_compared_on_the_same_starts() -> None:
    comparison = plan("policy=LRU,LRFU", replications_max=3, precision=1e-9).comparisons[0]
    assert (comparison.first, comparison.second) == ("LRU", "LRFU")
    assert comparison.difference.low is not None


def test_a_policy_can_not_be_told_apart_from_itself_by_another_name() -> None:
    study = Study(question(), jobs=1)
    points = study.points([{"policy": "LRU"}, {"policy": "LFU"}])
    # With so much disk that nothing is ever evicted.
    roomy = plan("policy=LRU,LFU", "disk=200Gi")
    assert points[0].bytes_fetched != points[1].bytes_fetched
    assert all(not one.apart for one in roomy.comparisons)
    assert roomy.recommendation.parameters["policy"] == "LRU"


def test_nothing_that_starts_is_no_plan() -> None:
    scenario = question().scenario
    silent = msgspec.structs.replace(scenario, duration="1s")
    with pytest.raises(InvalidInput, match="0 requests"):
        plan(scenario=silent)


def test_a_value_that_can_not_be_is_refused_before_anything_is_replayed() -> None:
    with pytest.raises(InvalidInput, match="policy=FIFO: use one of"):
        plan("policy=LRU,FIFO")


def test_a_plan_of_hours_says_how_long() -> None:
    scenario = question().scenario
    assert scenario.traffic is not None
    busy = msgspec.structs.replace(
        scenario,
        duration="60d",
        nodes=msgspec.structs.replace(scenario.nodes, count=4),
        traffic=msgspec.structs.replace(scenario.traffic, starts_per_hour=250.0),
    )
    asked = Asked(question=question(scenario=busy), varied=parse_vary(["disk=16Gi,20Gi,24Gi,28Gi"]))
    with pytest.raises(InvalidInput, match=r"4 points with 3\d\d,\d\d\d starts each would take about .* --yes"):
        refuse_hours(asked, jobs=1, ask_above_seconds=0.0)


def test_a_small_plan_asks_nobody() -> None:
    refuse_hours(Asked(question=question()), jobs=1, ask_above_seconds=0.0)
