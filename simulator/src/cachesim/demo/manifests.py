"""The objects that the story applies, as a person would write them in YAML."""

from __future__ import annotations

import msgspec

from cachecore.names import INFERENCE_SERVICE_LABEL, STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION
from cachecore.resources.core import EnvVar, Pod, PodSpec
from cachecore.resources.meta import JsonObject, ObjectMeta
from cachecore.resources.serving import GROUP, VERSION, Eviction
from cachesim.demo.models import Model
from cachesim.demo.venue import Scene
from cachesim.kserve.predictor import serving_container, with_storage_initializer

SERVICE = "assistant"


def node_group(scene: Scene, limit_bytes: int, *, bandwidth_limit: int | None = None) -> JsonObject:
    """The scene's nodes, each with so much room for models."""
    named = {"operator": "In", "values": list(scene.group_nodes)} if scene.group_nodes else {"operator": "Exists"}
    modes = {"accessModes": ["ReadOnlyMany"], "storageClassName": "local-models"}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LocalModelNodeGroup",
        "metadata": {"name": scene.node_group},
        "spec": {
            "storageLimit": str(limit_bytes),
            "persistentVolumeSpec": {
                **modes,
                "capacity": {"storage": str(limit_bytes)},
                "volumeMode": "Filesystem",
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": scene.group_path},
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", **named}]}]
                    }
                },
            },
            "persistentVolumeClaimSpec": {**modes, "resources": {"requests": {"storage": str(limit_bytes)}}},
            **({} if bandwidth_limit is None else {"bandwidthLimit": str(bandwidth_limit)}),
        },
    }


def cache(scene: Scene, model: Model, *, copies: int | None = None) -> JsonObject:
    """The model on all nodes of the group, or on as many as `copies` says."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LocalModelCache",
        "metadata": {"name": model.name},
        "spec": {
            "sourceModelUri": model.uri,
            "modelSize": str(model.bytes_total),
            "nodeGroups": [scene.node_group],
            "storage": {"key": scene.storage_key},
            **({} if copies is None else {"copies": copies}),
        },
    }


def pod(scene: Scene, name: str, model: Model, environment: tuple[EnvVar, ...]) -> Pod:
    """A serving pod as KServe makes it, with its storage initializer: the same with the cache and without."""
    spec = PodSpec(
        service_account_name=scene.service_account,
        containers=(serving_container({}, scene.images),),
        termination_grace_period_seconds=5,
    )
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=scene.namespace,
            labels={"app": name, INFERENCE_SERVICE_LABEL: name},
            annotations={STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION: model.uri},
        ),
        spec=with_storage_initializer(spec, model.uri, environment, scene.images),
    )


def inference_service(scene: Scene, model: Model, replicas: int) -> JsonObject:
    """A service that a model owner would deploy, with nothing about caches in it.

    It names its container, since whoever deployed the stand-in for KServe may have its images elsewhere.
    """
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": SERVICE, "namespace": scene.namespace},
        "spec": {
            "predictor": {
                "minReplicas": replicas,
                "serviceAccountName": scene.service_account,
                "model": {"modelFormat": {"name": "huggingface"}, "storageUri": model.uri},
                "containers": [msgspec.json.decode(msgspec.json.encode(serving_container({}, scene.images)))],
            }
        },
    }


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How large everything is, for a model of so many bytes: fractions that make the pressure step come out.

    The model and two fillers stay below the high watermark, a third exceeds the limit; the model and the slow one fit.
    """

    model_bytes: int

    @property
    def filler_bytes(self) -> int:
        return max(self.model_bytes // 5, 2**20)

    @property
    def slow_bytes(self) -> int:
        return 2 * self.filler_bytes

    @property
    def limit_bytes(self) -> int:
        least = (self.model_bytes + 2 * self.filler_bytes) * 100 // Eviction().high_watermark
        most = self.model_bytes + 3 * self.filler_bytes
        return (least + most) // 2

    @property
    def disk_bytes(self) -> int:
        """What a node's disk must hold: the uncached pod's own copy, the limit, and some room."""
        return self.model_bytes + self.limit_bytes + 64 * 2**20
