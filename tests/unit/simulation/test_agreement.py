"""In a world at rest, what the manager has written is what people ask for; each test makes one thing of it untrue."""

from __future__ import annotations

from typing import Any

import pytest

from cachesim.kserve.definitions import kserve_definitions
from cachesim.testing.bench import KEY, URI, entry
from cachesim.testing.rest import DOWNLOADED, SIZE_BYTES, RestBench

SERVICE = {"namespace": "default", "name": "chat"}


@pytest.fixture
def rest() -> RestBench:
    made = RestBench()
    for definition in kserve_definitions():
        made.create("customresourcedefinitions", definition)
    return made


def _list(rest: RestBench, **fields: Any) -> None:
    rest.list_models(entry(**fields))
    rest.report(DOWNLOADED, used=SIZE_BYTES)


def _serve(rest: RestBench, namespace: str = "default") -> None:
    """A service of the model."""
    if namespace != "default":
        rest.create("namespaces", {"metadata": {"name": namespace}})
    spec = {"predictor": {"model": {"modelFormat": {"name": "x"}, "storageUri": URI}}}
    rest.create("inferenceservices", {"metadata": {"name": "chat"}, "spec": spec}, namespace=namespace)


def _own(rest: RestBench, namespace: str, plural: str = "persistentvolumeclaims", name: str = "iris-workers") -> None:
    """A volume of the cache, or a claim, for that namespace."""
    labels = {"localmodel.kserve.io/cache": "iris", "localmodel.kserve.io/cache-namespace": ""}
    spec: dict[str, Any] = {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1G"}}}
    if plural == "persistentvolumes":
        spec = {
            "accessModes": ["ReadOnlyMany"],
            "capacity": {"storage": "1G"},
            "hostPath": {"path": f"/models/{KEY}"},
            "claimRef": {"namespace": namespace, "name": "iris-workers"},
        }
        namespace = ""
    rest.create(plural, {"metadata": {"name": name, "labels": labels}, "spec": spec}, namespace=namespace)


def _tell_services(rest: RestBench, *services: dict[str, str]) -> None:
    rest.merge("localmodelcaches", "iris", {"status": {"inferenceServices": list(services)}}, "status")


def test_l1_a_node_keeps_to_the_limit_of_its_groups(rest: RestBench) -> None:
    rest.merge("localmodelnodes", "n1", {"spec": {"storage": {"limit": "2G"}}})
    assert "L1: n1 is told a limit of 2G, its groups have 1000000000 bytes" in rest.problems()


@pytest.mark.parametrize(("field", "asked", "told"), [("priority", 3, 0), ("pinned", True, False)])
def test_l1_a_node_is_told_what_the_cache_says(rest: RestBench, field: str, asked: object, told: object) -> None:
    rest.merge("localmodelcaches", "iris", {"spec": {field: asked}})
    assert f"L1: n1 is told of iris: {field} {told}, which is {asked}" in rest.problems()
    _list(rest, **{field: asked})
    assert rest.problems() == ["L1: cache iris: its spec has not been acted on"]


def test_l1_a_node_is_told_whether_the_model_is_used(rest: RestBench) -> None:
    _list(rest, referenced=True)
    assert rest.problems() == ["L1: n1 is told that iris is used, which nothing does"]


def test_l1_a_pod_on_the_node_uses_the_model(rest: RestBench) -> None:
    rest.pod()
    assert "L1: n1 is told that iris is unused, though something uses it" in rest.problems()


def test_a_service_is_told_and_has_its_claim(rest: RestBench) -> None:
    _serve(rest)
    _list(rest, referenced=True)
    _tell_services(rest, SERVICE)
    _own(rest, "default")
    _own(rest, "default", "persistentvolumes", "iris-workers-default")
    assert rest.problems() == []


def test_l1_the_cache_tells_of_each_service(rest: RestBench) -> None:
    _serve(rest)
    _list(rest, referenced=True)
    _own(rest, "default")
    assert rest.problems() == ["L1: cache iris: service default/chat, which its status does not tell"]


def test_l1_the_cache_tells_of_no_other_service(rest: RestBench) -> None:
    _tell_services(rest, SERVICE)
    assert rest.problems() == ["L1: cache iris: service default/chat, which does not use it"]


def test_l1_a_service_finds_its_claim(rest: RestBench) -> None:
    _serve(rest)
    _list(rest, referenced=True)
    _tell_services(rest, SERVICE)
    assert rest.problems() == ["L1: cache iris: services of default use it, and have no claim iris-workers"]


def test_a_service_uses_the_cache_of_its_namespace_first(rest: RestBench) -> None:
    _serve(rest, "team-a")
    spec = {"sourceModelUri": URI, "modelSize": "150", "nodeGroups": ["workers"]}
    rest.create("localmodelnamespacecaches", {"metadata": {"name": "own"}, "spec": spec}, namespace="team-a")
    expected = "L1: cache team-a/own: services of team-a use it, and have no claim own-workers"
    assert expected in rest.problems()
    assert not any(line.startswith("L1: cache iris") for line in rest.problems())


@pytest.mark.parametrize("plural", ["persistentvolumes", "persistentvolumeclaims"])
def test_l3_a_volume_goes_when_nothing_uses_it(rest: RestBench, plural: str) -> None:
    _own(rest, "default", plural)
    expected = f"L3: {plural} iris-workers is for default, where nothing uses cache iris"
    assert rest.problems() == [expected]


def test_a_volume_stays_while_a_pod_needs_it(rest: RestBench) -> None:
    _own(rest, "default")
    rest.pod()
    assert not any(line.startswith("L3") for line in rest.problems())


def test_l1_a_group_tells_of_its_nodes(rest: RestBench) -> None:
    rest.merge("localmodelnodegroups", "workers", {"status": {"readyNodes": 0}}, "status")
    assert rest.problems() == ["L1: group workers tells of 1 nodes, 0 ready: they are 1, 1"]


def test_l1_a_group_is_acted_on(rest: RestBench) -> None:
    rest.merge("localmodelnodegroups", "workers", {"spec": {"eviction": {"highWatermark": 95}}})
    assert rest.problems() == ["L1: group workers: its spec has not been acted on"]
