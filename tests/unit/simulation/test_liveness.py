"""Each invariant of liveness holds in a world at rest, and is broken by the one thing that is stuck."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cachecore.ports import Allocation
from cachecore.store.layout import published_path
from cachesim.apiserver.options import DeleteOptions
from cachesim.simulation.holdings import Past
from cachesim.testing.bench import KEY, OTHER_KEY, OTHER_URI, STAGING, entry
from cachesim.testing.rest import DOWNLOADED, SIZE_BYTES, RestBench

NO_ROOM = {"key": OTHER_KEY, "sourceModelUri": OTHER_URI, "state": "Pending", "reason": "NoRoom"}
NOT_READY = {"type": "Ready", "status": "False", "reason": "NoRoom"}


@pytest.fixture
def rest() -> RestBench:
    return RestBench()


def _delete(rest: RestBench, plural: str, name: str, namespace: str = "") -> None:
    rest.run(rest.server.delete(rest.type(plural), name, namespace=namespace, options=DeleteOptions()))


def _want_rose(rest: RestBench, **fields: object) -> None:
    """A second model is wanted on the node, and not there."""
    rest.cache("rose", OTHER_URI)
    rest.merge("localmodelcaches", "rose", {"spec": {"priority": fields.get("priority", 0)}})
    rest.list_models(entry(), entry(OTHER_URI, **fields))
    rest.report(DOWNLOADED, NO_ROOM, used=SIZE_BYTES)
    rest.tell({"available": 0, "total": 1, "failed": 0}, {"n1": "NodeDownloadPending"}, NOT_READY, "rose")


def test_a_world_at_rest_has_no_problem(rest: RestBench) -> None:
    assert rest.problems() == []


def test_l1_what_fits_is_there(rest: RestBench) -> None:
    _want_rose(rest)
    assert rest.problems() == ["L1: n1: rose would fit beside all that is there, and is not there"]


def test_l1_what_does_not_fit_may_be_missing(rest: RestBench) -> None:
    _want_rose(rest)
    rest.limit(200)
    assert rest.problems() == []


def test_l1_above_the_low_watermark_what_was_evicted_does_not_come(rest: RestBench) -> None:
    _want_rose(rest)
    rest.limit(220)
    assert rest.invariants(Past(evicted={("n1", OTHER_KEY): None})) == []
    assert rest.invariants() == ["L1"]


def test_l1_a_higher_priority_comes_before_a_lower_one(rest: RestBench) -> None:
    _want_rose(rest, priority=1)
    rest.limit(200)
    assert rest.problems() == ["L1: n1: rose would fit beside what ranks as high or higher, and is not there"]


def test_l1_what_was_evicted_waits_for_its_use(rest: RestBench) -> None:
    _want_rose(rest, priority=1)
    rest.limit(200)
    assert rest.problems(Past(evicted={("n1", OTHER_KEY): None})) == []


def test_l1_a_pod_brings_its_model(rest: RestBench) -> None:
    _want_rose(rest, referenced=True)
    rest.limit(200)
    rest.pod(OTHER_KEY)
    assert rest.problems() == ["L1: n1: rose is in use or pinned, would fit, and is not there"]


def test_l1_a_pod_whose_model_is_there_runs(rest: RestBench) -> None:
    rest.pod()
    rest.list_models(entry(referenced=True))
    rest.report(DOWNLOADED, used=SIZE_BYTES)
    assert rest.problems() == ["L1: pod default/p on n1 does not get Ready, though its models are there"]
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    rest.merge("pods", "p", {"status": status}, "status", "default")
    assert rest.problems() == []


def test_l1_a_pod_finds_a_node(rest: RestBench) -> None:
    rest.create(
        "pods",
        {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        namespace="default",
    )
    assert rest.problems() == ["L1: pod default/p is bound to no node, though n1 could take it"]
    rest.merge("nodes", "n1", {"spec": {"unschedulable": True}})
    assert rest.problems() == []


def test_l1_a_pod_waits_for_a_claim_that_goes_with_another(rest: RestBench) -> None:
    claim = {
        "metadata": {"name": "iris-workers", "finalizers": ["kubernetes.io/pvc-protection"]},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1G"}}},
    }
    mounts = [{"name": "model", "persistentVolumeClaim": {"claimName": "iris-workers"}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": mounts}
    rest.create("persistentvolumeclaims", claim, namespace="default")
    rest.create("pods", {"metadata": {"name": "p"}, "spec": spec}, namespace="default")
    waits = "L1: pod default/p is bound to no node, though n1 could take it"
    _delete(rest, "persistentvolumeclaims", "iris-workers", "default")
    assert waits in rest.problems()
    rest.create("pods", {"metadata": {"name": "user"}, "spec": {**spec, "nodeName": "n1"}}, namespace="default")
    assert waits not in rest.problems()
    rest.merge("pods", "user", {"status": {"phase": "Succeeded"}}, "status", "default")
    assert waits in rest.problems()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda rest: rest.label(KEY, None), id="a label is missing"),
        pytest.param(lambda rest: rest.report(used=SIZE_BYTES), id="an agent is silent about a copy"),
        pytest.param(lambda rest: rest.report(DOWNLOADED), id="an agent tells of fewer bytes"),
        pytest.param(lambda rest: rest.list_models(entry(priority=1)), id="a spec is not acted on"),
        pytest.param(
            lambda rest: rest.report({**DOWNLOADED, "state": "Downloading"}, used=SIZE_BYTES),
            id="a whole copy is told as on its way",
        ),
        pytest.param(
            lambda rest: rest.tell({"available": 0, "total": 1}, {"n1": "NodeDownloadPending"}, NOT_READY),
            id="a cache does not tell of its copy",
        ),
        pytest.param(
            lambda rest: rest.tell({"available": 1, "total": 1}, {"n1": "NodeDownloaded"}, NOT_READY),
            id="a cache with all copies is not Ready",
        ),
    ],
)
def test_l1_what_is_told_is_true(rest: RestBench, spoil: Callable[[RestBench], None]) -> None:
    spoil(rest)
    assert rest.invariants() == ["L1"]


def test_l2_a_deletion_ends(rest: RestBench) -> None:
    _delete(rest, "localmodelcaches", "iris")
    assert "L2: localmodelcaches iris is being deleted, and stays" in rest.problems()


def test_l2_a_cache_waits_for_the_pods_that_use_it(rest: RestBench) -> None:
    rest.pod()
    _delete(rest, "localmodelcaches", "iris")
    assert "L2" not in rest.invariants()


def test_l3_nothing_names_a_node_that_is_gone(rest: RestBench) -> None:
    _delete(rest, "nodes", "n1")
    assert "L3: LocalModelNode n1 is of a node that is gone" in rest.problems()


def test_l3_a_node_of_a_group_has_its_local_model_node(rest: RestBench) -> None:
    _delete(rest, "localmodelnodes", "n1")
    assert "L3: n1 is in a group and has no LocalModelNode" in rest.problems()


def test_l3_a_copy_that_nothing_lists_goes(rest: RestBench) -> None:
    rest.publish({"c": 60}, OTHER_URI)
    rest.report(DOWNLOADED, used=SIZE_BYTES + 60)
    assert rest.problems() == ["L3: n1: a copy of rose is there, which nothing wants"]


@pytest.mark.parametrize("path", [f"{STAGING}/a", f".localmodel/manifests/{OTHER_KEY}", f".localmodel/trash/{KEY}-1/a"])
def test_l3_nothing_is_left_on_a_disk(rest: RestBench, path: str) -> None:
    rest.run(rest.disk.allocate([Allocation(path, 10)]))
    assert rest.invariants() == ["L3"]


def test_l3_a_label_goes_with_the_copy(rest: RestBench) -> None:
    rest.label(OTHER_KEY, "ready")
    assert rest.problems() == ["L3: n1 is labelled as holding rose, which is not there"]


def test_l3_a_volume_goes_with_its_cache(rest: RestBench) -> None:
    labels = {"localmodel.kserve.io/cache": "gone", "localmodel.kserve.io/cache-namespace": ""}
    spec = {
        "capacity": {"storage": "1G"},
        "accessModes": ["ReadOnlyMany"],
        "hostPath": {"path": "/models"},
    }
    rest.create("persistentvolumes", {"metadata": {"name": "v", "labels": labels}, "spec": spec})
    assert rest.problems() == ["L3: persistentvolumes v is of a cache that is gone"]


def test_l4_models_are_below_the_limit(rest: RestBench) -> None:
    rest.limit(100)
    assert "L4" in rest.invariants()


def test_l4_what_can_never_fit_is_told_as_such(rest: RestBench) -> None:
    _want_rose(rest)
    rest.world.source.add_model(OTHER_URI, {"c": 10**10}, version=2)
    assert rest.problems() == ["L4: n1: rose rests as Pending (NoRoom), and can never fit"]
    rest.report(DOWNLOADED, {**NO_ROOM, "state": "InsufficientStorage"}, used=SIZE_BYTES)
    assert rest.problems() == []


def test_l4_what_could_be_had_is_not_told_as_impossible(rest: RestBench) -> None:
    _want_rose(rest)
    rest.limit(200)
    rest.report(DOWNLOADED, {**NO_ROOM, "state": "InsufficientStorage"}, used=SIZE_BYTES)
    assert rest.invariants() == ["L4"]


def test_l6_nothing_is_left_failing(rest: RestBench) -> None:
    _want_rose(rest)
    rest.limit(200)
    rest.report(DOWNLOADED, {**NO_ROOM, "state": "DownloadError"}, used=SIZE_BYTES)
    assert rest.invariants() == ["L6"]


def test_l6_no_attempt_is_overdue(rest: RestBench) -> None:
    _want_rose(rest)
    rest.limit(200)
    rest.report(DOWNLOADED, {**NO_ROOM, "nextRetryTime": "1970-01-01T00:01:00Z"}, used=SIZE_BYTES)
    assert rest.invariants(unix_seconds=60.0) == []
    assert rest.invariants(unix_seconds=600.0) == ["L6"]


def _damage(rest: RestBench) -> None:
    """The copy is not whole any more, and that is noticed."""
    rest.disk_world.harm(published_path(KEY), cut=True)
    rest.list_models(entry(referenced=bool(list(rest.world.objects("pods")))))
    rest.report({**DOWNLOADED, "state": "DownloadError", "reason": "CopyDamaged"})
    rest.label(KEY, None)
    rest.tell({"available": 0, "total": 1}, {"n1": "NodeDownloadError"}, NOT_READY)


def test_l6_a_damaged_copy_is_replaced(rest: RestBench) -> None:
    _damage(rest)
    assert rest.problems() == ["L6: n1: iris rests as DownloadError (CopyDamaged): "]


def test_l6_a_damaged_copy_waits_for_the_pod_that_uses_it(rest: RestBench) -> None:
    rest.pod()
    _damage(rest)
    assert rest.problems() == []
