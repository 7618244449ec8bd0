"""The local cluster: everything that `localmodel up` runs, as one asynchronous context."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from cachecore.ports import ClusterClient
from cachesim.localcluster.options import LocalClusterOptions
from cachesim.localcluster.s3 import LocalS3
from cachesim.localcluster.service_process import ServiceProcess


class LocalCluster:
    """`async with LocalCluster(options) as cluster:` everything is ready inside, and gone outside.

    Attributes, all valid inside the context: `client` (in process, as the admin), `api_url`, `kubeconfig`, `state`
    (the directory of logs and disks), `s3`, `manager`, `webhook`.
    """

    client: ClusterClient
    api_url: str
    kubeconfig: Path
    state: Path
    s3: LocalS3
    manager: ServiceProcess
    webhook: ServiceProcess

    def __init__(self, options: LocalClusterOptions = LocalClusterOptions()) -> None:
        self.options = options

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        raise NotImplementedError

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes that are there, in order: node-1, node-2, ..."""
        raise NotImplementedError

    def agent(self, node: str) -> ServiceProcess:
        raise NotImplementedError

    async def add_node(self, name: str) -> None:
        """A new machine (or the same one, come back: its disk is as it was left). Ready when this returns."""
        raise NotImplementedError

    async def delete_node(self, name: str, *, wipe_disk: bool = False) -> None:
        """Take the machine away: its pods and its agent end at once, then the Node object is deleted."""
        raise NotImplementedError

    def node_root(self, name: str) -> Path:
        """The directory that is `/` on that node's disk."""
        raise NotImplementedError

    def store_root(self, name: str) -> Path:
        """Where the agent of that node keeps the models: `<node_root>/var/lib/localmodel`."""
        raise NotImplementedError

    def logs(self, name: str, lines: int = 50) -> str:
        """The end of the log of `manager`, `webhook`, `s3` or `agent-<node>`."""
        raise NotImplementedError
