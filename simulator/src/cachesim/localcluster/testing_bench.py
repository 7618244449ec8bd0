"""A local cluster for tests that act as a person does: put a model into S3, make a cache, look at what it says."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cachecore.conditions import find_condition
from cachecore.errors import NotFound
from cachecore.names import storage_key
from cachecore.resources.meta import Condition, JsonObject, ObjectMeta
from cachecore.resources.serving import (
    GROUP,
    VERSION,
    LocalModelCache,
    LocalModelCacheSpec,
    LocalModelNamespaceCache,
    LocalModelNode,
    ModelCopyStatus,
)
from cachecore.store import layout
from cachesim.apiserver.builtin import VALIDATING_WEBHOOK
from cachesim.host.loop_thread import LoopThread
from cachesim.localcluster.cluster import LocalCluster
from cachesim.localcluster.options import LocalClusterOptions
from cachesim.localcluster.testing import Kubectl

T = TypeVar("T")

NODE = "node-1"
NODE_GROUP = "workers"
PATIENCE_SECONDS = 40.0
_LOOK_SECONDS = 0.05


def group_manifest(name: str, storage_limit: str, path: str = "/var/lib/localmodel") -> JsonObject:
    """A node group of all nodes."""
    everywhere = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}
    modes = {"accessModes": ["ReadOnlyMany"], "storageClassName": "local-models"}
    volume = {
        **modes,
        "capacity": {"storage": storage_limit},
        "local": {"path": path},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [everywhere]}},
    }
    claim = {**modes, "resources": {"requests": {"storage": storage_limit}}}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LocalModelNodeGroup",
        "metadata": {"name": name},
        "spec": {
            "storageLimit": storage_limit,
            "persistentVolumeSpec": volume,
            "persistentVolumeClaimSpec": claim,
        },
    }


def cache_manifest(name: str, uri: str, **spec: Any) -> JsonObject:
    """A cache of that group, as a person would write it."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LocalModelCache",
        "metadata": {"name": name},
        "spec": {"sourceModelUri": uri, "modelSize": "1Mi", "nodeGroups": [NODE_GROUP], **spec},
    }


class Bench:
    """A cluster of one node on an event loop of its own, in a thread. Every method waits for its end."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._loop = LoopThread("bench")
        self._s3: Any = None
        self.cluster = LocalCluster(LocalClusterOptions(nodes=1, state=str(home / "state")))

    def start(self, storage_limit: str) -> None:
        self.run(self.cluster.__aenter__())
        self.run(self.cluster.apply(group_manifest(NODE_GROUP, storage_limit)))

    def stop(self) -> None:
        if self._s3 is not None:
            self._s3.close()
        try:
            self.run(self.cluster.__aexit__(None, None, None))
        finally:
            self._loop.stop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(coroutine, 2 * PATIENCE_SECONDS)

    def kubectl(self) -> Kubectl | None:
        program = shutil.which("kubectl")
        return None if program is None else Kubectl(program, self._home, self.cluster.kubeconfig)

    # What a person does.

    def put(self, bucket: str, contents: dict[str, bytes]) -> None:
        """Objects by key; the bucket is made when it isn't there."""
        if self._s3 is None:
            import boto3

            s3 = self.cluster.s3
            self._s3 = boto3.client(
                "s3",
                endpoint_url=s3.endpoint_url,
                aws_access_key_id=s3.access_key,
                aws_secret_access_key=s3.secret_key,
                region_name=s3.region,
            )
        self._s3.create_bucket(Bucket=bucket)
        for key, content in contents.items():
            self._s3.put_object(Bucket=bucket, Key=key, Body=content)

    def cache(self, name: str, uri: str, *, namespace: str = "", **spec: Any) -> None:
        """Make one. Raises `ApiError` when it is refused."""
        kind = LocalModelNamespaceCache if namespace else LocalModelCache
        wanted = msgspec.convert(cache_manifest(name, uri, **spec)["spec"], LocalModelCacheSpec)
        self.run(self.cluster.client.create(kind(metadata=ObjectMeta(name=name, namespace=namespace), spec=wanted)))

    def delete(self, name: str, namespace: str = "") -> None:
        """It and its copies are gone when this returns."""
        kind = LocalModelNamespaceCache if namespace else LocalModelCache
        try:
            self.run(self.cluster.client.delete(kind, name, namespace=namespace))
            while self.run(self._exists(kind, name, namespace)):
                self.run(asyncio.sleep(_LOOK_SECONDS))
        except NotFound:
            return

    @contextlib.contextmanager
    def without_validation(self) -> Iterator[None]:
        """As when the webhook is away: the API server asks nobody."""
        verbs = self.cluster.verbs
        there = self.run(verbs.get(VALIDATING_WEBHOOK, "localmodel"))
        self.run(verbs.delete(VALIDATING_WEBHOOK, "localmodel"))
        try:
            yield
        finally:
            metadata = {"name": "localmodel"}
            self.run(self.cluster.apply({**there, "metadata": metadata}))

    # What a person sees.

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """What it answers once that is something. Raises `AssertionError`."""
        for _ in range(int(PATIENCE_SECONDS / _LOOK_SECONDS)):
            if (seen := look()) is not None:
                return seen
            self.run(asyncio.sleep(_LOOK_SECONDS))
        raise AssertionError(
            f"not in time: {what}\n{self.cluster.logs('manager')}\n{self.cluster.logs(f'agent-{NODE}')}"
        )

    def condition(self, name: str, reason: str, namespace: str = "") -> Condition:
        """The Ready condition of the cache, once it has that reason."""
        kind: type[Any] = LocalModelNamespaceCache if namespace else LocalModelCache

        def look() -> Condition | None:
            status = self.run(self.cluster.client.get(kind, name, namespace)).status
            found = find_condition(status.conditions, "Ready")
            return found if found is not None and found.reason == reason else None

        return self.until(look, f"{name} is Ready because of {reason}")

    def ready(self, name: str, namespace: str = "") -> None:
        self.condition(name, "AllCopiesReady", namespace)

    def copy(self, uri: str, *reasons: str) -> ModelCopyStatus:
        """What the agent says of the copy, once it has one of the reasons; any, when none is given."""
        key = storage_key(uri)

        def look() -> ModelCopyStatus | None:
            status = self.run(self.cluster.client.get(LocalModelNode, NODE)).status
            found = next((copy for copy in status.models if copy.key == key), None)
            return found if found is not None and (not reasons or found.reason in reasons) else None

        return self.until(look, f"{uri} is {' or '.join(reasons)}")

    def published(self, uri: str) -> dict[str, bytes]:
        """What a pod would read."""
        root = self.cluster.store_root(NODE) / layout.published_path(storage_key(uri))
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

    def staged(self, uri: str) -> bool:
        return (self.cluster.store_root(NODE) / layout.staging_path(storage_key(uri))).exists()

    async def _exists(self, kind: type[Any], name: str, namespace: str) -> bool:
        try:
            await self.cluster.client.get(kind, name, namespace)
        except NotFound:
            return False
        return True
