"""Scenario files are read, and a mistake is answered with line, field and what is allowed."""

import pathlib

import pytest

from cachecore.errors import InvalidInput
from cachesim.simulation.scenario import duration_seconds, load_scenario, rate_bytes_per_second

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
  - {at: 1m, what: node-lost, node: node-2}
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
        "allowed here: storageLimit, highWatermark, lowWatermark, maxConcurrentDownloads"
    )


def test_a_value_of_a_wrong_form_says_what_to_write(path: pathlib.Path) -> None:
    assert _mistake(path, "1h", "1 hour") == ":3: duration: write a number with one of ms, s, m, h, d: 90s"


def test_a_word_that_is_not_one_of_the_allowed_lists_them(path: pathlib.Path) -> None:
    message = _mistake(path, "node-lost", "node-gone")
    assert message == ":10: faults[0].what: write one of agent-crash, manager-crash, node-lost, node-deleted"


def test_a_missing_field_is_named(path: pathlib.Path) -> None:
    assert "duration" in _mistake(path, "duration: 1h\n", "")


def test_a_fault_on_a_node_that_is_not_there_lists_the_nodes(path: pathlib.Path) -> None:
    assert _mistake(path, "node: node-2", "node: node-7") == (
        ":10: faults[0].node: no node 'node-7': use one of node-1, node-2"
    )


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
