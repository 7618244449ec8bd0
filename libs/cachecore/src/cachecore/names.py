"""The labels, annotations, finalizers and object names that the parts agree on.

What KServe defines is spelt as KServe spells it, so that its manifests and clients work unchanged.
"""

from __future__ import annotations

import hashlib

from cachecore.resources.core import Pod

# KServe's.
CACHE_FINALIZER = "localmodel.kserve.io/finalizer"
NAMESPACE_CACHE_FINALIZER = "localmodelnamespacecache.kserve.io/finalizer"
LOCAL_MODEL_LABEL = "internal.serving.kserve.io/localmodel"
LOCAL_MODEL_NAMESPACE_LABEL = "internal.serving.kserve.io/localmodel-namespace"
LOCAL_MODEL_SOURCE_URI_ANNOTATION = "internal.serving.kserve.io/localmodel-sourceuri"
LOCAL_MODEL_CLAIM_ANNOTATION = "internal.serving.kserve.io/localmodel-pvc-name"
STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION = "internal.serving.kserve.io/storage-initializer-sourceuri"
NODE_GROUP_ANNOTATION = "serving.kserve.io/nodegroup"
DISABLE_LOCAL_MODEL_ANNOTATION = "serving.kserve.io/disable-localmodel"
INFERENCE_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
STORAGE_INITIALIZER_CONTAINER = "storage-initializer"
STORAGE_INITIALIZER_VOLUME = "kserve-provision-location"
DEFAULT_MODEL_MOUNT_PATH = "/mnt/models"
STORAGE_CONFIG_SECRET = "storage-config"

# Ours.
DOMAIN = "localmodel.kserve.io"
POD_KEY_LABEL = f"{DOMAIN}/key"
POD_KEYS_ANNOTATION = f"{DOMAIN}/keys"
CACHE_NAME_LABEL = f"{DOMAIN}/cache"
CACHE_NAMESPACE_LABEL = f"{DOMAIN}/cache-namespace"
NODE_GROUP_LABEL = f"{DOMAIN}/nodegroup"
NODE_READY_VALUE = "ready"
GUARD_CONTAINER = "localmodel-guard"
CACHE_VOLUME = "localmodel-cache"
SYSTEM_NAMESPACE = "localmodel-system"
MANAGER_LEASE = "localmodel-manager"


def storage_key(source_model_uri: str) -> str:
    """The name of a model's folder: KServe's storage key. Caches with one URI share one copy."""
    return hashlib.sha256(source_model_uri.encode()).hexdigest()[:16]


def node_ready_label(key: str) -> str:
    """The label that a Node carries, with the value `ready`, while it holds the copy."""
    return f"{DOMAIN}/{key}"


def claim_name(cache: str, group: str) -> str:
    """The PersistentVolumeClaim of a cache in every namespace that uses it."""
    return f"{cache}-{group}"


def volume_name(cache: str, group: str, namespace: str) -> str:
    """The PersistentVolume of a cache for one namespace."""
    return f"{cache}-{group}-{namespace}"


def pod_keys(pod: Pod) -> tuple[str, ...]:
    """The storage keys that a pod carries: its label, and those of the annotation when it uses several models."""
    keys = [pod.metadata.labels.get(POD_KEY_LABEL, "")]
    keys += pod.metadata.annotations.get(POD_KEYS_ANNOTATION, "").split(",")
    return tuple(dict.fromkeys(key.strip() for key in keys if key.strip()))


def source_uri_matches(cached_uri: str, requested_uri: str) -> bool:
    """Whether a model at `requested_uri` is the cached one or lies below it."""
    cached = cached_uri.rstrip("/")
    return requested_uri.rstrip("/") == cached or requested_uri.startswith(f"{cached}/")


def source_uri_subpath(cached_uri: str, requested_uri: str) -> str:
    """The path of `requested_uri` below `cached_uri`, without slashes at its ends; "" for the model itself."""
    return requested_uri.rstrip("/").removeprefix(cached_uri.rstrip("/")).strip("/")
