"""Which cache and which group a pod gets, and when it is left alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachecore.resources.serving import NodeStatusValue
from cachewebhook.admission import Reason
from cachewebhook.testing import (
    IRIS,
    MODELS,
    annotated_pod,
    downloading_pod,
    make_cache,
    make_group,
    make_namespace_cache,
    make_node,
)

BOTH = ("workers", "gpus")


def going(cache: Any) -> Any:
    metadata = msgspec.structs.replace(cache.metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    return msgspec.structs.replace(cache, metadata=metadata)


def test_a_cache_of_the_namespace_wins(admitted: Any) -> None:
    done = admitted(downloading_pod(), make_cache(), make_namespace_cache("own"))
    assert done.claims == {"localmodel-cache": "own-workers"}


def test_a_cache_of_another_namespace_is_nobodys_business(admitted: Any) -> None:
    done = admitted(downloading_pod(), make_namespace_cache("own", namespace="team-b"))
    assert (done.untouched, done.admission.reason) == (True, Reason.NOT_CACHED)


def test_the_closest_parent_wins(admitted: Any) -> None:
    done = admitted(downloading_pod((f"{IRIS}/v2/x", MODELS)), make_cache(), make_cache("v2", uri=f"{IRIS}/v2"))
    assert done.claims == {"localmodel-cache": "v2-workers"}


@pytest.mark.parametrize("uri", ["s3://bucket/iris-2", "s3://bucket", "gs://bucket/iris", "s3://bucket/IRIS"])
def test_another_uri_is_not_the_cached_one(admitted: Any, uri: str) -> None:
    done = admitted(downloading_pod((uri, MODELS)))
    assert (done.untouched, done.admission.reason) == (True, Reason.NOT_CACHED)


def test_a_cache_that_goes_is_not_used(admitted: Any) -> None:
    assert admitted(downloading_pod(), going(make_cache())).untouched


def test_the_first_group_is_taken(admitted: Any) -> None:
    done = admitted(downloading_pod(), make_cache(groups=("gpus", "workers")))
    assert done.claims == {"localmodel-cache": "iris-gpus"}


CONSTRAINTS = {
    "selector": {"nodeSelector": {"group": "gpus"}},
    "affinity": {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "group", "operator": "NotIn", "values": ["workers"]}]}
                    ]
                }
            }
        }
    },
    "name": {"nodeName": "gpu-b"},
    "devices": {"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
}


@pytest.mark.parametrize("spec", CONSTRAINTS.values(), ids=CONSTRAINTS.keys())
def test_the_group_is_one_where_the_pod_may_run(admitted: Any, spec: dict[str, Any]) -> None:
    done = admitted(
        annotated_pod(**{"containers": [{"name": "kserve-container"}], **spec})
        if "containers" not in spec
        else {**annotated_pod(), "spec": spec},
        make_cache(groups=BOTH),
    )
    assert done.claims == {"localmodel-cache": "iris-gpus"}


def test_a_pod_that_may_run_in_no_group_is_left_alone(admitted: Any) -> None:
    done = admitted(downloading_pod(nodeSelector={"group": "elsewhere"}))
    assert (done.untouched, done.admission.reason) == (True, Reason.NO_USABLE_NODE)
    assert "may not run on any ready node" in done.admission.warnings[0]


@pytest.mark.parametrize(
    "node",
    [make_node("a", ready=False), make_node("a", cordoned=True), make_node("a", taint="dedicated")],
    ids=["not ready", "cordoned", "tainted"],
)
def test_a_group_without_a_node_to_run_on_is_not_used(admitted: Any, catalog_of: Any, node: Any) -> None:
    done = admitted(downloading_pod(), catalog=catalog_of(make_cache(), nodes=[node]))
    assert (done.untouched, done.admission.reason) == (True, Reason.NO_USABLE_NODE)


def test_a_tolerated_taint_is_no_obstacle(admitted: Any, catalog_of: Any) -> None:
    pod = downloading_pod(tolerations=[{"key": "dedicated", "operator": "Exists"}])
    done = admitted(pod, catalog=catalog_of(make_cache(), nodes=[make_node("a", taint="dedicated")]))
    assert not done.untouched


def test_a_group_that_does_not_exist_is_not_used(admitted: Any, catalog_of: Any) -> None:
    done = admitted(downloading_pod(), catalog=catalog_of(make_cache(groups=BOTH), groups=[make_group("gpus")]))
    assert done.claims == {"localmodel-cache": "iris-gpus"}


def test_the_annotation_names_the_group(admitted: Any) -> None:
    pod = downloading_pod()
    pod["metadata"]["annotations"]["serving.kserve.io/nodegroup"] = "gpus"
    assert admitted(pod, make_cache(groups=BOTH)).claims == {"localmodel-cache": "iris-gpus"}


def test_a_cache_without_the_group_of_the_annotation_is_not_used(admitted: Any) -> None:
    pod = downloading_pod()
    pod["metadata"]["annotations"]["serving.kserve.io/nodegroup"] = "gpus"
    done = admitted(pod)
    assert (done.untouched, done.admission.reason) == (True, Reason.OTHER_GROUP)


@pytest.mark.parametrize("state", [NodeStatusValue.ERROR, NodeStatusValue.INSUFFICIENT_STORAGE])
def test_a_copy_that_will_not_come_is_not_waited_for(admitted: Any, state: NodeStatusValue) -> None:
    done = admitted(downloading_pod(), make_cache(status={"node-a": state, "node-b": state}))
    assert (done.untouched, done.admission.reason) == (True, Reason.COPY_FAILED)


def test_one_node_with_hope_is_enough(admitted: Any) -> None:
    assert not admitted(downloading_pod(), make_cache(status={"node-a": NodeStatusValue.ERROR})).untouched


def test_models_of_groups_without_a_common_node_are_not_both_mounted(admitted: Any) -> None:
    pod = downloading_pod((IRIS, f"{MODELS}/iris"), ("s3://bucket/rose", f"{MODELS}/rose"))
    done = admitted(pod, make_cache(), make_cache("rose", uri="s3://bucket/rose", groups=("gpus",)))
    assert done.claims == {"localmodel-cache": "iris-workers"}
    assert done.container("storage-initializer")["args"] == ["s3://bucket/rose", f"{MODELS}/rose"]


def test_opted_out(admitted: Any) -> None:
    pod = downloading_pod()
    pod["metadata"]["annotations"]["serving.kserve.io/disable-localmodel"] = "true"
    done = admitted(pod)
    assert (done.untouched, done.admission.reason) == (True, Reason.DISABLED)


def test_a_pod_without_a_model(admitted: Any) -> None:
    done = admitted({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web"}]}})
    assert (done.untouched, done.admission.reason) == (True, Reason.NO_MODEL)
    assert done.admission.warnings == ()


def unsuitable() -> dict[str, dict[str, Any]]:
    writable = downloading_pod(read_only=False)
    wants_to_write = annotated_pod()
    wants_to_write["metadata"]["annotations"]["storage.kserve.io/readonly"] = "false"
    confidential = downloading_pod()
    confidential["spec"]["initContainers"][0]["env"] = [{"name": "CONFIDENTIAL_ENABLED", "value": "true"}]
    odd = downloading_pod()
    odd["spec"]["initContainers"][0]["args"].append("--verbose")
    elsewhere = downloading_pod()
    elsewhere["spec"]["volumes"][1] = {"name": "kserve-provision-location", "persistentVolumeClaim": {"claimName": "x"}}
    expression = downloading_pod()
    expression["spec"]["containers"][0]["volumeMounts"][1]["subPathExpr"] = "$(POD)"
    nested = downloading_pod((IRIS, MODELS), ("s3://bucket/x-y", f"{MODELS}-x"), ("s3://bucket/x", f"{MODELS}/x"))
    nested["spec"]["initContainers"][0]["volumeMounts"][0]["mountPath"] = "/mnt"
    climbing = downloading_pod((f"{IRIS}/../../other", MODELS))
    return {
        "writable mount": writable,
        "wants to write": wants_to_write,
        "confidential": confidential,
        "odd arguments": odd,
        "no emptyDir": elsewhere,
        "subPathExpr": expression,
        "nested": nested,
        "climbing path": climbing,
    }


@pytest.mark.parametrize("pod", unsuitable().values(), ids=unsuitable().keys())
def test_a_pod_that_a_copy_does_not_suit_is_left_alone(admitted: Any, pod: dict[str, Any]) -> None:
    done = admitted(pod)
    assert (done.untouched, done.admission.reason) == (True, Reason.UNSUITABLE_POD)
    assert done.admission.warnings
