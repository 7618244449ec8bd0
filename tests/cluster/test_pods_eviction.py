"""Two models on nodes that have room for one of them: what pods see while copies go and come."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cachecore.resources.meta import JsonObject
from realcluster.deployment import Deployment
from realcluster.pods import Pods, copies_of, eventually, kserve_pod, put_objects

NODE = "node-a"
EARLY, LATE = "early", "late"
MODEL_MEBIBYTES = 40
# The story's model has 64 and stays, so there is room for one more below the high watermark.
LIMIT_MEBIBYTES = 120
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def crowded(deployed: Deployment) -> Iterator[Deployment]:
    """The model `early` is on all nodes, and there is no room for another of its size beside it."""
    sizes = {f"{name}/weights.safetensors": MODEL_MEBIBYTES * MEBIBYTE for name in (EARLY, LATE)}
    put_objects(deployed, sizes)
    group = json.loads(deployed.kubectl("get", "localmodelnodegroup/workers", "--output=json"))
    set_limit(deployed, f"{LIMIT_MEBIBYTES}Mi")
    set_pinned(deployed, pinned=True)
    make_cache(deployed, EARLY)
    deployed.kubectl("wait", "--for=condition=Ready", f"localmodelcache/{EARLY}", "--timeout=60s")
    yield deployed
    for name in (EARLY, LATE):
        deployed.kubectl("delete", f"localmodelcache/{name}", "--ignore-not-found", "--timeout=60s")
    set_limit(deployed, group["spec"]["storageLimit"])
    set_pinned(deployed, pinned=False)


@pytest.fixture
def pods(crowded: Deployment) -> Iterator[Pods]:
    pods = Pods(crowded, "team-e")
    yield pods
    pods.delete(EARLY, LATE)
    pods.gone("persistentvolumeclaims")


def set_limit(deployed: Deployment, limit: str) -> None:
    patch = json.dumps({"spec": {"storageLimit": limit}})
    deployed.kubectl("patch", "localmodelnodegroup/workers", "--type=merge", f"--patch={patch}")


def set_pinned(deployed: Deployment, *, pinned: bool) -> None:
    patch = json.dumps({"spec": {"pinned": pinned}})
    deployed.kubectl("patch", "localmodelcache/assistant", "--type=merge", f"--patch={patch}")


def uri_of(name: str) -> str:
    return f"s3://models/{name}"


def make_cache(deployed: Deployment, name: str) -> None:
    cache = {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "LocalModelCache",
        "metadata": {"name": name},
        "spec": {
            "sourceModelUri": uri_of(name),
            "modelSize": f"{MODEL_MEBIBYTES}Mi",
            "nodeGroups": ["workers"],
            "storage": {"key": "demo-s3"},
        },
    }
    deployed.kubectl("apply", "--filename=-", given=json.dumps(cache))


def digest_of(deployed: Deployment, name: str) -> str:
    """Of the model, as the agents have computed it."""
    return deployed.kubectl("get", f"localmodelcache/{name}", "--output=jsonpath={.status.digest}")


def state_of(deployed: Deployment, name: str) -> tuple[str, str]:
    """State and reason of the node's copy."""
    copy = copies_of(deployed, uri_of(name)).get(NODE, {})
    return copy.get("state", ""), copy.get("reason", "")


def guard_waits(pod: JsonObject) -> bool:
    [guard] = pod["status"]["initContainerStatuses"]
    return "running" in guard["state"]


def test_a_pod_that_comes_as_its_copy_goes_gets_it_again(crowded: Deployment, pods: Pods) -> None:
    make_cache(crowded, LATE)
    eventually(lambda: state_of(crowded, EARLY), lambda seen: seen[0] != "Downloaded", "nothing is evicted")
    pods.create(kserve_pod(EARLY, uri_of(EARLY), node=NODE))
    read = pods.read(EARLY)
    assert read["bytes"] == MODEL_MEBIBYTES * MEBIBYTE
    assert read["digest"] == digest_of(crowded, EARLY)
    assert state_of(crowded, EARLY) == ("Downloaded", "")
    assert state_of(crowded, LATE)[0] != "Downloaded"


def test_a_copy_in_use_stays_until_its_pod_has_gone(crowded: Deployment, pods: Pods) -> None:
    make_cache(crowded, LATE)
    pods.create(kserve_pod(EARLY, uri_of(EARLY), node=NODE))
    pods.ready(EARLY)
    pods.create(kserve_pod(LATE, uri_of(LATE), node=NODE))
    held = ("InsufficientStorage", "HeldByModelsInUse")
    eventually(lambda: state_of(crowded, LATE), lambda seen: seen == held, "the model in use does not hold its place")
    assert state_of(crowded, EARLY) == ("Downloaded", "")
    assert pods.read(EARLY)["digest"] == digest_of(crowded, EARLY)
    pods.until(LATE, guard_waits, "held by its guard")
    pods.delete(EARLY)
    assert pods.read(LATE)["digest"] == digest_of(crowded, LATE)
    eventually(lambda: state_of(crowded, EARLY)[0], lambda seen: seen == "Evicted", "the unused copy stays")
