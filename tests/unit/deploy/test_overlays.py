"""The overlays, as they would be applied: images, probes, requests, and what keeps two replicas apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]

OVERLAYS = ("default", "cert-manager", "demo")
OURS = "localmodel/"
REPLICATED = ("localmodel-manager", "localmodel-webhook")
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] in kinds}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pod spec of each workload."""
    workloads = of_kind(manifests, "Deployment", "DaemonSet")
    return {name: each["spec"]["template"]["spec"] for name, each in workloads.items()}


def containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    for pod in pods(manifests).values():
        yield from (*pod.get("initContainers", ()), *pod["containers"])


@pytest.mark.parametrize(("overlay", "definitions"), [("default", 4), ("cert-manager", 4), ("demo", 6)])
def test_it_builds_with_its_definitions(render: Render, overlay: str, definitions: int) -> None:
    assert len(of_kind(render(overlay), "CustomResourceDefinition")) == definitions


@every_overlay
def test_every_image_of_ours_has_one_tag(render: Render, overlay: str) -> None:
    images = {container["image"] for container in containers(render(overlay))}
    assert {image.startswith(OURS) for image in images} == {True}
    assert len({image.partition(":")[2] for image in images}) == 1


@every_overlay
def test_the_guard_is_the_image_of_the_agents(render: Render, overlay: str) -> None:
    built = pods(render(overlay))
    variables = {each["name"]: each.get("value") for each in built["localmodel-webhook"]["containers"][0]["env"]}
    assert variables["LOCALMODEL_AGENT_IMAGE"] == built["localmodel-agent"]["containers"][0]["image"]


@every_overlay
def test_every_container_asks_for_what_it_needs(render: Render, overlay: str) -> None:
    for container in containers(render(overlay)):
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, container["name"]
        assert set(container["resources"]["limits"]) == {"memory"}, container["name"]


@every_overlay
def test_every_service_is_probed(render: Render, overlay: str) -> None:
    selectors = [each["spec"]["selector"] for each in of_kind(render(overlay), "Service").values()]
    for name, workload in of_kind(render(overlay), "Deployment", "DaemonSet").items():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        is_asked = name.startswith("localmodel-") or any(each.items() <= labels.items() for each in selectors)
        for container in workload["spec"]["template"]["spec"]["containers"]:
            assert "livenessProbe" in container, name
            assert "readinessProbe" in container or not is_asked, name


@every_overlay
def test_no_pod_gets_the_variables_of_services(render: Render, overlay: str) -> None:
    """`LOCALMODEL_WEBHOOK_PORT=tcp://10.0.0.1:443` would be the value of a flag."""
    assert [name for name, pod in pods(render(overlay)).items() if pod.get("enableServiceLinks") is not False] == []


@pytest.mark.parametrize("name", REPLICATED)
def test_one_replica_is_always_there(render: Render, name: str) -> None:
    manifests = render("default")
    workload = of_kind(manifests, "Deployment")[name]
    labels = workload["spec"]["selector"]["matchLabels"]
    assert workload["spec"]["replicas"] == 2
    budget = of_kind(manifests, "PodDisruptionBudget")[name]["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    affinity = workload["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    (preferred,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    assert preferred["podAffinityTerm"] == term


def test_the_agents_have_a_priority_of_ours(render: Render) -> None:
    manifests = render("default")
    priority = of_kind(manifests, "PriorityClass")[pods(manifests)["localmodel-agent"]["priorityClassName"]]
    # Above what people give to their pods, and no more than people may give.
    assert 0 < priority["value"] <= 1_000_000_000
    assert not priority.get("globalDefault")


def test_the_agents_run_on_every_node(render: Render) -> None:
    assert pods(render("default"))["localmodel-agent"]["tolerations"] == [{"operator": "Exists"}]


def accounts(manifests: list[Manifest]) -> set[tuple[str, str]]:
    return {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in of_kind(manifests, "ServiceAccount").values()
    }


def referred(manifests: list[Manifest]) -> set[tuple[str, str]]:
    """(namespace, name) of the accounts that bindings name, and of the services that webhooks name."""
    subjects = [
        subject
        for each in manifests
        if each["kind"] in ("RoleBinding", "ClusterRoleBinding")
        for subject in each["subjects"]
    ]
    services = [
        webhook["clientConfig"]["service"]
        for each in manifests
        if each["kind"].endswith("WebhookConfiguration")
        for webhook in each["webhooks"]
    ]
    return {(each["namespace"], each["name"]) for each in (*subjects, *services)}


@every_overlay
def test_every_account_that_is_named_is_there(render: Render, overlay: str) -> None:
    assert referred(render(overlay)) <= accounts(render(overlay))


def test_another_namespace_is_followed(render: Render, repository: Path, tmp_path: Path) -> None:
    base = os.path.relpath(repository / "deploy" / "overlays" / "default", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(f"namespace: elsewhere\nresources: [{base}]\n")
    manifests = render(str(tmp_path.resolve()))
    assert {namespace for namespace, _ in referred(manifests)} == {"elsewhere"}
    assert {namespace for namespace, _ in accounts(manifests)} == {"elsewhere"}
    assert "elsewhere" in of_kind(manifests, "Namespace")
