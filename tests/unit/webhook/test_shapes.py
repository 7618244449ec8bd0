"""What becomes of each shape of pod."""

from __future__ import annotations

from typing import Any

import pytest

from cachecore.names import storage_key
from cachewebhook.admission import Reason
from cachewebhook.testing import (
    IRIS,
    MODELS,
    annotated_pod,
    downloading_pod,
    make_cache,
    run_kserve_mutator,
)

KEY = storage_key(IRIS)
URI_ANNOTATION = "internal.serving.kserve.io/storage-initializer-sourceuri"
ROSE = "s3://bucket/rose"


def claim_mount(path: str = MODELS, sub: str = "", volume: str = "localmodel-cache") -> dict[str, Any]:
    return {"name": volume, "mountPath": path, "subPath": f"models/{KEY}{sub}", "readOnly": True}


# Before KServe's mutator.


def test_an_annotation_becomes_a_claim(admitted: Any) -> None:
    assert (
        admitted(annotated_pod()).pod["metadata"]["annotations"][URI_ANNOTATION] == f"pvc://iris-workers/models/{KEY}"
    )


@pytest.mark.parametrize("uri", [f"{IRIS}/v1", f"{IRIS}/v1/"])
def test_a_folder_of_the_model_is_a_path_in_the_claim(admitted: Any, uri: str) -> None:
    annotations = admitted(annotated_pod(uri)).pod["metadata"]["annotations"]
    assert annotations[URI_ANNOTATION] == f"pvc://iris-workers/models/{KEY}/v1"


def test_kserve_then_mounts_the_claim_and_downloads_nothing(admitted: Any) -> None:
    pod = run_kserve_mutator(admitted(annotated_pod()).pod)
    again = admitted(pod)
    assert again.init_names == ["localmodel-guard"]
    assert again.mounts("kserve-container")[MODELS] == claim_mount(volume="kserve-pvc-source")
    assert again.claims == {"localmodel-cache": "iris-workers", "kserve-pvc-source": "iris-workers"}


def test_what_kserve_mounts_is_made_read_only(admitted: Any) -> None:
    pod = run_kserve_mutator(admitted(annotated_pod()).pod)
    pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] = False
    again = admitted(pod)
    assert again.mounts("kserve-container")[MODELS]["readOnly"] is True
    source = next(each for each in again.pod["spec"]["volumes"] if each["name"] == "kserve-pvc-source")
    assert source["persistentVolumeClaim"]["readOnly"] is True


def test_the_name_of_a_downloading_container_goes(admitted: Any) -> None:
    """KServe refuses a pod whose container of that name can't download a claim."""
    pod = annotated_pod()
    pod["metadata"]["annotations"]["internal.serving.kserve.io/storage-container-name"] = "custom"
    assert "internal.serving.kserve.io/storage-container-name" not in admitted(pod).pod["metadata"]["annotations"]


def test_a_pod_that_kserve_does_not_know_is_left_alone(admitted: Any) -> None:
    pod = annotated_pod()
    pod["metadata"]["labels"] = {}
    assert admitted(pod).untouched


# KServe's own local model path.


def local_model_pod(claim: str = "iris-workers", **spec: Any) -> dict[str, Any]:
    pod = annotated_pod(**spec)
    pod["metadata"]["labels"]["internal.serving.kserve.io/localmodel"] = "iris"
    pod["metadata"]["annotations"]["internal.serving.kserve.io/localmodel-sourceuri"] = IRIS
    pod["metadata"]["annotations"]["internal.serving.kserve.io/localmodel-pvc-name"] = claim
    return pod


def test_the_claim_that_kserve_chose_stays(admitted: Any) -> None:
    done = admitted(local_model_pod())
    annotations = done.pod["metadata"]["annotations"]
    assert annotations[URI_ANNOTATION] == IRIS
    assert annotations["internal.serving.kserve.io/localmodel-pvc-name"] == "iris-workers"
    assert done.init_names == ["localmodel-guard"]
    assert done.pod["metadata"]["labels"]["localmodel.kserve.io/key"] == KEY


