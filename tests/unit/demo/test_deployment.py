"""What `localmodel demo --kubeconfig` brings to a cluster, and takes away: the calls of kubectl."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cachecore.errors import InvalidInput
from cachesim.demo.deployment import DemoDeployment
from cachesim.demo.kubectl import Kubectl, KubectlFailed

OVERLAY = Path(__file__).resolve().parents[3] / "deploy" / "overlays" / "demo"
GROUPS = "localmodelnodegroups.serving.kserve.io"
CACHES = "localmodelcaches.serving.kserve.io"
KSERVE = "inferenceservices.serving.kserve.io"


class FakeKubectl(Kubectl):
    """A cluster of objects by what one gets them by; `failing` are the beginnings of calls that fail."""

    def __init__(self, objects: dict[str, Any], failing: tuple[str, ...] = ()) -> None:
        self.objects = {"daemonset localmodel-agent": None, **demo_objects(), **objects}
        self.failing = failing
        self.calls: list[str] = []

    async def run(self, *arguments: str, given: str = "") -> str:
        call = " ".join(argument for argument in arguments if not argument.startswith(("--namespace", "--timeout")))
        if arguments[0] == "get":
            found = self.objects.get(call.removeprefix("get --ignore-not-found --output=json "))
            return "" if found is None else json.dumps(found)
        self.calls.append(f"{call} <<< {given}" if given else call)
        if call.startswith(self.failing or ("nothing",)):
            raise KubectlFailed(f"{call} failed")
        return ""

    def made(self, beginning: str) -> list[str]:
        return [call for call in self.calls if call.startswith(beginning)]


def demo_objects() -> dict[str, Any]:
    """Which are there once the overlay was applied."""
    annotations = {"serving.kserve.io/s3-endpoint": "demo-s3:9000", "serving.kserve.io/s3-region": "us-east-1"}
    data = {"AWS_ACCESS_KEY_ID": encoded("KEY"), "AWS_SECRET_ACCESS_KEY": encoded("SECRET")}
    return {"secret demo-s3": {"metadata": {"annotations": annotations}, "data": data}}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def definition(part_of: str = "") -> dict[str, Any]:
    return {"metadata": {"labels": {"app.kubernetes.io/part-of": part_of}}}


def items(*names: str, **spec: Any) -> dict[str, Any]:
    return {"items": [{"metadata": {"name": name}, "spec": spec} for name in names]}


def install(kubectl: FakeKubectl) -> DemoDeployment:
    deployment = DemoDeployment(kubectl, OVERLAY)
    asyncio.run(deployment.install())
    return deployment


def test_what_the_demo_installed_goes_with_it() -> None:
    kubectl = FakeKubectl({})
    deployment = install(kubectl)
    assert kubectl.made("apply --server-side --kustomize") == [f"apply --server-side --kustomize {OVERLAY}"]
    assert len(kubectl.made("rollout status")) == 5
    assert asyncio.run(deployment.remove()) == "nothing of it is left"
    assert kubectl.calls[-1] == f"delete --ignore-not-found --kustomize {OVERLAY}"


def test_what_was_installed_before_stays() -> None:
    kubectl = FakeKubectl({"daemonset localmodel-agent": {}})
    deployment = install(kubectl)
    assert kubectl.made("apply --server-side --kustomize") == [f"apply --server-side --kustomize {OVERLAY}/parts"]
    [entry] = [call for call in kubectl.calls if "storage-config" in call]
    assert '\\"endpoint_url\\": \\"http://demo-s3:9000\\"' in entry
    assert asyncio.run(deployment.remove()) == "localmodel stays, and nothing else"
    assert kubectl.calls[-1] == f"delete --ignore-not-found --kustomize {OVERLAY}/parts"


def test_a_demo_that_was_killed_is_taken_up_as_its_own() -> None:
    mark = {"metadata": {"labels": {"localmodel.kserve.io/came-with-demo": "true"}}}
    kubectl = FakeKubectl({"daemonset localmodel-agent": {}, "namespace localmodel-demo": mark})
    assert asyncio.run(install(kubectl).remove()) == "nothing of it is left"


@pytest.mark.parametrize(
    "data, call",
    [
        ({"demo-s3": "e30="}, "delete secret storage-config"),
        (
            {"demo-s3": "e30=", "theirs": "e30="},
            'patch secret storage-config --type=merge --patch={"data":{"demo-s3":null}}',
        ),
    ],
)
def test_somebody_s_credentials_stay(data: dict[str, str], call: str) -> None:
    kubectl = FakeKubectl({"daemonset localmodel-agent": {}, "secret storage-config": {"data": data}})
    asyncio.run(install(kubectl).remove())
    assert call in kubectl.calls


@pytest.mark.parametrize(
    "objects, said",
    [
        ({f"customresourcedefinition {KSERVE}": definition()}, "this cluster has KServe"),
        (
            {f"customresourcedefinition {GROUPS}": {}, GROUPS: items("localmodel-demo", "gpu")},
            "this cluster keeps models \\(node groups: gpu\\)",
        ),
    ],
)
def test_a_cluster_in_use_is_left_alone(objects: dict[str, Any], said: str) -> None:
    kubectl = FakeKubectl(objects)
    deployment = DemoDeployment(kubectl, OVERLAY)
    with pytest.raises(InvalidInput, match=said):
        asyncio.run(deployment.install())
    assert asyncio.run(deployment.remove()) == "nothing was brought"
    assert kubectl.calls == []


def test_what_does_not_start_says_why() -> None:
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    pod = {
        "metadata": {"name": "demo-s3-1"},
        "status": {"containerStatuses": [{"state": {"running": {}}}, {"state": {"waiting": waiting}}]},
    }
    kubectl = FakeKubectl({"pods": {"items": [pod]}}, failing=("rollout status deployment/demo-s3",))
    with pytest.raises(
        KubectlFailed, match="deployment/demo-s3 does not come up: pod demo-s3-1: ErrImagePull: no such"
    ):
        install(kubectl)


def test_caches_that_no_manager_clears_do_not_hold_up_the_removal() -> None:
    group = {f"customresourcedefinition {CACHES}": {}, CACHES: items("stuck", nodeGroups=["localmodel-demo"])}
    kubectl = FakeKubectl(group, failing=(f"delete {CACHES}",))
    said = asyncio.run(install(kubectl).remove())
    assert said == ("the manager did not clear the disks, so models may be left in their folder; nothing of it is left")
    assert kubectl.made(f"patch {CACHES} stuck")


def test_somebody_s_caches_are_not_deleted() -> None:
    objects = {f"customresourcedefinition {CACHES}": {}, CACHES: items("theirs", nodeGroups=["gpu"])}
    kubectl = FakeKubectl(objects)
    asyncio.run(install(kubectl).remove())
    assert kubectl.made(f"delete {CACHES}") == []


def test_an_overlay_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no kustomization.yaml; run this in a checkout of localmodel"):
        DemoDeployment(FakeKubectl({}), tmp_path)


def test_an_overlay_without_parts_adds_nothing_to_an_installation(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").touch()
    deployment = DemoDeployment(FakeKubectl({"daemonset localmodel-agent": {}}), tmp_path)
    with pytest.raises(InvalidInput, match="has no folder `parts`"):
        asyncio.run(deployment.install())
