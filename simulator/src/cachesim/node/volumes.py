"""Where the volumes of a pod are on its node, and what its containers mount of them."""

from __future__ import annotations

import msgspec

from cachecore.errors import LocalModelError, NotFound
from cachecore.ports import ClusterClient
from cachecore.resources.core import Container, Node, PersistentVolume, PersistentVolumeClaim, Pod, Volume
from cachecore.scheduling import any_term_matches, required_terms
from cachesim.containers.port import ContainerRuntime, Mount
from cachesim.node.environment import ContainerConfigError


class MountFailed(LocalModelError):
    """A volume can't be set up now; the kubelet tries again, later each time."""


class MountedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that is set up: a directory of the node."""

    path: str
    read_only: bool = False


class VolumeMounter:
    """Sets volumes up, as the kubelet does before the first container of a pod starts."""

    def __init__(self, client: ClusterClient, containers: ContainerRuntime, node_name: str) -> None:
        self._client = client
        self._containers = containers
        self._node_name = node_name

    async def mount(self, pod: Pod, directory: str) -> dict[str, MountedVolume]:
        """Every volume of the pod by name; `directory` is the pod's own. Raises `MountFailed`, `ApiError`."""
        return {volume.name: await self._mount_one(pod, volume, directory) for volume in pod.spec.volumes}

    async def _mount_one(self, pod: Pod, volume: Volume, directory: str) -> MountedVolume:
        if volume.persistent_volume_claim is not None:
            claim = volume.persistent_volume_claim
            persistent = await self._volume_of(claim.claim_name, pod.namespace)
            path = await self._persistent_path(persistent)
            read_only = "ro" in (persistent.spec.get("mountOptions") or ())
            return MountedVolume(path=path, read_only=claim.read_only or read_only)
        if volume.host_path is not None:
            return MountedVolume(path=await self._host_path(volume.host_path.path, volume.host_path.type))
        if volume.empty_dir is not None:
            path = f"{directory}/volumes/kubernetes.io~empty-dir/{volume.name}"
            await self._containers.make_directory(path)
            return MountedVolume(path=path)
        if volume.projected is not None:
            # The API server gives one to each pod, with the token of its service account. Nothing that runs here
            # speaks to the API, so nothing is in it.
            path = f"{directory}/volumes/kubernetes.io~projected/{volume.name}"
            await self._containers.make_directory(path)
            return MountedVolume(path=path, read_only=True)
        raise MountFailed(f'volume "{volume.name}" is of a kind that this node does not have')

    async def _volume_of(self, claim_name: str, namespace: str) -> PersistentVolume:
        try:
            claim = await self._client.get(PersistentVolumeClaim, claim_name, namespace)
        except NotFound as error:
            raise MountFailed(f'persistentvolumeclaim "{claim_name}" not found') from error
        volume_name = claim.spec.get("volumeName", "")
        if claim.status.get("phase") != "Bound" or not volume_name:
            raise MountFailed(f"PVC {namespace}/{claim_name} is not bound")
        try:
            volume = await self._client.get(PersistentVolume, volume_name)
        except NotFound as error:
            raise MountFailed(f'persistentvolume "{volume_name}" not found') from error
        if (volume.spec.get("claimRef") or {}).get("uid") != claim.uid:
            raise MountFailed(
                f"PVC {namespace}/{claim_name} is bound to PV {volume_name}, which is bound to another one"
            )
        return volume

    async def _persistent_path(self, volume: PersistentVolume) -> str:
        affinity = required_terms(volume.spec.get("nodeAffinity"))
        if affinity is not None:
            node = await self._client.get(Node, self._node_name)
            if not any_term_matches(affinity, node):
                raise MountFailed(f"MountVolume.NodeAffinity check failed for volume {volume.name}: no matching terms")
        if host_path := volume.spec.get("hostPath"):
            return await self._host_path(host_path.get("path", ""), host_path.get("type", ""))
        path = (volume.spec.get("local") or {}).get("path", "")
        if not path:
            raise MountFailed(f"volume {volume.name} is neither local nor a host path")
        if not await self._containers.directory_exists(path):
            raise MountFailed(f'MountVolume.NewMounter failed for volume {volume.name}: path "{path}" does not exist')
        return str(path)

    async def _host_path(self, path: str, kind: str) -> str:
        if kind == "Directory" and not await self._containers.directory_exists(path):
            raise MountFailed(f"hostPath type check failed: {path} is not a directory")
        # Without a type nothing is checked, and the container runtime makes what is missing.
        await self._containers.make_directory(path)
        return path

    async def mounts_of(self, container: Container, volumes: dict[str, MountedVolume]) -> tuple[Mount, ...]:
        """What the container mounts. Raises `ContainerConfigError` when a sub-path is not there and can't be made."""
        mounts = []
        for wanted in container.volume_mounts:
            volume = volumes.get(wanted.name)
            if volume is None:
                raise ContainerConfigError(f'volumeMount "{wanted.name}" names no volume of the pod')
            mount = Mount(
                source=volume.path,
                target=wanted.mount_path,
                read_only=wanted.read_only or volume.read_only,
                sub_path=wanted.sub_path,
            )
            if ".." in wanted.sub_path.split("/"):
                raise ContainerConfigError(f"subPath {wanted.sub_path!r} must not contain '..'")
            if wanted.sub_path and not await self._containers.directory_exists(mount.source_path):
                if volume.read_only:
                    raise ContainerConfigError(f'failed to create subPath directory for volumeMount "{wanted.name}"')
                await self._containers.make_directory(mount.source_path)
            mounts.append(mount)
        return tuple(mounts)
