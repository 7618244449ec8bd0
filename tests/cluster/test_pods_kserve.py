"""Pods that KServe's mutator and ours both change, in either order: the model is mounted, and nobody downloads it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachecore.names import STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION, storage_key
from cachecore.resources.meta import JsonObject
from cachewebhook.testing import run_kserve_mutator
from realcluster.deployment import Deployment
from realcluster.pods import Pods, kserve_pod, s3_counters

URI = "s3://models/assistant"
CLAIM = "assistant-workers"
LOCAL_MODEL = "internal.serving.kserve.io/localmodel"


@pytest.fixture
def pods(deployed: Deployment) -> Iterator[Pods]:
    """Those of a namespace where nothing answers to InferenceServices but this test."""
    pods = Pods(deployed, "team-c")
    yield pods
    pods.delete("served")
    pods.gone("persistentvolumeclaims")


def made_anew(pod: JsonObject) -> JsonObject:
    """What the API server has admitted, as it can be given to it again."""
    metadata = {name: pod["metadata"][name] for name in ("name", "labels", "annotations")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}


def local_model_pod() -> JsonObject:
    """Of a service that KServe's own defaulter has given to a local model."""
    pod = kserve_pod("served", URI, injected=False)
    pod["metadata"]["labels"][LOCAL_MODEL] = "assistant"
    pod["metadata"]["annotations"] |= {f"{LOCAL_MODEL}-sourceuri": URI, f"{LOCAL_MODEL}-pvc-name": CLAIM}
    return pod


def run_local_model_mutator(pod: JsonObject) -> JsonObject:
    """KServe's mutator where the pod has that label: a claim instead of the URI, what is below the model after it."""
    annotations = pod["metadata"]["annotations"]
    below = annotations[STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION].removeprefix(annotations[f"{LOCAL_MODEL}-sourceuri"])
    uri = f"pvc://{annotations[f'{LOCAL_MODEL}-pvc-name']}/models/{storage_key(URI)}/{below.lstrip('/')}"
    metadata = {**pod["metadata"], "annotations": {**annotations, STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION: uri}}
    return run_kserve_mutator({**pod, "metadata": metadata})


def serves_without_a_download(deployed: Deployment, pods: Pods, pod: JsonObject) -> None:
    fetched = s3_counters(deployed)
    made = pods.create(pod)
    assert [container["name"] for container in made["spec"]["initContainers"]] == ["localmodel-guard"]
    [mount] = [
        each for each in made["spec"]["containers"][0]["volumeMounts"] if each["mountPath"].startswith("/mnt/models")
    ]
    assert mount["readOnly"]
    assert mount["subPath"].rstrip("/") == f"models/{storage_key(URI)}"
    assert pods.read("served")["digest"] == deployed.digest
    assert s3_counters(deployed) == fetched


def test_kserve_first_and_then_ours(deployed: Deployment, pods: Pods) -> None:
    serves_without_a_download(deployed, pods, kserve_pod("served", URI))


def test_ours_first_and_then_kserve(deployed: Deployment, pods: Pods) -> None:
    """Ours is called again by the API server, which sees the whole pod once more."""
    ours = made_anew(pods.admitted(kserve_pod("served", URI, injected=False)))
    assert ours["metadata"]["annotations"][STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION].startswith(f"pvc://{CLAIM}/")
    serves_without_a_download(deployed, pods, run_kserve_mutator(ours))


def test_kserve_again_after_both(deployed: Deployment, pods: Pods) -> None:
    both = made_anew(pods.admitted(kserve_pod("served", URI)))
    assert run_kserve_mutator(both) == both
    serves_without_a_download(deployed, pods, both)


def test_ours_first_and_then_kserve_with_a_local_model_of_its_own(deployed: Deployment, pods: Pods) -> None:
    ours = made_anew(pods.admitted(local_model_pod()))
    serves_without_a_download(deployed, pods, run_local_model_mutator(ours))


def test_kserve_with_a_local_model_of_its_own_and_then_ours(deployed: Deployment, pods: Pods) -> None:
    serves_without_a_download(deployed, pods, run_local_model_mutator(local_model_pod()))
