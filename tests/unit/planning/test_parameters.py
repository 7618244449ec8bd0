"""What a plan may vary, as people write it, and what it makes of a scenario."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachecore.errors import InvalidInput
from cachecore.quantity import quantity_bytes
from cachesim.planning.parameters import PARAMETERS, apply, grid, known, parse_vary
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario, Traffic

SCENARIO = Scenario(
    name="small",
    description="two nodes",
    duration="1h",
    nodes=Nodes(count=2, disk="100Gi"),
    group=NodeGroup(storage_limit="80Gi"),
    models=(Model(name="a", size="1Gi"), Model(name="b", size="2Gi", copies=1), Model(name="c", size="3Gi")),
    traffic=Traffic(starts_per_hour=10),
)


def pinned(scenario: Scenario) -> list[str]:
    return [model.name for model in scenario.models if model.pinned]


def test_a_parameter_is_given_with_its_values() -> None:
    assert parse_vary(["disk=500Gi,1Ti", "policy=LRU"]) == {"disk": ("500Gi", "1Ti"), "policy": ("LRU",)}


def test_white_space_and_repeated_values_are_left_out() -> None:
    assert parse_vary(["disk=1Ti, 2Ti,,1Ti"]) == {"disk": ("1Ti", "2Ti")}


@pytest.mark.parametrize("text", ["disk", "disk=", "disk=,", ""])
def test_without_values_it_says_how_to_write_them(text: str) -> None:
    with pytest.raises(InvalidInput, match="write a parameter and its values: --vary disk=500Gi,1Ti"):
        parse_vary([text])


def test_an_unknown_parameter_is_told_all_that_there_are() -> None:
    with pytest.raises(InvalidInput, match=f"no parameter 'size': use one of {', '.join(PARAMETERS)}"):
        parse_vary(["size=1Gi"])


def test_a_parameter_is_varied_once() -> None:
    with pytest.raises(InvalidInput, match="disk is varied already; give all its values at once"):
        parse_vary(["disk=1Ti", "disk=2Ti"])


def test_a_grid_has_every_combination_the_last_one_changing_fastest() -> None:
    assert grid({"disk": ("1Ti", "2Ti"), "nodes": ("3", "4")}) == [
        {"disk": "1Ti", "nodes": "3"},
        {"disk": "1Ti", "nodes": "4"},
        {"disk": "2Ti", "nodes": "3"},
        {"disk": "2Ti", "nodes": "4"},
    ]


def test_where_nothing_is_varied_there_is_one_point() -> None:
    assert grid({}) == [{}]
    assert apply(SCENARIO, {}) == SCENARIO


def test_a_disk_keeps_the_share_of_its_limit() -> None:
    changed = apply(SCENARIO, {"disk": "50Gi"})
    assert (changed.nodes.disk, changed.group.storage_limit) == ("50Gi", str(40 * 2**30))


@pytest.mark.parametrize(
    "parameters, section, expected",
    [
        ({"nodes": "7"}, "nodes", {"count": 7}),
        ({"gpus": "8"}, "nodes", {"gpus": 8}),
        ({"network": "25Gbps"}, "nodes", {"network": "25Gbps"}),
        ({"bandwidth": "100Gbps"}, "storage", {"bandwidth": "100Gbps"}),
        ({"policy": "LFU"}, "group", {"policy": "LFU"}),
        ({"highWatermark": "95"}, "group", {"high_watermark": 95}),
        ({"lowWatermark": "50"}, "group", {"low_watermark": 50}),
        ({"maxConcurrentDownloads": "4"}, "group", {"max_concurrent_downloads": 4}),
        ({"traffic": "2x"}, "traffic", {"starts_per_hour": 20.0}),
        ({"traffic": "0.5"}, "traffic", {"starts_per_hour": 5.0}),
    ],
)
def test_a_parameter_changes_its_field_and_no_other(
    parameters: dict[str, str], section: str, expected: dict[str, Any]
) -> None:
    changed = apply(SCENARIO, parameters)
    wanted = msgspec.structs.replace(getattr(SCENARIO, section), **expected)
    assert changed == msgspec.structs.replace(SCENARIO, **{section: wanted})


@pytest.mark.parametrize("value, copies", [("3", 3), ("all", None)])
def test_copies_are_of_every_model(value: str, copies: int | None) -> None:
    assert [model.copies for model in apply(SCENARIO, {"copies": value}).models] == [copies] * 3


@pytest.mark.parametrize(
    "value, names", [("0", []), ("2", ["a", "b"]), ("9", ["a", "b", "c"]), ("c", ["c"]), ("a+c", ["a", "c"])]
)
def test_models_are_pinned_by_number_or_by_name(value: str, names: list[str]) -> None:
    assert pinned(apply(SCENARIO, {"pinned": value})) == names


def test_what_was_pinned_and_is_not_named_is_no_longer() -> None:
    assert pinned(apply(apply(SCENARIO, {"pinned": "3"}), {"pinned": "b"})) == ["b"]


def test_both_watermarks_may_be_lowered() -> None:
    group = apply(SCENARIO, {"highWatermark": "70", "lowWatermark": "60"}).group
    assert (group.high_watermark, group.low_watermark) == (70, 60)


@pytest.mark.parametrize("parameters", [{"highWatermark": "80"}, {"lowWatermark": "90"}])
def test_watermarks_keep_their_order(parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="must be below highWatermark"):
        apply(SCENARIO, parameters)


@pytest.mark.parametrize(
    "name, value, why",
    [
        ("disk", "0Gi", "a disk has a size above zero"),
        ("disk", "1000m", "write a size with one of"),
        ("disk", "big", ""),
        ("policy", "FIFO", "use one of LRU, GreedyDualSize, LFU, LRFU"),
        ("nodes", "0", "write a whole number from 1 on"),
        ("nodes", "2.5", "write a whole number from 1 on"),
        ("gpus", "none", "write a whole number from 1 on"),
        ("maxConcurrentDownloads", "0", "write a whole number from 1 on"),
        ("lowWatermark", "0", "write a whole number from 1 to 100"),
        ("highWatermark", "101", "write a whole number from 1 to 100"),
        ("copies", "0", "write a whole number from 1 on"),
        ("pinned", "a+d", "no model 'd'"),
        ("traffic", "0x", "write how many times as much: 2x"),
        ("traffic", "twice", "write how many times as much: 2x"),
        ("bandwidth", "100", "'100' is not a rate"),
        ("network", "fast", "'fast' is not a rate"),
    ],
)
def test_a_value_that_can_not_be_is_refused_by_name(name: str, value: str, why: str) -> None:
    with pytest.raises(InvalidInput) as told:
        apply(SCENARIO, {name: value})
    assert str(told.value).startswith(f"{name}={value}: {why}")
    assert "\n" not in str(told.value)


def test_the_starts_of_a_log_are_as_they_are() -> None:
    with pytest.raises(InvalidInput, match="traffic=2x: the starts come from a log"):
        apply(msgspec.structs.replace(SCENARIO, traffic=None), {"traffic": "2x"})


def test_an_unknown_parameter_is_not_applied() -> None:
    with pytest.raises(InvalidInput, match="no parameter 'colour'"):
        apply(SCENARIO, {"colour": "red"})


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_says_what_it_is(name: str) -> None:
    assert known(name).name == name
    assert known(name).words


def test_both_watermarks_may_be_raised_at_once() -> None:
    group = apply(SCENARIO, {"lowWatermark": "92", "highWatermark": "98"}).group
    assert (group.low_watermark, group.high_watermark) == (92, 98)


@pytest.mark.parametrize("disk", ["45Gi", "1Ti", "333Gi"])
def test_a_disk_comes_back_to_its_limit_exactly(disk: str) -> None:
    there = apply(SCENARIO, {"disk": disk})
    back = apply(there, {"disk": SCENARIO.nodes.disk})
    assert abs(quantity_bytes(back.group.storage_limit) - quantity_bytes(SCENARIO.group.storage_limit)) <= 1
