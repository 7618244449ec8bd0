"""Pods as KServe makes them, and caches, groups and nodes around them, for tests of admission."""

from __future__ import annotations

from typing import Any

from cachecore.names import (
    INFERENCE_SERVICE_LABEL,
    STORAGE_INITIALIZER_CONTAINER,
    STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION,
    STORAGE_INITIALIZER_VOLUME,
)
from cachecore.resources.core import Node, NodeCondition, NodeSpec, NodeStatus, Taint
from cachecore.resources.meta import JsonObject, ObjectMeta
from cachecore.resources.serving import (
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelCacheStatus,
    LocalModelNamespaceCache,
    LocalModelNodeGroup,
    LocalModelNodeGroupSpec,
    NodeStatusValue,
)

IRIS = "s3://bucket/iris"
MODELS = "/mnt/models"


def make_node(
    name: str,
    *,
    group: str = "workers",
    ready: bool = True,
    cordoned: bool = False,
    taint: str = "",
    devices: dict[str, str] | None = None,
) -> Node:
    """A Node with the label `group`."""
    return Node(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", labels={"group": group, "kubernetes.io/hostname": name}),
        spec=NodeSpec(unschedulable=cordoned, taints=(Taint(key=taint, effect="NoSchedule"),) if taint else ()),
        status=NodeStatus(
            conditions=(NodeCondition(type="Ready", status="True" if ready else "False"),), allocatable=devices or {}
        ),
    )


def make_group(
    name: str = "workers", *, limit: str = "100Gi", path: str = "/var/lib/localmodel"
) -> LocalModelNodeGroup:
    """The group of the nodes whose label `group` is its name."""
    return LocalModelNodeGroup(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}"),
        spec=LocalModelNodeGroupSpec(
            storage_limit=limit,
            persistent_volume_spec={"capacity": {"storage": limit}, "local": {"path": path}},
            persistent_volume_claim_spec={"accessModes": ["ReadOnlyMany"]},
            node_selector={"group": name},
        ),
    )


def make_cache(
    name: str = "iris",
    *,
    uri: str = IRIS,
    groups: tuple[str, ...] = ("workers",),
    status: dict[str, NodeStatusValue] | None = None,
    **spec: Any,
) -> LocalModelCache:
    return LocalModelCache(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}"),
        spec=make_cache_spec(uri, groups, spec),
        status=LocalModelCacheStatus(node_status=status or {}),
    )


def make_namespace_cache(
    name: str = "iris",
    *,
    namespace: str = "team-a",
    uri: str = IRIS,
    groups: tuple[str, ...] = ("workers",),
    **spec: Any,
) -> LocalModelNamespaceCache:
    return LocalModelNamespaceCache(
        metadata=ObjectMeta(name=name, namespace=namespace, uid=f"uid-{namespace}-{name}"),
        spec=make_cache_spec(uri, groups, spec),
    )


def make_cache_spec(uri: str, groups: tuple[str, ...], spec: dict[str, Any]) -> LocalModelCacheSpec:
    return LocalModelCacheSpec(**{"source_model_uri": uri, "model_size": "1Gi", "node_groups": groups, **spec})


def annotated_pod(uri: str = IRIS, *, transformer: bool = False, **spec: Any) -> JsonObject:
    """Before KServe's pod mutator: an annotation, and nothing that downloads."""
    containers = [{"name": "kserve-container", "image": "server"}]
    if transformer:
        containers.append({"name": "transformer-container", "image": "transformer"})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "iris-predictor-",
            "labels": {INFERENCE_SERVICE_LABEL: "iris"},
            "annotations": {STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION: uri},
        },
        "spec": {"containers": containers, **spec},
    }


def downloading_pod(
    *pairs: tuple[str, str],
    volume: str = STORAGE_INITIALIZER_VOLUME,
    mount_path: str = MODELS,
    container_mount_path: str = "",
    containers: tuple[str, ...] = ("kserve-container",),
    annotated: bool = False,
    read_only: bool = True,
    **spec: Any,
) -> JsonObject:
    """After KServe's pod mutator (`annotated`), or from the LLMInferenceService controller: an init container."""
    pairs = pairs or ((IRIS, MODELS),)
    mount = {"name": volume, "mountPath": container_mount_path or mount_path, "readOnly": read_only}
    annotations = {STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION: pairs[0][0]} if annotated else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "iris-predictor-",
            "labels": {INFERENCE_SERVICE_LABEL: "iris"},
            "annotations": annotations,
        },
        "spec": {
            "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": volume, "emptyDir": {}}],
            "initContainers": [
                {
                    "name": STORAGE_INITIALIZER_CONTAINER,
                    "image": "kserve/storage-initializer",
                    "args": [argument for pair in pairs for argument in pair],
                    "volumeMounts": [{"name": volume, "mountPath": mount_path}],
                }
            ],
            "containers": [
                {
                    "name": name,
                    "image": "server",
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}, dict(mount)],
                }
                for name in containers
            ],
            **spec,
        },
    }


def run_kserve_mutator(pod: JsonObject) -> JsonObject:
    """What KServe's pod mutator makes of an annotation: a claim is mounted, anything else is downloaded.

    As KServe does, it leaves alone a pod that has a storage-initializer, and adds no mount of a volume twice.
    """
    metadata, spec = dict(pod["metadata"]), dict(pod["spec"])
    uri = metadata.get("annotations", {}).get(STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION, "")
    init_containers = list(spec.get("initContainers", ()))
    if not uri or any(container["name"] == STORAGE_INITIALIZER_CONTAINER for container in init_containers):
        return pod
    if uri.startswith("pvc://"):
        claim, _, path = uri.removeprefix("pvc://").partition("/")
        volume = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": claim}}
        mount = {"name": "kserve-pvc-source", "mountPath": MODELS, "subPath": path, "readOnly": True}
    else:
        volume = {"name": STORAGE_INITIALIZER_VOLUME, "emptyDir": {}}
        mount = {"name": STORAGE_INITIALIZER_VOLUME, "mountPath": MODELS, "readOnly": True}
        writable = {name: value for name, value in mount.items() if name != "readOnly"}
        spec["initContainers"] = [
            *init_containers,
            {"name": STORAGE_INITIALIZER_CONTAINER, "args": [uri, MODELS], "volumeMounts": [writable]},
        ]
    spec["containers"] = [
        container
        if any(each["name"] == mount["name"] for each in container.get("volumeMounts", ()))
        else {**container, "volumeMounts": [*container.get("volumeMounts", ()), mount]}
        for container in spec["containers"]
    ]
    volumes = spec.get("volumes", [])
    if all(each["name"] != volume["name"] for each in volumes):
        spec["volumes"] = [*volumes, volume]
    return {**pod, "metadata": metadata, "spec": spec}
