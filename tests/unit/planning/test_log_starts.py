"""A log's models and nodes become those of a scenario, its requests become starts of pods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from cachecore.errors import InvalidInput
from cachesim.planning.log_starts import starts_of
from cachesim.planning.logs import Columns, RequestLog, make_log
from cachesim.planning.starts import ANYWHERE
from cachesim.simulation.scenario import Model, NodeGroup, Nodes, Scenario, Traffic

SCENARIO = Scenario(
    name="small",
    description="two nodes",
    duration="1h",
    nodes=Nodes(count=2, disk="10Gi"),
    group=NodeGroup(storage_limit="8Gi"),
    models=(Model(name="llama", size="1Gi"), Model(name="qwen", size="2Gi")),
)


def make(
    models: Sequence[str],
    *,
    times: Sequence[float] | None = None,
    nodes: Sequence[str] | None = None,
    durations: Sequence[float] | None = None,
) -> RequestLog:
    """A log of one request each minute, or at these times."""
    moments = [60.0 * row for row in range(len(models))] if times is None else times
    lines = range(1, len(models) + 1)
    return make_log(
        Columns(path="log", lines=lines, timestamps=moments, models=models, nodes=nodes, durations=durations)
    )


def with_traffic(**fields: str) -> Scenario:
    return msgspec.structs.replace(SCENARIO, traffic=Traffic(starts_per_hour=1.0, **fields))  # type: ignore[arg-type]


def mistake(log: RequestLog) -> str:
    with pytest.raises(InvalidInput) as refused:
        starts_of(log, SCENARIO)
    return str(refused.value)


def test_each_request_is_a_start_of_the_model_of_its_name() -> None:
    starts, notes = starts_of(make(["qwen", "llama", "qwen"]), SCENARIO)
    assert (starts.seconds.tolist(), starts.models.tolist()) == ([0.0, 60.0, 120.0], [1, 0, 1])
    assert (starts.nodes.tolist(), notes) == ([ANYWHERE] * 3, ())


def test_the_plan_is_a_second_longer_than_the_log() -> None:
    assert starts_of(make(["qwen", "llama"]), SCENARIO)[0].duration_seconds == 61.0


def test_a_uri_is_the_model_that_its_last_part_names() -> None:
    starts, notes = starts_of(make(["s3://bucket/v1/qwen/", "hf://team/llama"]), SCENARIO)
    assert (starts.models.tolist(), notes) == ([1, 0], ())


def test_several_names_of_one_model_are_noted() -> None:
    starts, notes = starts_of(make(["s3://new/qwen", "s3://old/qwen", "llama"]), SCENARIO)
    assert starts.models.tolist() == [1, 1, 0]
    assert notes == ("taken as the one model qwen: s3://new/qwen, s3://old/qwen",)


def test_unknown_models_are_refused_with_their_share_and_what_to_do() -> None:
    assert mistake(make(["llama", "bert", "team/qwen", "bert"])) == (
        "the scenario has no model for bert (50.0% of the requests), team/qwen (25.0% of the requests): "
        "add them to its models with their size, or leave their requests out with --ignore-unknown"
    )


def test_no_more_than_five_unknown_models_are_named() -> None:
    message = mistake(make([f"m{number}" for number in range(8)]))
    assert "m4 (12.5% of the requests) and 3 more: add them" in message
    assert "m5" not in message


def test_unknown_models_are_left_out_when_asked_for_and_noted() -> None:
    starts, notes = starts_of(make(["bert", "qwen"], durations=[1.0, 2.0]), SCENARIO, ignore_unknown=True)
    assert (starts.seconds.tolist(), starts.models.tolist(), starts.lifetime_seconds.tolist()) == ([60.0], [1], [2.0])
    assert notes == ("left out, because the scenario has no such model: bert (50.0% of the requests)",)


def test_a_log_of_unknown_models_alone_leaves_nothing_to_plan() -> None:
    with pytest.raises(InvalidInput, match="0 requests are left"):
        starts_of(make(["bert"]), SCENARIO, ignore_unknown=True)


def test_nodes_of_the_scenario_are_taken_by_name() -> None:
    starts, notes = starts_of(make(["qwen"] * 3, nodes=["node-2", "", "node-2"]), SCENARIO)
    assert (starts.nodes.tolist(), notes) == ([1, ANYWHERE, 1], ())


def test_other_nodes_are_taken_in_the_order_of_their_names() -> None:
    starts, notes = starts_of(make(["qwen"] * 2, nodes=["gpu-b", "gpu-a"]), SCENARIO)
    assert starts.nodes.tolist() == [1, 0]
    assert notes == ("nodes of the log are taken in the order of their names: gpu-a as node-1, gpu-b as node-2",)


def test_more_nodes_than_the_scenario_has_are_refused_with_the_count_to_set() -> None:
    assert mistake(make(["qwen"] * 3, nodes=["a", "b", "c"])) == (
        "the log has 3 nodes and the scenario 2: set nodes.count to 3"
    )


def test_with_free_nodes_any_node_may_take_a_start() -> None:
    starts, notes = starts_of(make(["qwen"] * 3, nodes=["a", "b", "c"]), SCENARIO, free_nodes=True)
    assert starts.nodes.tolist() == [ANYWHERE] * 3
    assert notes == ("nodes of the log are not used: any may take a start",)


def test_free_nodes_are_no_news_to_a_log_without_nodes() -> None:
    assert starts_of(make(["qwen"]), SCENARIO, free_nodes=True)[1] == ()


def test_a_pod_runs_as_long_as_the_log_says_or_else_ten_minutes() -> None:
    starts, _ = starts_of(make(["qwen"] * 2, durations=[5.0, math.nan]), SCENARIO)
    assert starts.lifetime_seconds.tolist() == [5.0, 600.0]


def test_a_pod_of_unknown_duration_runs_as_long_as_the_traffic_says() -> None:
    starts, _ = starts_of(make(["qwen"] * 2, durations=[5.0, math.nan]), with_traffic(lifetime="1h"))
    assert starts.lifetime_seconds.tolist() == [5.0, 3600.0]


def test_with_idle_requests_that_find_an_instance_start_none() -> None:
    log = make(["qwen", "llama", "qwen", "qwen"], times=[0, 10, 50, 500])
    starts, notes = starts_of(log, with_traffic(idle="2m"))
    assert (starts.seconds.tolist(), starts.models.tolist()) == ([0.0, 10.0, 500.0], [1, 0, 1])
    assert (starts.lifetime_seconds.tolist(), notes) == ([170.0, 120.0, 120.0], ())


def test_an_instance_is_on_one_node() -> None:
    log = make(["qwen"] * 4, times=[0, 10, 20, 30], nodes=["node-1", "node-2", "", "node-1"])
    starts, _ = starts_of(log, with_traffic(idle="2m"))
    assert (starts.seconds.tolist(), starts.nodes.tolist()) == ([0.0, 10.0, 20.0], [0, 1, ANYWHERE])


def test_an_instance_that_may_be_anywhere_is_found_from_everywhere() -> None:
    log = make(["qwen"] * 3, times=[0, 10, 20], nodes=["a", "b", "c"])
    starts, _ = starts_of(log, with_traffic(idle="2m"), free_nodes=True)
    assert (starts.seconds.tolist(), starts.nodes.tolist()) == ([0.0], [ANYWHERE])


def test_durations_that_idle_makes_useless_are_noted() -> None:
    _, notes = starts_of(make(["qwen"], durations=[5.0]), with_traffic(idle="2m"))
    assert notes == ("durations of the log are not used: with traffic.idle an instance runs until nobody asks",)


def test_columns_are_in_order_of_time() -> None:
    log = make(["qwen", "llama"] * 50, times=[(7 * row) % 100 for row in range(100)], nodes=["node-1", "node-2"] * 50)
    starts, _ = starts_of(log, with_traffic(idle="1s"))
    assert np.all(np.diff(starts.seconds) >= 0)
