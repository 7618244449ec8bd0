"""Reads from a pod which models it is about to download, and which claims it mounts already.

KServe's pods come in two shapes. Before its pod mutator ran, an annotation names one URI. After it (and from the
LLMInferenceService controller, which has no such mutator) an init container downloads pairs of URI and path into an
emptyDir that the other containers mount.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator
from typing import Any

import msgspec

from cachecore.names import (
    INFERENCE_SERVICE_LABEL,
    LOCAL_MODEL_CLAIM_ANNOTATION,
    LOCAL_MODEL_LABEL,
    STORAGE_INITIALIZER_CONTAINER,
    STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION,
)
from cachecore.resources.meta import JsonObject

READ_ONLY_ANNOTATION = "storage.kserve.io/readonly"
STORAGE_CONTAINER_ANNOTATION = "internal.serving.kserve.io/storage-container-name"
_PULLER_ANNOTATION = "internal.serving.kserve.io/agent"
_CONFIDENTIAL_ANNOTATION = "internal.serving.kserve.io/confidential-enabled"
_CONFIDENTIAL_VARIABLE = "CONFIDENTIAL_ENABLED"


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """One model that the storage-initializer fetches: into which volume, and where in it ("" is its root)."""

    uri: str
    path: str
    volume: str = ""
    folder: str = ""


class PodShape(msgspec.Struct, frozen=True, kw_only=True):
    """`source_uri` is what KServe's mutator has yet to inject a download for; "" when there is nothing left to it.

    `objection` says why the downloads can't be replaced by a cached copy, although the URIs may be cached.
    """

    source_uri: str = ""
    assigned_claim: str = ""
    downloads: tuple[Download, ...] = ()
    objection: str = ""


def read_shape(pod: JsonObject) -> PodShape:
    """The downloads that the pod is about to make."""
    metadata = pod.get("metadata") or {}
    annotations: JsonObject = metadata.get("annotations") or {}
    labels: JsonObject = metadata.get("labels") or {}
    spec: JsonObject = pod.get("spec") or {}
    initializer = storage_initializer(spec)
    if initializer is not None:
        return _injected(spec, initializer, annotations)
    source_uri = annotations.get(STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION) or ""
    if not source_uri or INFERENCE_SERVICE_LABEL not in labels or _PULLER_ANNOTATION in annotations:
        return PodShape()
    assigned = annotations.get(LOCAL_MODEL_CLAIM_ANNOTATION) or "" if LOCAL_MODEL_LABEL in labels else ""
    return PodShape(source_uri=source_uri, assigned_claim=assigned, objection=_objection(annotations))


def storage_initializer(spec: JsonObject) -> JsonObject | None:
    """The init container that downloads, when it has been injected."""
    for container in spec.get("initContainers") or ():
        if container.get("name") == STORAGE_INITIALIZER_CONTAINER:
            return dict(container)
    return None


def containers(spec: JsonObject) -> Iterator[JsonObject]:
    """Every container but the one that downloads."""
    for container in spec.get("initContainers") or ():
        if container.get("name") != STORAGE_INITIALIZER_CONTAINER:
            yield container
    yield from spec.get("containers") or ()


def path_below(path: str, parent: str) -> str | None:
    """`path` relative to `parent`; "" when they are the same, None when it does not lie below."""
    if not parent:
        return path
    if path == parent:
        return ""
    prefix = parent if parent.endswith("/") else f"{parent}/"
    return path.removeprefix(prefix) if path.startswith(prefix) else None


def _injected(spec: JsonObject, initializer: JsonObject, annotations: JsonObject) -> PodShape:
    arguments: list[Any] = initializer.get("args") or []
    if len(arguments) % 2 or not all(isinstance(argument, str) for argument in arguments):
        return PodShape(objection="its storage-initializer has arguments other than pairs of URI and path")
    downloads = tuple(
        _located(Download(uri=uri, path=posixpath.normpath(path)), spec, initializer)
        for uri, path in zip(arguments[::2], arguments[1::2], strict=True)
    )
    objection = (
        _objection(annotations) or _objection_to_initializer(initializer) or _objection_to_mounts(spec, downloads)
    )
    return PodShape(downloads=downloads, objection=objection)


def _located(download: Download, spec: JsonObject, initializer: JsonObject) -> Download:
    """With the emptyDir that it goes to; without one when it goes elsewhere."""
    empty_dirs = {volume.get("name") for volume in spec.get("volumes") or () if "emptyDir" in volume}
    best = ""
    for mount in initializer.get("volumeMounts") or ():
        mount_path = posixpath.normpath(mount.get("mountPath", ""))
        below = path_below(download.path, mount_path)
        if below is None or len(mount_path) <= len(best):
            continue
        best = mount_path
        if mount.get("name") in empty_dirs and not mount.get("subPathExpr"):
            folder = posixpath.join(mount.get("subPath") or "", below).strip("/")
            download = msgspec.structs.replace(download, volume=mount["name"], folder=folder)
        else:
            download = msgspec.structs.replace(download, volume="", folder="")
    return download


def _objection(annotations: JsonObject) -> str:
    if annotations.get(READ_ONLY_ANNOTATION) == "false":
        return f"it wants to write into its model ({READ_ONLY_ANNOTATION} is false), and a cached copy is read-only"
    if annotations.get(_CONFIDENTIAL_ANNOTATION) == "true":
        return "its storage-initializer decrypts the model, and the cache holds it as it is stored"
    return ""


def _objection_to_initializer(initializer: JsonObject) -> str:
    for variable in initializer.get("env") or ():
        if variable.get("name") == _CONFIDENTIAL_VARIABLE and variable.get("value") == "true":
            return "its storage-initializer decrypts the model, and the cache holds it as it is stored"
    return ""


def _objection_to_mounts(spec: JsonObject, downloads: tuple[Download, ...]) -> str:
    if any(not download.volume for download in downloads):
        return "its storage-initializer downloads to a volume that is no emptyDir"
    # By its parts, so that a folder comes right before the first one inside it.
    places = sorted(downloads, key=lambda download: (download.volume, download.folder.split("/")))
    for outer, inner in itertools.pairwise(places):
        if outer.volume == inner.volume and path_below(inner.folder, outer.folder) is not None:
            return "it downloads one model into the folder of another"
    volumes = {download.volume for download in downloads}
    for container in containers(spec):
        for mount in container.get("volumeMounts") or ():
            if mount.get("name") not in volumes:
                continue
            if mount.get("subPathExpr"):
                return f"container {container.get('name')} mounts the model by a subPathExpr"
            if not mount.get("readOnly"):
                return (
                    f"container {container.get('name')} may write to the model's volume; "
                    "set readOnly: true on its mount to use the cached copy"
                )
    return ""
