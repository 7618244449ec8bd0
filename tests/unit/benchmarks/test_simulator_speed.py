"""The benchmark of the simulator runs, and counts what it says."""

import pathlib

import msgspec
import pytest

import simulator


def test_a_tiny_fleet_is_measured(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "result.json"
    arguments = ["--nodes", "1", "--minutes", "0.2", "--month-nodes", "1", "--days", "0", "--plans", "1"]
    assert simulator.main([*arguments, "--json", str(file)]) == 0
    result = msgspec.json.decode(file.read_bytes(), type=simulator.Result)
    assert [one.nodes for one in result.rates] == [1]
    assert result.rates[0].events > 1000
    assert result.rates[0].ok


def test_a_size_that_is_no_number_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulator.main(["--nodes", "many"]) == 2
    assert "--nodes many" in capsys.readouterr().err
