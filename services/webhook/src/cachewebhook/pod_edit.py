"""Changes to a pod, each of which does nothing when it has been made before; the pod that was given stays as it is."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cachecore.names import (
    CACHE_VOLUME,
    GUARD_CONTAINER,
    NODE_READY_VALUE,
    POD_KEY_LABEL,
    POD_KEYS_ANNOTATION,
    STORAGE_INITIALIZER_CONTAINER,
    STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION,
    node_ready_label,
)
from cachecore.resources.meta import JsonObject
from cachewebhook.catalog import Claim
from cachewebhook.pod_shape import Download, path_below

CLAIM_SCHEME = "pvc://"
GUARD_MOUNT_PATH = "/localmodel"


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """A cached model: the claim that holds it, and the folder of the model that is wanted ("" for all of it)."""

    claim: Claim
    subpath: str = ""

    @property
    def path(self) -> str:
        """Where it lies in the claim's volume."""
        return posixpath.join(self.claim.model_path, self.subpath).rstrip("/")


class PodEdit:
    """A pod in the making: every part is copied before it is changed."""

    def __init__(self, pod: JsonObject) -> None:
        self._pod = pod
        metadata = pod.get("metadata") or {}
        self._metadata = dict(metadata)
        self.labels: dict[str, str] = dict(metadata.get("labels") or {})
        self.annotations: dict[str, str] = dict(metadata.get("annotations") or {})
        spec = pod.get("spec") or {}
        self._spec = dict(spec)
        self.volumes: list[JsonObject] = list(spec.get("volumes") or ())
        self.init_containers: list[JsonObject] = list(spec.get("initContainers") or ())
        self.containers: list[JsonObject] = list(spec.get("containers") or ())

    def result(self) -> JsonObject:
        """The changed pod; empty parts that were absent stay absent."""
        for parent, name, part in (
            (self._metadata, "labels", self.labels),
            (self._metadata, "annotations", self.annotations),
            (self._spec, "volumes", self.volumes),
            (self._spec, "initContainers", self.init_containers),
            (self._spec, "containers", self.containers),
        ):
            if part or parent.get(name):
                parent[name] = part
        return {**self._pod, "metadata": self._metadata, "spec": self._spec}

    def claim_volumes(self) -> Iterator[tuple[str, str]]:
        """Name and claim of each volume that is a claim."""
        for volume in self.volumes:
            source = volume.get("persistentVolumeClaim")
            if isinstance(source, dict):
                yield volume.get("name", ""), source.get("claimName", "")

    def mounts(self, volume: str) -> Iterator[JsonObject]:
        """The mounts of that volume, but for the guards'."""
        for container in (*self.init_containers, *self.containers):
            if container.get("name", "").startswith(GUARD_CONTAINER):
                continue
            for mount in container.get("volumeMounts") or ():
                if mount.get("name") == volume:
                    yield mount

    def volume_of(self, claim: Claim) -> str:
        """The name of the volume that is this claim, made when there is none; read-only in either case."""
        for name, claim_name in self.claim_volumes():
            if claim_name == claim.name:
                self.seal(name)
                return name
        taken = {volume.get("name") for volume in self.volumes}
        names = (CACHE_VOLUME, *(f"{CACHE_VOLUME}-{number}" for number in range(1, len(taken) + 2)))
        name = next(name for name in names if name not in taken)
        self.volumes.append(
            {"name": name, "persistentVolumeClaim": {"claimName": claim.name, "readOnly": True}},
        )
        return name

    def mount_instead(self, downloads: Mapping[Download, Placement | None]) -> None:
        """Mount the cached models where the pod would have found the downloaded ones; keep the other downloads."""
        replaced = {download.volume for download, placement in downloads.items() if placement is not None}
        sources = {
            download: (placement, self.volume_of(placement.claim))
            for download, placement in downloads.items()
            if placement is not None
        }

        def expand(mount: JsonObject) -> list[JsonObject]:
            if mount.get("name") not in replaced:
                return [mount]
            new: list[JsonObject] = []
            for download in downloads:
                if download.volume == mount["name"]:
                    new += _mount_of(download, mount, sources.get(download))
            return new or [mount]

        self.containers = [_with_mounts(container, expand) for container in self.containers]
        self.init_containers = [
            container if container.get("name") == STORAGE_INITIALIZER_CONTAINER else _with_mounts(container, expand)
            for container in self.init_containers
        ]
        self._keep_downloads([download for download, placement in downloads.items() if placement is None])
        self.volumes = [
            volume for volume in self.volumes if volume.get("name") not in replaced or any(self.mounts(volume["name"]))
        ]

    def _keep_downloads(self, rest: list[Download]) -> None:
        arguments = [argument for download in rest for argument in (download.uri, download.path)]
        self.init_containers = [
            {**container, "args": arguments} if container.get("name") == STORAGE_INITIALIZER_CONTAINER else container
            for container in self.init_containers
            if arguments or container.get("name") != STORAGE_INITIALIZER_CONTAINER
        ]

    def seal(self, volume: str) -> None:
        """Make a claim's volume read-only, and each of its mounts."""
        self.volumes = [
            {**each, "persistentVolumeClaim": {**each["persistentVolumeClaim"], "readOnly": True}}
            if each.get("name") == volume
            else each
            for each in self.volumes
        ]

        def sealed(mount: JsonObject) -> list[JsonObject]:
            return [{**mount, "readOnly": True}] if mount.get("name") == volume else [mount]

        self.containers = [_with_mounts(container, sealed) for container in self.containers]
        self.init_containers = [_with_mounts(container, sealed) for container in self.init_containers]

    def folders_of(self, claim: Claim) -> list[str]:
        """What of the model, below its folder, the pod mounts, or will when KServe has seen it."""
        volumes = [volume for volume, claim_name in self.claim_volumes() if claim_name == claim.name]
        paths = [mount.get("subPath") or "" for volume in volumes for mount in self.mounts(volume)]
        uri = self.annotations.get(STORAGE_INITIALIZER_SOURCE_URI_ANNOTATION) or ""
        paths.append(path_below(uri, f"{CLAIM_SCHEME}{claim.name}") or "")
        folders = {path_below(path.strip("/"), claim.model_path) for path in paths}
        return sorted(folder for folder in folders if folder)

    def guard(self, claim: Claim, image: str, *, position: int) -> bool:
        """Hold the pod until the copy is there: an init container that waits for it. Whether there was none yet."""
        command = ["cacheagent", "wait", "--path", f"{GUARD_MOUNT_PATH}/{claim.model_path}"]
        names = [container.get("name", "") for container in self.init_containers]
        if any(
            container.get("name", "").startswith(GUARD_CONTAINER)
            and (container.get("command") or [])[: len(command)] == command
            for container in self.init_containers
        ):
            return False
        for folder in self.folders_of(claim):
            command += ["--folder", folder]
        candidates = (GUARD_CONTAINER, *(f"{GUARD_CONTAINER}-{number}" for number in range(1, len(names) + 2)))
        name = next(name for name in candidates if name not in names)
        volume = self.volume_of(claim)
        self.init_containers.insert(position, _guard_container(name, image, command, volume))
        return True

    def prefer_nodes_with(self, claim: Claim) -> None:
        """Prefer the nodes that hold the copy."""
        term = {
            "weight": 100,
            "preference": {
                "matchExpressions": [
                    {"key": node_ready_label(claim.key), "operator": "In", "values": [NODE_READY_VALUE]}
                ]
            },
        }
        field = "preferredDuringSchedulingIgnoredDuringExecution"
        affinity: JsonObject = self._spec.get("affinity") or {}
        node_affinity: JsonObject = affinity.get("nodeAffinity") or {}
        terms: list[Any] = list(node_affinity.get(field) or ())
        if term not in terms:
            terms.append(term)
            self._spec["affinity"] = {**affinity, "nodeAffinity": {**node_affinity, field: terms}}

    def mark(self, keys: list[str]) -> None:
        """Tell manager and agents which copies the pod uses."""
        self.labels[POD_KEY_LABEL] = keys[0]
        self.annotations[POD_KEYS_ANNOTATION] = ",".join(keys)


