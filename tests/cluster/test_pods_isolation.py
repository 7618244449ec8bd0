"""A namespace's own model, and what pods of another namespace try to get at it: refused, each in words of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cachecore.errors import Forbidden, Invalid
from cachecore.names import storage_key
from cachesim.apiserver.builtin import PERSISTENT_VOLUME_CLAIM
from realcluster.deployment import Deployment
from realcluster.network import CommandFailed
from realcluster.pods import (
    Pods,
    claim_volume,
    kserve_pod,
    mounting_pod,
    put_objects,
    unscheduled,
    waiting,
)

URI = "s3://models/private"
KEY, SHARED_KEY = storage_key(URI), storage_key("s3://models/assistant")
OWN_CLAIM, SHARED_CLAIM = "private-workers", "assistant-workers"
SIZE_BYTES = 10_000
_CACHE = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: storage-config}}
stringData:
  demo-s3: >-
    {{"type": "s3", "access_key_id": "DEMO", "secret_access_key": "nobody-s-secret",
    "endpoint_url": "http://demo-s3.localmodel-demo.svc:9000", "region": "us-east-1"}}
---
apiVersion: serving.kserve.io/v1alpha1
kind: LocalModelNamespaceCache
metadata: {{name: private}}
spec:
  sourceModelUri: {URI}
  modelSize: 1Mi
  nodeGroups: [workers]
  storage: {{key: demo-s3}}
"""


@pytest.fixture(scope="module")
def owner(deployed: Deployment) -> Iterator[Pods]:
    """Team A, which has a model of its own, and a pod `owner` that serves it."""
    put_objects(deployed, {"private/weights.safetensors": SIZE_BYTES})
    pods = Pods(deployed, "team-a")
    pods.kubectl("apply", "--filename=-", given=_CACHE)
    pods.kubectl("wait", "--for=condition=Ready", "localmodelnamespacecache/private", "--timeout=60s")
    pods.create(kserve_pod("owner", URI))
    pods.ready("owner")
    yield pods
    pods.delete("owner")
    pods.kubectl("delete", "localmodelnamespacecache/private", "--timeout=60s")


@pytest.fixture(scope="module")
def team(owner: Pods, deployed: Deployment) -> Iterator[Pods]:
    """Team B, which serves a model that is everybody's: so it has one claim of ours."""
    pods = Pods(deployed, "team-b")
    pods.create(kserve_pod("member", "s3://models/assistant"))
    pods.ready("member")
    yield pods
    pods.delete("member")
    # Nobody needs its claim any more: it goes.
    pods.gone("persistentvolumeclaims")


@pytest.fixture
def other(team: Pods) -> Iterator[Pods]:
    """Team B, with nothing of what the test has made left when it is over."""
    yield team
    team.delete("thief", "vandal", "curious")
    team.kubectl("delete", "persistentvolumeclaim/stolen", "--ignore-not-found", "--timeout=60s")


def test_the_owner_reads_its_model(owner: Pods) -> None:
    assert owner.read("owner")["bytes"] == SIZE_BYTES


def test_its_claim_is_not_there(other: Pods) -> None:
    other.create(mounting_pod("thief", claim_volume(OWN_CLAIM)))
    pod = other.until("thief", lambda pod: bool(unscheduled(pod)), "refused")
    assert f'persistentvolumeclaim "{OWN_CLAIM}" not found' in unscheduled(pod)


def test_a_claim_that_names_its_volume_is_never_bound(other: Pods) -> None:
    spec = {
        "accessModes": ["ReadOnlyMany"],
        "storageClassName": "local-models",
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeName": f"{OWN_CLAIM}-team-a",
    }
    other.make(PERSISTENT_VOLUME_CLAIM, {"metadata": {"name": "stolen"}, "spec": spec})
    other.create(mounting_pod("thief", claim_volume("stolen")))
    other.told("stolen", f'volume "{OWN_CLAIM}-team-a" already bound to a different claim.')
    pod = other.until("thief", lambda pod: bool(unscheduled(pod)), "refused")
    assert "pod has unbound immediate PersistentVolumeClaims" in unscheduled(pod)


