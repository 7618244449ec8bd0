"""S10: admission is idempotent. A second call changes nothing, with or without KServe's mutator in between."""

from __future__ import annotations

import random
from typing import Any

import jsonpatch
import msgspec
import pytest

from cachecore.names import storage_key
from cachewebhook.admission import Reason
from cachewebhook.json_patch import json_patch
from cachewebhook.testing import (
    IRIS,
    annotated_pod,
    downloading_pod,
    make_cache,
    make_namespace_cache,
    run_kserve_mutator,
)

CACHES = (
    make_cache(groups=("workers", "gpus")),
    make_cache("rose", uri="s3://bucket/rose", groups=("gpus",)),
    make_cache("nested", uri=f"{IRIS}/v2"),
    make_namespace_cache("own", uri="hf://owner/model"),
)
URIS = (IRIS, f"{IRIS}/v1", f"{IRIS}/v2/deep", "s3://bucket/rose", "hf://owner/model", "s3://bucket/other", "oci://x/y")
SEEDS = range(300)


def generated_pod(seed: int) -> dict[str, Any]:
    """Any of the shapes, with what pods have beside."""
    chance = random.Random(seed)
    pod = annotated_pod(chance.choice(URIS), transformer=chance.random() < 0.3)
    if chance.random() < 0.6:
        count = chance.randint(1, 3)
        names = chance.sample(["main", "kserve-container", "worker-container", "transformer-container"], count)
        pairs = [(uri, f"/mnt/models/{index}") for index, uri in enumerate(chance.sample(URIS, count))]
        pod = downloading_pod(
            *(pairs if chance.random() < 0.6 else [(pairs[0][0], "/mnt/models")]),
            containers=tuple(names),
            annotated=chance.random() < 0.5,
            mount_path=chance.choice(["/mnt/models", "/mnt"]),
            read_only=chance.random() < 0.9,
        )
    decorate(pod, chance)
    return pod


def decorate(pod: dict[str, Any], chance: random.Random) -> None:
    spec, metadata = pod["spec"], pod["metadata"]
    if chance.random() < 0.3:
        spec["nodeSelector"] = {"group": chance.choice(["workers", "gpus", "elsewhere"])}
    if chance.random() < 0.3:
        spec["initContainers"] = [{"name": "istio-init"}, *spec.get("initContainers", [])]
    if chance.random() < 0.2:
        metadata["annotations"]["serving.kserve.io/nodegroup"] = chance.choice(["workers", "gpus"])
    if chance.random() < 0.2:
        claim = chance.choice(["iris-gpus", "rose-gpus", "unknown"])
        key = storage_key(IRIS if claim == "iris-gpus" else "s3://bucket/rose")
        spec["volumes"] = [*spec.get("volumes", []), {"name": "own", "persistentVolumeClaim": {"claimName": claim}}]
        mount = {"name": "own", "mountPath": "/own", "subPath": chance.choice([f"models/{key}", f"models/{key}/x", ""])}
        spec["containers"][0]["volumeMounts"] = [*spec["containers"][0].get("volumeMounts", []), mount]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_second_call_changes_nothing(admitted: Any, seed: int) -> None:
    once = admitted(generated_pod(seed), *CACHES)
    again = admitted(once.pod, *CACHES)
    assert again.admission.patch == ()
    assert again.admission.keys == once.admission.keys


@pytest.mark.parametrize("seed", SEEDS)
def test_kserve_and_we_come_to_rest(admitted: Any, seed: int) -> None:
    """The API server calls each once more after the other changed the pod; by then nothing is left to do."""
    pod = admitted(generated_pod(seed), *CACHES).pod
    pod = admitted(run_kserve_mutator(pod), *CACHES).pod
    assert run_kserve_mutator(pod) == pod
    assert admitted(pod, *CACHES).admission.patch == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_either_order_mounts_the_same_models(admitted: Any, seed: int) -> None:
    first = admitted(generated_pod(seed), *CACHES)
    second = admitted(run_kserve_mutator(generated_pod(seed)), *CACHES)
    assert first.admission.keys == second.admission.keys


@pytest.mark.parametrize("seed", SEEDS)
def test_the_pod_stays_one_that_kubernetes_takes(admitted: Any, seed: int) -> None:
    pod = run_kserve_mutator(admitted(generated_pod(seed), *CACHES).pod)
    spec = admitted(pod, *CACHES).pod["spec"]
    volumes = [volume["name"] for volume in spec.get("volumes", ())]
    containers = [*spec.get("initContainers", ()), *spec["containers"]]
    assert len(set(volumes)) == len(volumes)
    assert len({container["name"] for container in containers}) == len(containers)
    for container in containers:
        mounts = container.get("volumeMounts", ())
        assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
        assert {mount["name"] for mount in mounts} <= set(volumes)


def test_the_corpus_has_every_outcome_that_it_should(admitted: Any) -> None:
    reasons = {admitted(generated_pod(seed), *CACHES).admission.reason for seed in SEEDS}
    assert {Reason.MOUNTED, Reason.NOT_CACHED, Reason.NO_USABLE_NODE, Reason.UNSUITABLE_POD} <= reasons


@pytest.mark.parametrize("seed", range(100))
def test_a_patch_turns_one_document_into_the_other(seed: int) -> None:
    old, new = generated_pod(seed), generated_pod(seed + 1)
    patch = msgspec.json.decode(msgspec.json.encode(json_patch(old, new)))
    assert jsonpatch.JsonPatch(patch).apply(old) == new


def test_an_element_in_the_middle_moves_no_other() -> None:
    old, new = {"a": [1, 2, 3]}, {"a": [1, 9, 2, 3]}
    assert json_patch(old, new) == ({"op": "add", "path": "/a/1", "value": 9},)


def test_names_with_slashes_are_escaped() -> None:
    assert json_patch({"a/b~": 1}, {"a/b~": 2}) == ({"op": "replace", "path": "/a~1b~0", "value": 2},)
