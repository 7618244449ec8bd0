"""The pods of the manifests under Pod Security's `restricted`, and the manifests themselves, on a real API server.

Ours knows no Pod Security.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cachesim.apiserver.builtin import NAMESPACE, POD
from cachesim.apiserver.options import WriteOptions
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.testing import refused, typed
from cachesim.controlplane.testing import LivePlane
from cachesim.localcluster.testing import Kubectl

pytestmark = pytest.mark.control_plane

OVERLAYS = Path(__file__).parents[2] / "deploy" / "overlays"
RESTRICTED = "pod-security-restricted"
ACCOUNTS = ("localmodel-manager", "localmodel-webhook", "localmodel-agent")
# Of cert-manager, which this API server has never heard of.
UNKNOWN = frozenset({"Certificate", "Issuer"})
# The reasons that deploy/base/agent/daemonset.yaml gives, as Pod Security words them.
REASONS = {
    (
        'unrestricted capabilities (container "own-the-folder" must not include "CHOWN", "FOWNER" in'
        " securityContext.capabilities.add)"
    ),
    'restricted volume types (volume "models" uses restricted volume type "hostPath")',
    'runAsNonRoot != true (container "own-the-folder" must not set securityContext.runAsNonRoot=false)',
    'runAsUser=0 (container "own-the-folder" must not set runAsUser=0)',
}


def rendered(kubectl: Kubectl, overlay: str) -> list[JsonObject]:
    return list(yaml.safe_load_all(kubectl("kustomize", str(OVERLAYS / overlay))))


@pytest.fixture(scope="module")
def restricted(kubectl: Kubectl) -> str:
    """A namespace that lets in nothing but what is restricted, with what admission wants to see beside the pods."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    needed: list[JsonObject] = [typed(NAMESPACE, {"metadata": {"name": RESTRICTED, "labels": labels}})]
    needed += [each for each in rendered(kubectl, "default") if each["kind"] == "PriorityClass"]
    for name in ACCOUNTS:
        metadata = {"name": name, "namespace": RESTRICTED}
        needed.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(needed))
    return RESTRICTED


def admitted(live_plane: LivePlane, template: dict[str, Any], namespace: str) -> None:
    """Whether a controller's pod would be let in: nothing is written."""
    metadata = {**template["metadata"], "generateName": "pod-"}
    pod = typed(POD, {"metadata": metadata, "spec": template["spec"]})
    made = live_plane.plane.verbs.create(POD, pod, namespace=namespace, options=WriteOptions(dry_run=True))
    live_plane.run(made)


def template(kubectl: Kubectl, overlay: str, name: str) -> dict[str, Any]:
    (found,) = (
        each["spec"]["template"]
        for each in rendered(kubectl, overlay)
        if each["kind"] in ("Deployment", "DaemonSet") and each["metadata"]["name"] == name
    )
    return dict(found)


@pytest.mark.parametrize(
    ("overlay", "name"),
    [
        ("default", "localmodel-manager"),
        ("default", "localmodel-webhook"),
        ("cert-manager", "localmodel-webhook"),
    ],
)
def test_it_is_restricted(live_plane: LivePlane, kubectl: Kubectl, restricted: str, overlay: str, name: str) -> None:
    admitted(live_plane, template(kubectl, overlay, name), restricted)


def test_the_agent_is_less_than_restricted_only_as_its_manifest_says(
    live_plane: LivePlane, kubectl: Kubectl, restricted: str
) -> None:
    with refused(403, "Forbidden") as errors:
        admitted(live_plane, template(kubectl, "default", "localmodel-agent"), restricted)
    _, _, reasons = str(errors[0]).partition('violates PodSecurity "restricted:latest": ')
    assert set(re.split(r"(?<=\)), ", reasons)) == REASONS


@pytest.fixture
def empty(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for whatever may come."""
    name = "manifests-of-" + request.getfixturevalue("overlay")
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("overlay", ["default", "cert-manager", "demo"])
def test_the_api_server_takes_every_manifest(kubectl: Kubectl, empty: str, overlay: str) -> None:
    """As a dry run, in a namespace that is there. It compiles each expression, and knows each field."""
    manifests = [each for each in rendered(kubectl, overlay) if each["kind"] not in UNKNOWN]
    for manifest in manifests:
        if "namespace" in manifest["metadata"]:
            manifest["metadata"]["namespace"] = empty
    text = yaml.safe_dump_all(manifests)
    done = kubectl.run("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(manifests)
