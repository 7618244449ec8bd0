"""The pod of an InferenceService's predictor, in the shape that KServe gives it: pure."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from cachecore.names import (
    DEFAULT_MODEL_MOUNT_PATH,
    INFERENCE_SERVICE_LABEL,
    STORAGE_INITIALIZER_CONTAINER,
    STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION,
    STORAGE_INITIALIZER_VOLUME,
)
from cachecore.resources.core import Container, EnvVar, Pod, PodSpec, Toleration, Volume, VolumeMount
from cachecore.resources.meta import JsonObject, ObjectMeta, owner_reference
from cachecore.resources.serving import InferenceService
from cachesim.containers.images import READER_IMAGE, STORAGE_INITIALIZER_IMAGE

SERVING_CONTAINER = "kserve-container"
COMPONENT_LABEL = "component"
TEMPLATE_HASH_LABEL = "pod-template-hash"


class KServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The images that KServe's configuration and serving runtimes would name; a command empty is the image's own.

    `inject` False leaves the storage initializer to an admission webhook, as KServe's controller does: the pod only has
    the annotation that asks for it.
    """

    storage_initializer_image: str = STORAGE_INITIALIZER_IMAGE
    storage_initializer_command: tuple[str, ...] = ()
    serving_image: str = READER_IMAGE
    serving_command: tuple[str, ...] = ()
    inject: bool = True


def model_of(service: InferenceService) -> JsonObject:
    """The model part of the predictor: the new form, or one of the old ones (`sklearn: {storageUri}`)."""
    predictor: JsonObject = service.spec.get("predictor") or {}
    if predictor.get("model"):
        return dict(predictor["model"])
    framework = next((name for name, part in sorted(predictor.items()) if _is_model(part)), None)
    return {} if framework is None else dict(predictor[framework])


def replicas_of(service: InferenceService) -> int:
    """How many pods: minReplicas, 1 when it is not said."""
    wanted = (service.spec.get("predictor") or {}).get("minReplicas")
    return 1 if wanted is None else max(0, int(wanted))


def predictor_pod(service: InferenceService, environment: tuple[EnvVar, ...], options: KServeOptions) -> Pod:
    """One pod of the service; `environment` holds the storage credentials."""
    predictor: JsonObject = service.spec.get("predictor") or {}
    model = model_of(service)
    uri = str(model.get("storageUri") or "")
    spec = PodSpec(
        service_account_name=predictor.get("serviceAccountName") or "default",
        node_selector=dict(predictor.get("nodeSelector") or {}),
        affinity=predictor.get("affinity"),
        tolerations=msgspec.convert(predictor.get("tolerations") or [], tuple[Toleration, ...]),
        containers=_containers(predictor, model, options),
    )
    if uri and options.inject:
        spec = with_storage_initializer(spec, uri, environment, options)
    labels = {
        **service.metadata.labels,
        **(predictor.get("labels") or {}),
        "app": f"isvc.{service.name}-predictor",
        INFERENCE_SERVICE_LABEL: service.name,
        COMPONENT_LABEL: "predictor",
    }
    annotations = {
        **{key: value for key, value in service.metadata.annotations.items() if not key.startswith("kubectl.")},
        **(predictor.get("annotations") or {}),
        **({STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION: uri} if uri else {}),
    }
    labels[TEMPLATE_HASH_LABEL] = _hash([msgspec.to_builtins(spec), labels, annotations])
    return Pod(
        metadata=ObjectMeta(
            generate_name=f"{service.name}-predictor-{labels[TEMPLATE_HASH_LABEL]}-",
            namespace=service.namespace,
            labels=labels,
            annotations=annotations,
            owner_references=(owner_reference(service),),
        ),
        spec=spec,
    )


def with_storage_initializer(
    spec: PodSpec, uri: str, environment: tuple[EnvVar, ...], options: KServeOptions
) -> PodSpec:
    """What KServe's pod mutator adds: an init container that downloads into an emptyDir, which the server mounts."""
    mount = VolumeMount(name=STORAGE_INITIALIZER_VOLUME, mount_path=DEFAULT_MODEL_MOUNT_PATH)
    initializer = Container(
        name=STORAGE_INITIALIZER_CONTAINER,
        image=options.storage_initializer_image,
        command=options.storage_initializer_command,
        args=(uri, DEFAULT_MODEL_MOUNT_PATH),
        env=environment,
        volume_mounts=(mount,),
        termination_message_policy="FallbackToLogsOnError",
        resources={"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    )
    read_only = msgspec.structs.replace(mount, read_only=True)
    containers = tuple(
        msgspec.structs.replace(container, volume_mounts=(*container.volume_mounts, read_only))
        if container.name == SERVING_CONTAINER
        else container
        for container in spec.containers
    )
    return msgspec.structs.replace(
        spec,
        init_containers=(*spec.init_containers, initializer),
        containers=containers,
        volumes=(*spec.volumes, Volume(name=STORAGE_INITIALIZER_VOLUME, empty_dir={})),
    )


def _containers(predictor: JsonObject, model: JsonObject, options: KServeOptions) -> tuple[Container, ...]:
    """The predictor's own containers, or the one that a serving runtime would bring for the model."""
    own = msgspec.convert(predictor.get("containers") or [], tuple[Container, ...])
    return own or (serving_container(model, options),)


def serving_container(model: JsonObject, options: KServeOptions) -> Container:
    """What a serving runtime would bring for the model part of a predictor."""
    return Container(
        name=SERVING_CONTAINER,
        image=options.serving_image,
        command=options.serving_command,
        args=(f"--model_dir={DEFAULT_MODEL_MOUNT_PATH}", *(model.get("args") or ())),
        env=msgspec.convert(model.get("env") or [], tuple[EnvVar, ...]),
        resources=dict(model.get("resources") or {}),
    )


def _is_model(part: Any) -> bool:
    return isinstance(part, dict) and "storageUri" in part


def _hash(content: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:10]
