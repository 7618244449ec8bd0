"""What labels, statuses and manifests say of copies is held against what happens."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore.names import node_ready_label
from cachesim.testing.bench import KEY, Bench, entry

SIZES = {"a": 100, "b": 50}


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.world.limit_bytes = 140
    return made


def report(bench: Bench, state: str, **status: Any) -> None:
    copies = [{"key": KEY, "sourceModelUri": "s3://models/iris", "state": state}] if state else []
    bench.merge("localmodelnodes", "n1", {"status": {"models": copies, **status}}, "status")


def label(bench: Bench, value: str | None = "ready") -> None:
    bench.merge("nodes", "n1", {"metadata": {"labels": {node_ready_label(KEY): value}}})


def hold(bench: Bench) -> None:
    bench.local_model_node(entry())
    bench.publish(SIZES)
    report(bench, "Downloaded")
    label(bench)


def test_a_label_after_the_report_is_right(bench: Bench) -> None:
    hold(bench)
    assert bench.broken == []


def test_s3_a_label_before_the_report(bench: Bench) -> None:
    bench.local_model_node(entry())
    bench.publish(SIZES)
    label(bench)
    assert bench.broken == ["S3"]


def test_s4_a_name_before_the_manifest(bench: Bench) -> None:
    bench.publish(SIZES, manifest=False)
    assert bench.broken == ["S4"]


def test_s9_a_copy_goes_while_it_is_told_as_downloaded(bench: Bench) -> None:
    hold(bench)
    bench.evict()
    assert bench.broken == ["S9"]


def test_a_copy_may_go_that_was_told_as_evicting(bench: Bench) -> None:
    hold(bench)
    report(bench, "Evicting")
    bench.evict()
    assert bench.broken == []


def test_s9_a_copy_that_nothing_lists_goes_before_its_label(bench: Bench) -> None:
    hold(bench)
    bench.merge("localmodelnodes", "n1", {"spec": {"localModels": []}})
    report(bench, "Evicting")
    bench.evict()
    assert bench.broken == ["S9"]


def test_a_copy_that_nothing_lists_goes_after_its_label(bench: Bench) -> None:
    hold(bench)
    label(bench, None)
    bench.merge("localmodelnodes", "n1", {"spec": {"localModels": []}})
    report(bench, "Evicting")
    bench.evict()
    assert bench.broken == []


@pytest.mark.parametrize(("state", "broken"), [("Pending", []), ("", ["S9"])])
def test_s9_a_generation_is_observed_when_each_model_has_a_status(bench: Bench, state: str, broken: list[str]) -> None:
    bench.local_model_node(entry())
    report(bench, state, observedGeneration=1)
    assert bench.broken == broken
