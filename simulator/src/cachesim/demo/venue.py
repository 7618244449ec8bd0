"""What the story needs of a cluster, be it one on this machine (`local_venue`) or one that somebody has."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from cachecore.ports import ClusterClient
from cachecore.resources.core import Pod
from cachecore.resources.meta import JsonObject
from cachesim.demo.models import Model
from cachesim.kserve.predictor import KServeOptions
from cachesim.localcluster.s3 import LocalS3


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """The names by which the story's objects fit the cluster, and the images of its pods.

    `group_nodes` empty is all nodes. `storage_key` is the entry of the agents' secret with S3's credentials, and
    `service_account` of the pods has the same.
    """

    namespace: str
    node_group: str
    group_nodes: tuple[str, ...] = ()
    group_path: str
    storage_key: str
    service_account: str
    images: KServeOptions


class Venue(Protocol):
    """All is valid from `open` to `close`. Both answer one line for the screen; what `open` began, `close` takes away.

    `opening` and `closing` are the titles of these two steps. `loses_nodes`: nodes may be lost here, and come back.
    `slow_seconds` is what the download takes in whose middle an agent is killed.
    """

    opening: str
    closing: str
    loses_nodes: bool
    slow_seconds: int

    @property
    def kind(self) -> str:
        """For the report."""
        ...

    @property
    def scene(self) -> Scene: ...

    @property
    def client(self) -> ClusterClient: ...

    @property
    def nodes(self) -> tuple[str, ...]:
        """Those that the story is told on."""
        ...

    @property
    def s3(self) -> LocalS3:
        """As this process reaches it."""
        ...

    def check_size(self, model_bytes: int | None) -> None:
        """Before anything is begun; None: of a model that the user brings. Raises `InvalidInput`."""
        ...

    def check_model(self, model: Model) -> None:
        """Raises `InvalidInput` when there is no room for what the story makes of it."""
        ...

    def describe(self, model_size: str) -> str:
        """Where the story is told, and of how large a model: the first line."""
        ...

    async def open(self) -> str: ...

    async def close(self) -> str: ...

    async def keep(self) -> None:
        """Tell the user how to reach what stays; return when `close` may follow."""
        ...

    async def apply(self, content: JsonObject) -> None:
        """Server-side apply."""
        ...

    async def prepare_namespace(self) -> None:
        """The namespace of the scene, in which pods and caches can read S3."""
        ...

    async def reader_report(self, pod: Pod) -> dict[str, Any] | None:
        """What the serving container has said of its model, once it has."""
        ...

    async def kill_agent(self, node: str) -> str:
        """At once, without a word to it; what was killed, for the screen."""
        ...

    async def agent_back(self, node: str, timeout_seconds: float) -> None:
        """Wait for the agent that comes in the place of the one that was killed. Raises `LocalModelError`."""
        ...

    async def lose_node(self, node: str) -> None: ...

    async def return_node(self, node: str) -> None:
        """Under its name, with its disk."""
        ...

    async def left_files(self, keys: list[str]) -> list[str]:
        """What the nodes' disks hold of models with these storage keys, in whatever state."""
        ...

    async def service_logs(self, lines: int) -> dict[str, str]:
        """The end of each service's log, by the service's name."""
        ...

    @property
    def hint(self) -> str:
        """Where a person looks further when the story has failed."""
        ...