def _with_mounts(container: JsonObject, expand: Any) -> JsonObject:
    old = container.get("volumeMounts") or []
    new = [mount for each in old for mount in expand(each)]
    return container if new == old else {**container, "volumeMounts": new}


def _mount_of(download: Download, mount: JsonObject, source: tuple[Placement, str] | None) -> list[JsonObject]:
    """What becomes of a mount of the shared emptyDir for one of the models in it; nothing if it shows another part."""
    shown = (mount.get("subPath") or "").strip("/")
    below = path_below(download.folder, shown)
    inside = path_below(shown, download.folder)
    if below is None and inside is None:
        return []
    mount_path = posixpath.join(mount["mountPath"], below or "").rstrip("/") or "/"
    if source is None:
        subpath = posixpath.join(download.folder, "" if below is not None else inside or "").rstrip("/")
        return [{**mount, "mountPath": mount_path, "subPath": subpath}]
    placement, volume = source
    subpath = posixpath.join(placement.path, "" if below is not None else inside or "").rstrip("/")
    return [{"name": volume, "mountPath": mount_path, "subPath": subpath, "readOnly": True}]


def _guard_container(name: str, image: str, command: list[str], volume: str) -> JsonObject:
    return {
        "name": name,
        "image": image,
        # The agent runs on every node of the group, so its image is there.
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "volumeMounts": [{"name": volume, "mountPath": GUARD_MOUNT_PATH, "readOnly": True}],
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "1", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