def test_a_path_out_of_another_volume_is_refused(other: Pods) -> None:
    with pytest.raises(Invalid, match=r"must not contain '\.\.'"):
        other.create(mounting_pod("thief", claim_volume(SHARED_CLAIM), sub_path=f"../{KEY}/models/{KEY}"))


def test_a_path_that_a_variable_makes_is_refused_on_the_node(other: Pods) -> None:
    mount = {"name": "model", "mountPath": "/mnt/models", "subPathExpr": "$(UP)"}
    up = [{"name": "UP", "value": f"../{KEY}/models/{KEY}"}]
    other.create(mounting_pod("thief", claim_volume(SHARED_CLAIM), env=up, volumeMounts=[mount]))
    pod = other.until("thief", lambda pod: waiting(pod).get("reason") == "CreateContainerConfigError", "refused")
    assert waiting(pod)["message"] == f"unable to provision SubPath `../{KEY}/models/{KEY}`: must not contain '..'"


def test_another_key_in_its_own_claim_is_no_folder(other: Pods, deployed: Deployment) -> None:
    other.create(mounting_pod("thief", claim_volume(SHARED_CLAIM), sub_path=f"models/{KEY}"))
    pod = other.until("thief", lambda pod: waiting(pod).get("reason") == "CreateContainerConfigError", "refused")
    assert 'failed to create subPath directory for volumeMount "model"' in waiting(pod)["message"]
    node = deployed.cluster.nodes[pod["spec"]["nodeName"]]
    below = deployed.cluster.run(node.run("find", "/var/lib/localmodel", "-path", f"*/models/{KEY}"))
    assert below.split() == [f"/var/lib/localmodel/{KEY}/models/{KEY}"]


def test_all_of_its_own_claim_is_one_model(other: Pods) -> None:
    other.create(mounting_pod("curious", claim_volume(SHARED_CLAIM)))
    other.ready("curious")
    assert other.run("curious", "find", "/mnt/models", "-mindepth", "1", "-type", "d").split() == [
        "/mnt/models/models",
        f"/mnt/models/models/{SHARED_KEY}",
    ]


@pytest.mark.parametrize("sub_path", ["", f"models/{SHARED_KEY}"])
@pytest.mark.parametrize("annotations", [{}, {"serving.kserve.io/disable-localmodel": "true"}])
def test_nobody_writes_into_a_copy_that_others_read(other: Pods, sub_path: str, annotations: dict[str, Any]) -> None:
    """Not as root, not with a claim that is not said to be read-only, not without our webhook."""
    pod = mounting_pod("vandal", claim_volume(SHARED_CLAIM), sub_path=sub_path)
    pod["metadata"]["annotations"] = annotations
    other.create(pod)
    other.ready("vandal")
    with pytest.raises(CommandFailed, match="Read-only file system"):
        other.run("vandal", "touch", "/mnt/models/mine")


def test_the_nodes_disk_is_forbidden(other: Pods) -> None:
    with pytest.raises(Forbidden, match=r"violates PodSecurity .baseline:latest.: hostPath volumes"):
        other.create(mounting_pod("thief", {"hostPath": {"path": f"/var/lib/localmodel/{KEY}"}}))


def test_its_uri_is_cached_for_nobody_else(other: Pods) -> None:
    """Who has credentials of his own downloads it, as without a cache."""
    pod = other.admitted(kserve_pod("thief", URI))
    assert [container["name"] for container in pod["spec"]["initContainers"]] == ["storage-initializer"]
    assert "localmodel.kserve.io/key" not in pod["metadata"]["labels"]


def test_a_pod_that_claims_to_use_its_model_gets_no_claim(other: Pods) -> None:
    pod = mounting_pod("thief", claim_volume(OWN_CLAIM))
    pod["metadata"]["labels"] = {"localmodel.kserve.io/key": KEY}
    other.create(pod)
    pod = other.until("thief", lambda pod: bool(unscheduled(pod)), "refused")
    assert f'persistentvolumeclaim "{OWN_CLAIM}" not found' in unscheduled(pod)
