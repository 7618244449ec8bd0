"""What a plan has to meet, as people write it."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore.errors import InvalidInput
from cachesim.planning.outcome import ColdStartSeconds, Cost, Point
from cachesim.planning.slo import METRICS, Objective, parse_slo


def point(**fields: Any) -> Point:
    """p50 2 s, p95 10 s, p99 30 s; 90 % hits, 80 % of the bytes; 3 GiB fetched, of which 2 were needed."""
    return Point(
        **{
            "parameters": {},
            "cold_start_seconds": ColdStartSeconds(p50=2.0, p95=10.0, p99=30.0),
            "hit_ratio": 0.9,
            "byte_hit_ratio": 0.8,
            "bytes_fetched": 3.0 * 2**30,
            "prefetched_bytes": 0.0,
            "bound_bytes": 2.0 * 2**30,
            "ratio_to_bound": 1.5,
            "misses": 10.0,
            "bound_misses": 8.0,
            "miss_ratio_to_bound": 1.25,
            "evictions": 5.0,
            "unready": 0.0,
            "starts": 100.0,
            "replications": 3,
            "cost": Cost(total=1200.0),
            **fields,
        }
    )


def objective(text: str) -> Objective:
    (made,) = parse_slo([text])
    return made


@pytest.mark.parametrize(
    "text, limit",
    [
        ("cold_start_p50<500ms", 0.5),
        ("cold_start_p95 <= 2m", 120.0),
        ("cold_start_p99<30s", 30.0),
        ("hit_ratio>=99%", 0.99),
        ("hit_ratio>=0.99", 0.99),
        ("byte_hit_ratio>50%", 0.5),
        ("bytes_fetched<1Ti", 2.0**40),
        ("egress<500G", 5e11),
        ("ratio_to_bound<1.2", 1.2),
        ("cost<10000", 10_000.0),
    ],
)
def test_a_limit_is_in_the_unit_of_its_metric(text: str, limit: float) -> None:
    assert objective(text).limit == pytest.approx(limit)
    assert objective(text).text == text


@pytest.mark.parametrize(
    "text, holds",
    [
        ("cold_start_p50<2s", False),
        ("cold_start_p50<=2s", True),
        ("cold_start_p95<11s", True),
        ("cold_start_p99<29s", False),
        ("hit_ratio>90%", False),
        ("hit_ratio>=90%", True),
        ("byte_hit_ratio>=81%", False),
        ("bytes_fetched<=3Gi", True),
        ("egress<3Gi", False),
        ("ratio_to_bound<=1.5", True),
        ("cost>1200", False),
        ("cost<1201", True),
    ],
)
def test_an_objective_holds_or_not(text: str, holds: bool) -> None:
    assert objective(text).holds(point()) is holds


def test_several_are_parsed_in_their_order() -> None:
    assert [one.metric for one in parse_slo(["cost<1", "hit_ratio>0.5"])] == ["cost", "hit_ratio"]


def test_where_nothing_had_to_be_fetched_nothing_is_better() -> None:
    assert objective("ratio_to_bound<=1").holds(point(ratio_to_bound=None))


def test_what_holds_falls_short_of_nothing() -> None:
    assert objective("cold_start_p99<31s").shortfall(point()) == 0.0


@pytest.mark.parametrize("text, shortfall", [("cold_start_p99<20s", 0.5), ("hit_ratio>=100%", 0.1), ("cost<1200", 0.0)])
def test_a_shortfall_is_relative_to_the_limit(text: str, shortfall: float) -> None:
    assert objective(text).shortfall(point()) == pytest.approx(shortfall)


def test_a_limit_of_zero_has_a_shortfall_too() -> None:
    assert objective("cost<0").shortfall(point()) == pytest.approx(1200.0)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("cold_start_p99<1s", "cold_start_p99 30.0 s"),
        ("hit_ratio>0.5", "hit_ratio 90.00%"),
        ("bytes_fetched<1Gi", "bytes_fetched 3.0 GiB"),
        ("ratio_to_bound<2", "ratio_to_bound 1.50"),
        ("cost<1", "cost 1,200"),
    ],
)
def test_a_value_is_shown_with_its_unit(text: str, shown: str) -> None:
    assert objective(text).shown(point()) == shown


@pytest.mark.parametrize("text", ["", "fast", "hit_ratio", "hit_ratio=1", "hit_ratio>", "hit_ratio > 1 2"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="write a metric, < or >, and a value: cold_start_p99<30s"):
        parse_slo([text])


def test_an_unknown_metric_is_told_all_that_there_are() -> None:
    with pytest.raises(InvalidInput, match=f"no metric 'p99'; use one of {', '.join(METRICS)}"):
        parse_slo(["p99<1s"])


@pytest.mark.parametrize(
    "text", ["cold_start_p99<30", "hit_ratio>=150%", "hit_ratio>=high", "egress<lots", "cost<10s", "ratio_to_bound<x"]
)
def test_a_value_of_another_kind_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no value of") as told:
        parse_slo([text])
    assert text in str(told.value)
    assert "\n" not in str(told.value)


def test_an_objective_on_cost_needs_prices() -> None:
    with pytest.raises(InvalidInput, match="--slo on cost needs prices"):
        objective("cost<1").holds(point(cost=None))
