"""A cluster of two groups of two nodes, the iris cache on the first, and the pods that come to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jsonpatch
import pytest

from cachecore.resources.core import Node
from cachecore.resources.meta import JsonObject
from cachecore.resources.serving import LocalModelCache, LocalModelNamespaceCache, LocalModelNodeGroup
from cachewebhook.admission import Admission, admit
from cachewebhook.catalog import Catalog
from cachewebhook.testing import make_cache, make_group, make_node

NODES = (
    make_node("node-a"),
    make_node("node-b"),
    make_node("gpu-a", group="gpus", devices={"nvidia.com/gpu": "8"}),
    make_node("gpu-b", group="gpus", devices={"nvidia.com/gpu": "8"}),
)


def make_catalog(
    *caches: LocalModelCache | LocalModelNamespaceCache,
    nodes: Iterable[Node] = NODES,
    groups: Iterable[LocalModelNodeGroup] = (make_group("workers"), make_group("gpus")),
) -> Catalog:
    return Catalog(
        caches=[cache for cache in caches if isinstance(cache, LocalModelCache)],
        namespace_caches=[cache for cache in caches if isinstance(cache, LocalModelNamespaceCache)],
        groups=groups,
        nodes=nodes,
    )


class Admitted:
    """A decision, and the pod that comes of it."""

    def __init__(self, pod: JsonObject, admission: Admission) -> None:
        self.admission = admission
        self.pod: dict[str, Any] = jsonpatch.JsonPatch(list(admission.patch)).apply(pod)

    @property
    def untouched(self) -> bool:
        return not self.admission.patch

    def container(self, name: str) -> dict[str, Any]:
        spec = self.pod["spec"]
        found: dict[str, Any] = next(
            each for each in (*spec.get("initContainers", ()), *spec["containers"]) if each["name"] == name
        )
        return found

    def mounts(self, name: str) -> dict[str, dict[str, Any]]:
        """The mounts of a container, by mount path."""
        return {mount["mountPath"]: mount for mount in self.container(name).get("volumeMounts", ())}

    @property
    def init_names(self) -> list[str]:
        return [container["name"] for container in self.pod["spec"].get("initContainers", ())]

    @property
    def claims(self) -> dict[str, str]:
        """Volume name to claim name."""
        return {
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in self.pod["spec"].get("volumes", ())
            if "persistentVolumeClaim" in volume
        }


Admit = Callable[..., Admitted]


@pytest.fixture
def admitted() -> Admit:
    """Admit a pod in team-a, where the iris cache is, unless caches or a catalog are given."""

    def run(
        pod: JsonObject,
        *caches: LocalModelCache | LocalModelNamespaceCache,
        catalog: Catalog | None = None,
        namespace: str = "team-a",
    ) -> Admitted:
        known = catalog if catalog is not None else make_catalog(*(caches or (make_cache(),)))
        return Admitted(pod, admit(pod, namespace=namespace, catalog=known, agent_image="agent:1"))

    return run


@pytest.fixture
def catalog_of() -> Callable[..., Catalog]:
    return make_catalog
