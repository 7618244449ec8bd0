"""A folder that the cached model of a pod does not have: its owner is told, and nothing is made in its place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachecore.names import DISABLE_LOCAL_MODEL_ANNOTATION, storage_key
from cachecore.resources.meta import JsonObject
from realcluster.deployment import Deployment
from realcluster.pods import Pods, claim_volume, kserve_pod, mounting_pod, waiting

URI = "s3://models/assistant"
CLAIM = "assistant-workers"


@pytest.fixture
def pods(deployed: Deployment) -> Iterator[Pods]:
    pods = Pods(deployed, "team-d")
    yield pods
    pods.delete("served", "member")
    pods.gone("persistentvolumeclaims")


def test_a_folder_that_the_model_lacks_is_named_and_never_made(deployed: Deployment, pods: Pods) -> None:
    pods.create(kserve_pod("served", f"{URI}/no-such-folder"))
    pod = pods.until("served", lambda pod: bool(guard_ended(pod)), "refused")
    ended = guard_ended(pod)
    assert ended["exitCode"] == 1
    assert "the model has no no-such-folder; it has config.json, " in ended["message"]
    assert waiting(pod)["reason"] == "PodInitializing"
    for node in deployed.cluster.nodes.values():
        assert deployed.cluster.run(node.run("find", "/var/lib/localmodel", "-name", "no-such-folder")) == ""


def test_without_the_guard_the_kubelet_says_it_and_makes_none_either(deployed: Deployment, pods: Pods) -> None:
    pod = mounting_pod("served", claim_volume(CLAIM), sub_path=f"models/{storage_key(URI)}/no-such-folder")
    pod["metadata"]["annotations"] = {DISABLE_LOCAL_MODEL_ANNOTATION: "true"}
    # Without our webhook nothing asks for the claim.
    pods.create(kserve_pod("member", URI))
    pods.create(pod)
    pod = pods.until("served", lambda pod: waiting(pod).get("reason") == "CreateContainerConfigError", "refused")
    failure = 'failed to create subPath directory for volumeMount "model" of container "main"'
    assert waiting(pod)["message"] == failure
    assert pods.told("served", failure) == f"Error: {failure}"
    for node in deployed.cluster.nodes.values():
        assert deployed.cluster.run(node.run("find", "/var/lib/localmodel", "-name", "no-such-folder")) == ""


def guard_ended(pod: JsonObject) -> JsonObject:
    """How the guard's last run ended; empty as long as it runs for the first time."""
    [status] = pod.get("status", {}).get("initContainerStatuses") or [{}]
    found: JsonObject = status.get("state", {}).get("terminated") or status.get("lastState", {}).get("terminated") or {}
    return found
