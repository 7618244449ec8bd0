"""The guides in docs/: their overlays are built, and what they name is there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from realcluster import guides

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
REGISTRY = "registry.example.com/localmodel/"
# The patch of the agents' folder, in both guides.
PATCH = re.compile(r"^ *```yaml\n( *patches:\n.*?)^ *```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def build(repository: Path, tmp_path: Path, render: Render) -> Callable[[str, str], dict[tuple[str, str], Manifest]]:
    """The manifests of the guide's overlay with more text, on top of another overlay; beside those that it names."""

    def built(base: str, more: str = "") -> dict[tuple[str, str], Manifest]:
        for folder in ("deploy", "crds"):
            shutil.copytree(repository / folder, tmp_path / folder, symlinks=True)
        [(path, text)] = [each for each in guides.files("install.md").items() if "kustomization" in each[0]]
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text.replace("../default", base) + more)
        return {
            (each["kind"], each["metadata"]["name"]): each for each in render(str((tmp_path / path).parent.resolve()))
        }

    return built


def pod_of(built: dict[tuple[str, str], Manifest], kind: str, name: str) -> Manifest:
    pod: Manifest = built[kind, f"localmodel-{name}"]["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("base", ["../default", "../cert-manager"])
def test_all_images_come_from_the_registry_and_the_guard_too(
    build: Callable[..., dict[tuple[str, str], Manifest]], base: str
) -> None:
    built = build(base)
    agent = f"{REGISTRY}agent:0.1.0"
    pod = pod_of(built, "DaemonSet", "agent")
    assert {one["image"] for one in (*pod["initContainers"], *pod["containers"])} == {agent}
    assert pod_of(built, "Deployment", "manager")["containers"][0]["image"] == f"{REGISTRY}manager:0.1.0"
    webhook = pod_of(built, "Deployment", "webhook")["containers"][0]
    assert webhook["image"] == f"{REGISTRY}webhook:0.1.0"
    variables = {each["name"]: each.get("value") for each in webhook["env"]}
    assert variables["LOCALMODEL_AGENT_IMAGE"] == agent


@pytest.mark.parametrize(("guide", "folder"), [("install.md", "/mnt/nvme/localmodel"), ("migrate.md", "/models")])
def test_the_patch_moves_the_agents_folder(
    build: Callable[..., dict[tuple[str, str], Manifest]], guide: str, folder: str
) -> None:
    [patch] = PATCH.findall((guides.DOCS / guide).read_text())
    indented = len(patch) - len(patch.lstrip())
    patch = "".join(line[indented:] for line in patch.splitlines(keepends=True))
    paths = [
        volume.get("hostPath", {}).get("path")
        for volume in pod_of(build("../default", patch), "DaemonSet", "agent")["volumes"]
    ]
    assert folder in paths


def test_the_group_keeps_models_where_the_agents_do(workloads: dict[str, Manifest]) -> None:
    group = yaml.safe_load(guides.files("install.md")["group.yaml"])
    path = group["spec"]["persistentVolumeSpec"]["local"]["path"]
    assert path in [volume.get("hostPath", {}).get("path") for volume in workloads["agent"]["volumes"]]


def test_the_images_that_are_built_are_targets(repository: Path) -> None:
    targets = re.findall(r"--target (\w+)", (guides.DOCS / "install.md").read_text())
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (repository / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert targets == ["manager", "agent", "webhook"]
    assert set(targets) <= set(stages)


def test_the_reasons_to_look_for_are_in_the_reference() -> None:
    """In the first column of the table of troubles; what has no blank and no slash in it is a reason."""
    text = (guides.DOCS / "install.md").read_text()
    table = text.partition("## When it does not")[2].partition("## Upgrade")[0]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    reasons = {word for first in firsts for word in re.findall(r"`([A-Z][A-Za-z]+)`", first)}
    known = set(re.findall(r"^\| `(\w+)` \|", (guides.DOCS / "reference.md").read_text(), re.MULTILINE))
    assert len(reasons) > 10
    assert reasons <= known
