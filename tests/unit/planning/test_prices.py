"""What a plan costs, from prices as people write them."""

from __future__ import annotations

import pytest

from cachecore.errors import InvalidInput
from cachesim.planning.prices import UNITS, cost_of, parse_prices
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario

GIB = 2**30


def cost(**prices: float) -> dict[str, float]:
    """Of 15 days on two nodes with 100 GiB each: 50 GiB are fetched, GPUs wait two hours in all."""
    scenario = Scenario(
        name="small",
        description="two nodes",
        duration="15d",
        nodes=Nodes(count=2, disk="100Gi"),
        group=NodeGroup(storage_limit="80Gi"),
        models=(Model(name="a", size="1Gi"),),
    )
    found = cost_of(prices, scenario, fetched_bytes=50.0 * GIB, gpu_wait_seconds=7200.0)
    parts = {"disk": found.disk, "egress": found.egress, "gpu": found.gpu, "nodes": found.nodes}
    assert found.total == pytest.approx(sum(parts.values()))
    return {name: value for name, value in parts.items() if value}


def test_prices_are_given_by_name() -> None:
    assert parse_prices("disk=0.08, egress=0.02,gpu_hour=2") == {"disk": 0.08, "egress": 0.02, "gpu_hour": 2.0}


def test_something_may_cost_nothing() -> None:
    assert parse_prices("egress=0") == {"egress": 0.0}


@pytest.mark.parametrize("text", ["", " , "])
def test_at_least_one_price_is_wanted(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"give at least one, such as disk=0\.08"):
        parse_prices(text)


def test_an_unknown_price_is_told_all_that_there_are() -> None:
    with pytest.raises(InvalidInput, match="--price tape=1: no price 'tape'") as told:
        parse_prices("disk=1,tape=1")
    assert all(f"{name} {words}" in str(told.value) for name, words in UNITS.items())


@pytest.mark.parametrize("value", ["", "-1", "much", "1e3", "nan", "0,08"])
def test_a_price_is_a_number(value: str) -> None:
    with pytest.raises(InvalidInput, match="--price "):
        parse_prices(f"disk={value}")


def test_a_disk_is_paid_by_the_month() -> None:
    assert cost(disk=0.1) == {"disk": pytest.approx(0.1 * 200 / 2)}


def test_what_is_fetched_is_paid_by_the_gib() -> None:
    assert cost(egress=0.02) == {"egress": pytest.approx(1.0)}


def test_the_time_that_gpus_wait_is_paid_by_the_hour() -> None:
    assert cost(gpu_hour=2.5) == {"gpu": pytest.approx(5.0)}


def test_nodes_are_paid_by_the_hour() -> None:
    assert cost(node_hour=1.5) == {"nodes": pytest.approx(1.5 * 2 * 15 * 24)}


def test_the_total_is_of_all() -> None:
    assert cost(disk=0.1, egress=0.02, gpu_hour=2.5, node_hour=1.5) == {
        "disk": pytest.approx(10.0),
        "egress": pytest.approx(1.0),
        "gpu": pytest.approx(5.0),
        "nodes": pytest.approx(1080.0),
    }