def test_kserve_choice_of_a_group_where_the_pod_cannot_run_is_corrected(admitted: Any) -> None:
    pod = local_model_pod(nodeSelector={"group": "gpus"})
    done = admitted(pod, make_cache(groups=("workers", "gpus")))
    assert done.pod["metadata"]["annotations"]["internal.serving.kserve.io/localmodel-pvc-name"] == "iris-gpus"


def test_a_claim_of_kserve_that_is_nobodys_is_left_alone(admitted: Any) -> None:
    assert admitted(local_model_pod("other-workers")).untouched


# After KServe's mutator, and LLMInferenceService.


def test_the_download_is_replaced(admitted: Any) -> None:
    done = admitted(downloading_pod(annotated=True))
    assert done.init_names == ["localmodel-guard"]
    assert done.mounts("kserve-container")[MODELS] == claim_mount()
    assert [volume["name"] for volume in done.pod["spec"]["volumes"]] == ["scratch", "localmodel-cache"]


def test_kserve_called_again_injects_nothing(admitted: Any) -> None:
    done = admitted(run_kserve_mutator(annotated_pod()))
    assert run_kserve_mutator(done.pod) == done.pod


def test_every_container_that_mounts_the_model_gets_the_copy(admitted: Any) -> None:
    done = admitted(downloading_pod(containers=("main", "transformer-container", "tokenizer")))
    for name in ("main", "transformer-container", "tokenizer"):
        assert done.mounts(name)[MODELS] == claim_mount()


def test_other_mounts_stay(admitted: Any) -> None:
    assert admitted(downloading_pod()).mounts("kserve-container")["/scratch"] == {
        "name": "scratch",
        "mountPath": "/scratch",
    }


def test_a_container_may_mount_the_model_elsewhere(admitted: Any) -> None:
    done = admitted(downloading_pod(container_mount_path="/app/model"))
    assert done.mounts("kserve-container")["/app/model"] == claim_mount("/app/model")


def test_a_container_may_mount_a_part_of_the_model(admitted: Any) -> None:
    pod = downloading_pod()
    pod["spec"]["containers"][0]["volumeMounts"][1]["subPath"] = "tokenizer"
    assert admitted(pod).mounts("kserve-container")[MODELS] == claim_mount(sub="/tokenizer")


def test_two_models_are_mounted_each_at_its_path(admitted: Any) -> None:
    pod = downloading_pod((IRIS, f"{MODELS}/iris"), (ROSE, f"{MODELS}/rose"), volume="mnt-models")
    done = admitted(pod, make_cache(), make_cache("rose", uri=ROSE))
    mounts = done.mounts("kserve-container")
    assert mounts[f"{MODELS}/iris"] == claim_mount(f"{MODELS}/iris")
    assert mounts[f"{MODELS}/rose"]["subPath"] == f"models/{storage_key(ROSE)}"
    assert done.claims == {"localmodel-cache": "iris-workers", "localmodel-cache-1": "rose-workers"}
    assert done.init_names == ["localmodel-guard", "localmodel-guard-1"]
    assert done.pod["metadata"]["annotations"]["localmodel.kserve.io/keys"] == f"{KEY},{storage_key(ROSE)}"


def test_of_two_models_the_uncached_one_is_still_downloaded(admitted: Any) -> None:
    pod = downloading_pod((IRIS, f"{MODELS}/iris"), (ROSE, f"{MODELS}/rose"), volume="mnt-models")
    done = admitted(pod)
    assert done.init_names == ["localmodel-guard", "storage-initializer"]
    assert done.container("storage-initializer")["args"] == [ROSE, f"{MODELS}/rose"]
    mounts = done.mounts("kserve-container")
    assert mounts[f"{MODELS}/iris"] == claim_mount(f"{MODELS}/iris")
    assert mounts[f"{MODELS}/rose"] == {
        "name": "mnt-models",
        "mountPath": f"{MODELS}/rose",
        "subPath": "rose",
        "readOnly": True,
    }


def test_an_adapter_beside_its_model(admitted: Any) -> None:
    """LLMInferenceService downloads both below /mnt, by one mount of the common parent."""
    pod = downloading_pod((IRIS, MODELS), (ROSE, "/mnt/lora/rose"), mount_path="/mnt", containers=("main",))
    done = admitted(pod, make_cache(), make_cache("rose", uri=ROSE))
    assert set(done.mounts("main")) == {"/scratch", MODELS, "/mnt/lora/rose"}
    assert done.init_names == ["localmodel-guard", "localmodel-guard-1"]


