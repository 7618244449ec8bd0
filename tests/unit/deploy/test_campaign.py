"""The campaign's Job: its arguments fit the command, and its scenario is the reference story."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cachesim.cli import build_parser
from cachesim.simulation.seeds import parse_seeds

Manifest = dict[str, Any]


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "deploy" / "campaign"


@pytest.fixture
def job(folder: Path) -> Manifest:
    found: Manifest = yaml.safe_load((folder / "job.yaml").read_text())
    return found


@pytest.fixture
def container(job: Manifest) -> Manifest:
    (found,) = job["spec"]["template"]["spec"]["containers"]
    return dict(found)


def arguments(container: Manifest, index: int) -> Any:
    """What the command reads at an index: Kubernetes puts the number in, no shell does."""
    words = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in container["args"]]
    return build_parser().parse_args(words)


@pytest.mark.parametrize("index, seeds", [(0, "1..400"), (1, "401..800"), (24, "9601..10000")])
def test_each_index_has_seeds_of_its_own(container: Manifest, index: int, seeds: str) -> None:
    given = arguments(container, index)
    assert str(parse_seeds(given.seeds).at_index(given.index)) == seeds


def test_the_indexes_are_all_of_ten_thousand_seeds(job: Manifest, container: Manifest) -> None:
    assert job["spec"]["completions"] * len(parse_seeds(arguments(container, 0).seeds)) == 10_000


def test_there_is_a_core_for_each_process(container: Manifest) -> None:
    assert container["resources"]["requests"]["cpu"] == str(arguments(container, 0).jobs)


def test_the_scenario_is_where_it_is_mounted(job: Manifest, container: Manifest) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (volume,) = (each for each in job["spec"]["template"]["spec"]["volumes"] if "configMap" in each)
    assert str(arguments(container, 0).scenario) == f"{mounts[volume['name']]}/scenario.yaml"


def test_the_scenario_is_the_reference_story(repository: Path, folder: Path) -> None:
    """A copy, since Kustomize reads nothing outside of its folder."""
    reference = repository / "simulator" / "scenarios" / "reference.yaml"
    assert (folder / "scenario.yaml").read_text() == reference.read_text()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_job_mounts_the_config_map_that_is_generated(folder: Path) -> None:
    command = ["kubectl", "kustomize", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    by_kind = {each["kind"]: each for each in yaml.safe_load_all(built)}
    (volume,) = (each for each in by_kind["Job"]["spec"]["template"]["spec"]["volumes"] if "configMap" in each)
    assert volume["configMap"]["name"] == by_kind["ConfigMap"]["metadata"]["name"]
    assert by_kind["ConfigMap"]["data"]["scenario.yaml"] == (folder / "scenario.yaml").read_text()
