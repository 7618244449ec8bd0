"""Scenario files are read, and a mistake is answered with line, field and what is allowed."""

import pathlib

import pytest

from cachecore.errors import InvalidInput
from cachesim.simulation.scenario_file import load_plan, load_scenario
from cachesim.simulation.units import duration_seconds, rate_bytes_per_second

SCENARIO = """\
name: small
description: two nodes
duration: 1h
nodes: {count: 2, disk: 10Gi}
group: {storageLimit: 8Gi}
models:
  - {name: a, size: 1Gi}
  - {name: b, size: 2Gi, priority: 3}
faults:
  - {when: 1m, where: node-2, what: node-lost}
"""


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    file = tmp_path / "small.yaml"
    file.write_text(SCENARIO)
    return file


def _mistake(path: pathlib.Path, old: str, new: str) -> str:
    path.write_text(SCENARIO.replace(old, new))
    with pytest.raises(InvalidInput) as caught:
        load_scenario(path)
    return str(caught.value).removeprefix(str(path))


def test_a_scenario_is_read_with_its_defaults(path: pathlib.Path) -> None:
    scenario = load_scenario(path)
    assert scenario.models[1].priority == 3
    assert scenario.group.high_watermark == 90
    assert scenario.node_names() == ["node-1", "node-2"]


def test_an_unknown_field_names_the_line_and_what_is_near(path: pathlib.Path) -> None:
    assert _mistake(path, "storageLimit", "storageLimt") == (
        ":5: unknown field 'storageLimt': did you mean 'storageLimit'? "
        "allowed here: storageLimit, policy, highWatermark, lowWatermark, maxConcurrentDownloads"
    )


def test_a_value_of_a_wrong_form_says_what_to_write(path: pathlib.Path) -> None:
    assert _mistake(path, "1h", "1 hour") == ":3: duration: write a number with one of ms, s, m, h, d: 90s"


def test_a_word_that_is_not_one_of_the_allowed_lists_them(path: pathlib.Path) -> None:
    message = _mistake(path, "node-lost", "node-gone")
    assert message.startswith(":10: faults[0].what: write one of crash-before, crash-after, error, answer-lost, ")


def test_a_missing_field_is_named(path: pathlib.Path) -> None:
    assert "duration" in _mistake(path, "duration: 1h\n", "")


def test_a_fault_on_a_node_that_is_not_there_lists_the_nodes(path: pathlib.Path) -> None:
    assert _mistake(path, "where: node-2", "where: node-7") == (
        ":10: faults[0].where: no node 'node-7': use one of node-1, node-2"
    )


@pytest.mark.parametrize(
    "fault, message",
    [
        (
            "{when: 1m, what: crash-after}",
            "when: crash-after strikes a call: write which occasion of the site, such as",
        ),
        ("{when: 2nd, what: error}", "where: an occasion needs a site: write 'process verb subject', such as"),
        ("{when: 2nd, where: a b c d, what: error}", "where: a site has three words at most: process, verb, subject"),
        ("{when: 1m, what: node-lost}", "where: no node '': use one of node-1, node-2"),
        ("{when: 1m, where: manager-2, what: manager-crash}", "where: no manager 'manager-2': use one of manager-1"),
        ("{when: 1m, where: node-1, what: api-down}", "where: api-down strikes the whole cluster: leave it out"),
        ("{when: 1m, what: object-changed, model: c}", "model: no model 'c': use one of a, b"),
        ("{when: soon, what: api-down}", "when: write a time (40s) or the n-th occasion of a site (1st, 2nd, 3rd)"),
    ],
)
def test_a_fault_that_can_strike_nothing_says_what_to_write(path: pathlib.Path, fault: str, message: str) -> None:
    assert message in _mistake(path, "{when: 1m, where: node-2, what: node-lost}", fault)


@pytest.mark.parametrize(
    "step, message",
    [
        ("{at: 1s, do: deploy, name: chat}", "story[0].model: deploy needs it"),
        ("{at: 1s, do: start-pod, name: p, model: c}", "story[0].model: no model 'c': use one of a, b"),
        ("{at: 1s, do: cordon, node: node-9}", "story[0].node: no node 'node-9': use one of node-1, node-2"),
        ("{at: 1s, do: set-limit}", "story[0].size: set-limit needs it"),
    ],
)
def test_a_step_that_cannot_be_taken_says_what_is_missing(path: pathlib.Path, step: str, message: str) -> None:
    assert message in _mistake(path, "faults:", f"story:\n  - {step}\nfaults:")


def test_a_plan_of_its_own_is_checked_against_the_scenario(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("faults:\n  - {when: 3s, where: node-3, what: node-lost}\n")
    with pytest.raises(InvalidInput, match=r"plan.yaml:2: faults\[0\].where: no node 'node-3'"):
        load_plan(plan, load_scenario(path))


def test_a_limit_beyond_the_disk_is_refused(path: pathlib.Path) -> None:
    assert _mistake(path, "8Gi", "80Gi") == ":5: group.storageLimit: is more than the nodes' disk of 10Gi"


def test_two_models_of_one_name_are_refused(path: pathlib.Path) -> None:
    assert _mistake(path, "name: b", "name: a").startswith(":8: models[1].name: there are two models 'a'")


def test_what_is_not_yaml_names_the_line(path: pathlib.Path) -> None:
    assert _mistake(path, "nodes:", "nodes").startswith(":4: not YAML")


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        load_scenario(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("1.5h", 5400), ("250ms", 0.25), ("30d", 2_592_000)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text, rate", [("10Gbps", 1.25e9), ("800Mbps", 1e8), ("8bps", 1)])
def test_rates_are_bits_in_the_file_and_bytes_inside(text: str, rate: float) -> None:
    assert rate_bytes_per_second(text) == rate