def test_the_guard_waits_for_the_copy(admitted: Any) -> None:
    guard = admitted(downloading_pod()).container("localmodel-guard")
    assert guard["image"] == "agent:1"
    assert guard["command"] == ["cacheagent", "wait", "--path", f"/localmodel/models/{KEY}"]
    assert guard["volumeMounts"] == [{"name": "localmodel-cache", "mountPath": "/localmodel", "readOnly": True}]


@pytest.mark.parametrize("pod", [annotated_pod(f"{IRIS}/v1/"), downloading_pod((f"{IRIS}/v1", MODELS))])
def test_the_guard_looks_for_the_folder_that_is_mounted(admitted: Any, pod: dict[str, Any]) -> None:
    done = admitted(pod)
    command = done.container("localmodel-guard")["command"]
    assert command == ["cacheagent", "wait", "--path", f"/localmodel/models/{KEY}", "--folder", "v1"]
    assert admitted(run_kserve_mutator(done.pod)).init_names == ["localmodel-guard"]


def test_a_guard_that_waits_for_the_model_is_enough_for_whatever_folder(admitted: Any) -> None:
    pod = admitted(downloading_pod()).pod
    mount = {"name": "localmodel-cache", "mountPath": "/sidecar", "subPath": f"models/{KEY}/v1"}
    pod["spec"]["containers"].append({"name": "sidecar", "image": "sidecar", "volumeMounts": [mount]})
    assert admitted(pod).init_names == ["localmodel-guard"]


def test_the_guard_takes_the_place_of_the_download(admitted: Any) -> None:
    pod = downloading_pod()
    pod["spec"]["initContainers"] = [{"name": "before"}, *pod["spec"]["initContainers"], {"name": "after"}]
    assert admitted(pod).init_names == ["before", "localmodel-guard", "after"]


def test_nodes_that_hold_the_copy_are_preferred(admitted: Any) -> None:
    pod = downloading_pod(
        affinity={
            "podAntiAffinity": {},
            "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {}}]},
        }
    )
    affinity = admitted(pod).pod["spec"]["affinity"]
    terms = affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    expression = {"key": f"localmodel.kserve.io/{KEY}", "operator": "In", "values": ["ready"]}
    assert terms == [{"weight": 1, "preference": {}}, {"weight": 100, "preference": {"matchExpressions": [expression]}}]
    assert "podAntiAffinity" in affinity


def test_the_pod_is_marked_with_its_key(admitted: Any) -> None:
    metadata = admitted(downloading_pod()).pod["metadata"]
    assert metadata["labels"]["localmodel.kserve.io/key"] == KEY
    assert metadata["annotations"]["localmodel.kserve.io/keys"] == KEY


def test_the_pod_that_was_given_is_not_changed(admitted: Any) -> None:
    pod = downloading_pod()
    before = repr(pod)
    admitted(pod)
    assert repr(pod) == before


def test_a_mounted_claim_of_a_cache_is_marked_and_guarded(admitted: Any) -> None:
    """Somebody's own pod, or KServe's `pvc://`."""
    volume = {"name": "mine", "persistentVolumeClaim": {"claimName": "iris-workers"}}
    mount = {"name": "mine", "mountPath": "/model", "subPath": f"models/{KEY}"}
    done = admitted(
        {"metadata": {}, "spec": {"volumes": [volume], "containers": [{"name": "c", "volumeMounts": [mount]}]}}
    )
    assert done.admission.keys == (KEY,)
    assert done.mounts("localmodel-guard")["/localmodel"]["name"] == "mine"
    assert done.mounts("c")["/model"]["readOnly"] is True


def test_a_claim_that_only_has_the_name_is_not_waited_for(admitted: Any) -> None:
    volume = {"name": "mine", "persistentVolumeClaim": {"claimName": "iris-workers"}}
    mount = {"name": "mine", "mountPath": "/data"}
    done = admitted(
        {"metadata": {}, "spec": {"volumes": [volume], "containers": [{"name": "c", "volumeMounts": [mount]}]}}
    )
    assert done.init_names == []
    assert done.mounts("c")["/data"] == mount
    assert done.admission.reason is Reason.MOUNTED
