"""A claim may go under a pod that nobody could have seen, and under no other."""

from __future__ import annotations

import pytest

from cachecore.names import CACHE_NAME_LABEL, CACHE_NAMESPACE_LABEL
from cachesim.apiserver.options import DeleteOptions
from cachesim.simulation.claim_deletions import ClaimDeletions
from cachesim.testing.bench import Bench

PROTECTED = "kubernetes.io/pvc-protection"
DELETES = ("manager-1", "delete", "PersistentVolumeClaim/iris-workers")
READS = ("manager-1", "list", "Pod")


class ClaimBench(Bench):
    """The cache `iris` has a claim."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.deletions = ClaimDeletions(self.world, lambda invariant, message: self.failures.append(message))
        self.server.store.listen(self.deletions.api_changed)
        self.cache()
        labels = {CACHE_NAME_LABEL: "iris", CACHE_NAMESPACE_LABEL: ""}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1G"}}}
        claim = {"metadata": {"name": "iris-workers", "labels": labels, "finalizers": [PROTECTED]}, "spec": spec}
        self.create("persistentvolumeclaims", claim, namespace="default")

    def start(self, name: str, node: str = "n1") -> None:
        mounts = [{"name": "model", "persistentVolumeClaim": {"claimName": "iris-workers"}}]
        spec = {"containers": [{"name": "c", "image": "i"}], "volumes": mounts}
        self.create("pods", {"metadata": {"name": name}, "spec": {**spec, "nodeName": node}}, namespace="default")

    def delete(self, plural: str, name: str, namespace: str = "") -> None:
        self.run(self.server.delete(self.type(plural), name, namespace=namespace, options=DeleteOptions()))

    def delete_claim(self) -> None:
        self.delete("persistentvolumeclaims", "iris-workers", "default")


@pytest.fixture
def bench() -> ClaimBench:
    return ClaimBench()


def test_not_under_a_pod_that_was_there_when_pods_were_read(bench: ClaimBench) -> None:
    bench.start("user")
    bench.wait(1)
    bench.deletions.requested(*READS)
    bench.deletions.requested(*DELETES)
    bench.wait(40)
    bench.delete_claim()
    assert bench.failures == ["claim default/iris-workers is deleted under pod user"]


def test_not_without_having_read_the_pods(bench: ClaimBench) -> None:
    bench.start("user")
    bench.wait(1)
    bench.deletions.requested(*DELETES)
    bench.delete_claim()
    assert bench.failures != []


def test_under_a_pod_that_came_after_the_reading(bench: ClaimBench) -> None:
    bench.deletions.requested(*READS)
    bench.deletions.requested(*DELETES)
    bench.wait(1)
    bench.start("user")
    bench.wait(40)
    bench.delete_claim()
    assert bench.failures == []


def test_under_a_pod_that_is_bound_nowhere_or_has_ended(bench: ClaimBench) -> None:
    bench.start("ended")
    bench.merge("pods", "ended", {"status": {"phase": "Succeeded"}}, "status", "default")
    bench.start("unbound", node="")
    bench.wait(1)
    bench.deletions.requested(*DELETES)
    bench.delete_claim()
    assert bench.failures == []


def test_with_its_cache(bench: ClaimBench) -> None:
    bench.start("user")
    bench.delete("localmodelcaches", "iris")
    bench.wait(1)
    bench.deletions.requested(*DELETES)
    bench.delete_claim()
    assert bench.failures == []


def test_by_somebody_else(bench: ClaimBench) -> None:
    bench.start("user")
    bench.wait(1)
    bench.delete_claim()
    assert bench.failures == []
