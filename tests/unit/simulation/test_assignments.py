"""A model leaves a node's list for a reason, or L7 does not hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cachecore.names import CACHE_FINALIZER
from cachesim.simulation.assignments import SETTLED_SECONDS, Assignments
from cachesim.testing.bench import KEY, Bench, entry


class ListBench(Bench):
    """`iris` has been on the list of `n1` for long."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []
        assignments = Assignments(self.world, lambda invariant, message: self.failures.append(message))
        self.server.store.listen(assignments.api_changed)
        self.merge("nodes", "n1", {"metadata": {"labels": {"disk": "fast"}}})
        volume = {"local": {"path": "/models"}}
        spec = {"storageLimit": "1G", "nodeSelector": {"disk": "fast"}, "persistentVolumeSpec": volume}
        self.create(
            "localmodelnodegroups",
            {"metadata": {"name": "workers"}, "spec": {**spec, "persistentVolumeClaimSpec": {}}},
        )
        self.cache()
        self.local_model_node(entry())
        self.wait(SETTLED_SECONDS)

    def unlist(self) -> None:
        self.merge("localmodelnodes", "n1", {"spec": {"localModels": []}})


@pytest.fixture
def bench() -> ListBench:
    return ListBench()


def test_nothing_has_changed(bench: ListBench) -> None:
    bench.unlist()
    assert bench.failures == ["n1: cache iris was taken off the list, though nothing has changed"]


def test_a_heartbeat_and_our_own_label_are_no_reasons(bench: ListBench) -> None:
    bench.merge("nodes", "n1", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "status")
    bench.merge("nodes", "n1", {"metadata": {"labels": {f"localmodel.kserve.io/{KEY}": "ready"}}})
    bench.unlist()
    assert bench.failures != []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda bench: bench.merge("nodes", "n1", {"metadata": {"labels": {"disk": "slow"}}}), id="node"),
        pytest.param(
            lambda bench: bench.merge("localmodelnodegroups", "workers", {"spec": {"storageLimit": "100"}}), id="limit"
        ),
        pytest.param(lambda bench: bench.merge("localmodelcaches", "iris", {"spec": {"copies": 1}}), id="copies"),
        pytest.param(lambda bench: bench.run(bench.server.delete(bench.type("localmodelcaches"), "iris")), id="going"),
        pytest.param(
            lambda bench: bench.merge("localmodelcaches", "iris", {"metadata": {"finalizers": None}}), id="not ours"
        ),
        pytest.param(lambda bench: bench.run(bench.server.delete(bench.type("nodes"), "n1")), id="node gone"),
        pytest.param(
            lambda bench: bench.run(bench.server.delete(bench.type("localmodelnodegroups"), "workers")), id="group gone"
        ),
    ],
)
@pytest.mark.parametrize("later_seconds", [0.0, SETTLED_SECONDS])
def test_a_reason(bench: ListBench, change: Callable[[ListBench], None], later_seconds: float) -> None:
    change(bench)
    bench.wait(later_seconds)
    bench.unlist()
    assert bench.failures == []


def test_a_change_that_is_none_any_more_counts_for_a_while(bench: ListBench) -> None:
    for label in ("slow", "fast"):
        bench.merge("nodes", "n1", {"metadata": {"labels": {"disk": label}}})
    bench.unlist()
    assert bench.failures == []


def test_another_owner_of_the_finalizer_changes_nothing(bench: ListBench) -> None:
    bench.merge("localmodelcaches", "iris", {"metadata": {"finalizers": [CACHE_FINALIZER, "a.b/c"]}})
    bench.wait(SETTLED_SECONDS)
    bench.unlist()
    assert bench.failures != []
