"""The demo's overlay: commands that exist, rights that suffice, and names that agree."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from cachecore.names import STORAGE_CONFIG_SECRET, SYSTEM_NAMESPACE
from cachecore.ports import ClusterClient
from cachecore.resources import core, serving
from cachecore.resources.meta import from_object
from cachesim.demo.deployment import KSERVE, PART_OF
from cachesim.demo.models import BUCKET
from cachesim.demo.s3_pod import build_parser
from cachesim.kserve.__main__ import parser
from cachesim.kserve.definitions import kserve_definitions
from cachesim.kserve.namespaced import NamespacedClient

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
By = dict[tuple[str, str], Manifest]

NAMESPACE = "localmodel-demo"


@pytest.fixture(scope="session")
def folder(repository: Path) -> Path:
    return repository / "deploy" / "overlays" / "demo"


@pytest.fixture
def built(render: Render) -> By:
    return {(each["kind"], each["metadata"]["name"]): each for each in render("demo")}


@pytest.fixture
def story(folder: Path) -> dict[str, Manifest]:
    return {each["kind"]: each for each in yaml.safe_load_all((folder / "story.yaml").read_text())}


def container(built: By, name: str) -> Manifest:
    (found,) = built["Deployment", name]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_definitions_are_those_of_the_local_cluster(folder: Path) -> None:
    """A copy: the local cluster makes them, and Kustomize runs nothing."""
    written = list(yaml.safe_load_all((folder / "parts" / "kserve-definitions.yaml").read_text()))
    assert written == kserve_definitions()


def test_the_stand_in_takes_its_arguments(built: By) -> None:
    given = container(built, "kserve-stand-in")
    assert given["command"] == ["python", "-m", "cachesim.kserve"]
    flags = parser({}).parse_flags(given["args"])
    assert flags.namespace == "$(POD_NAMESPACE)"
    for command in (flags.storage_initializer_command, flags.serving_command):
        python, flag, module = command.split()
        assert (python, flag) == ("python", "-m")
        assert importlib.util.find_spec(module) is not None
    assert {port["name"]: port["containerPort"] for port in given["ports"]} == {"status": flags.port}


def test_s3_takes_its_arguments(built: By) -> None:
    given = container(built, "demo-s3")
    assert given["command"] == ["python", "-m", "cachesim.demo.s3_pod"]
    flags = build_parser().parse_args(given["args"])
    assert {port["name"]: port["containerPort"] for port in given["ports"]} == {"s3": flags.port}


@pytest.mark.parametrize("name", ["demo-s3", "kserve-stand-in"])
def test_its_pods_are_restricted(built: By, name: str) -> None:
    pod = built["Deployment", name]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    context = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container(built, name)["securityContext"] == context


def test_the_stand_in_has_rights_in_its_namespace_only(built: By) -> None:
    bindings = [
        each
        for (kind, _), each in built.items()
        if kind in ("RoleBinding", "ClusterRoleBinding") and each["subjects"][0]["name"] == "kserve-stand-in"
    ]
    assert [(each["kind"], each["metadata"]["namespace"]) for each in bindings] == [("RoleBinding", NAMESPACE)]


def test_the_stand_in_has_the_rights_that_its_code_uses(built: By) -> None:
    rights = {
        (resource, verb)
        for rule in built["Role", "kserve-stand-in"]["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert rights == {
        # standin.py: two informers, _living_pods, reconcile, _delete, _write_status.
        *(("inferenceservices", verb) for verb in ("list", "watch")),
        *(("pods", verb) for verb in ("list", "watch", "create", "delete")),
        ("inferenceservices/status", "patch"),
        # predictor.py: the service blocks its deletion by its pods, which may take this right.
        ("inferenceservices/finalizers", "update"),
        # credentials.py.
        ("serviceaccounts", "get"),
        ("secrets", "get"),
    }


class Listening:
    """A client that notes the namespaces that it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def list(self, kind: type, *, namespace: str, **_: Any) -> None:
        self.asked.append(namespace)

    async def watch(self, kind: type, *, namespace: str, **_: Any) -> None:
        self.asked.append(namespace)


def test_the_stand_in_asks_for_its_namespace_only() -> None:
    listening = Listening()

    async def ask() -> None:
        client = NamespacedClient(cast("ClusterClient", listening), "mine")
        await client.list(core.Pod, label_selector="a")
        await client.watch(core.Pod, resource_version="1")
        await client.list(core.Pod, namespace="named")

    asyncio.run(ask())
    assert listening.asked == ["mine", "mine", "named"]


def test_all_know_where_s3_is(built: By) -> None:
    service = built["Service", "demo-s3"]
    address = f"demo-s3.{service['metadata']['namespace']}.svc:{service['spec']['ports'][0]['port']}"
    secret = built["Secret", "demo-s3"]
    assert secret["metadata"]["annotations"][f"{serving.GROUP}/s3-endpoint"] == address
    config = built["Secret", STORAGE_CONFIG_SECRET]
    assert config["metadata"]["namespace"] == SYSTEM_NAMESPACE
    entry = json.loads(config["stringData"]["demo-s3"])
    assert entry["endpoint_url"] == f"http://{address}"
    assert entry["access_key_id"] == secret["stringData"]["AWS_ACCESS_KEY_ID"]
    assert entry["secret_access_key"] == secret["stringData"]["AWS_SECRET_ACCESS_KEY"]


def test_the_story_is_of_the_model_that_is_there(built: By, story: dict[str, Manifest]) -> None:
    model = build_parser().parse_args(container(built, "demo-s3")["args"]).model
    cache = from_object(serving.LocalModelCache, story["LocalModelCache"])
    group = from_object(serving.LocalModelNodeGroup, story["LocalModelNodeGroup"])
    assert cache.spec.source_model_uri == f"s3://{BUCKET}/{model}"
    assert cache.spec.node_groups == (group.name,)
    assert cache.spec.storage is not None
    assert cache.spec.storage.key in built["Secret", STORAGE_CONFIG_SECRET]["stringData"]


def test_the_story_s_service_is_one_that_the_stand_in_serves(built: By, story: dict[str, Manifest]) -> None:
    service = story["InferenceService"]
    assert service["metadata"]["namespace"] == NAMESPACE
    predictor = service["spec"]["predictor"]
    assert ("ServiceAccount", predictor["serviceAccountName"]) in built
    environment = {each["name"]: each.get("value") for each in container(built, "kserve-stand-in")["env"]}
    image = container(built, "demo-s3")["image"]
    assert environment["LOCALMODEL_SERVING_IMAGE"] == environment["LOCALMODEL_STORAGE_INITIALIZER_IMAGE"] == image


def test_what_the_demo_adds_to_an_installation_is_told_from_kserve_s(render: Render) -> None:
    parts = {(each["kind"], each["metadata"]["name"]): each for each in render("demo/parts")}
    label = parts["CustomResourceDefinition", KSERVE]["metadata"]["labels"]["app.kubernetes.io/part-of"]
    assert label == PART_OF
    assert {each["metadata"].get("namespace", NAMESPACE) for each in parts.values()} == {NAMESPACE}


def test_the_agents_keep_models_where_the_group_says(built: By, story: dict[str, Manifest]) -> None:
    path = story["LocalModelNodeGroup"]["spec"]["persistentVolumeSpec"]["local"]["path"]
    (agent,) = built["DaemonSet", "localmodel-agent"]["spec"]["template"]["spec"]["containers"]
    assert f"--root={path}" in agent["args"]
