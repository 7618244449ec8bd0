"""One node of the local cluster: its disk, the kubelet stand-in, and its agent."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from cachecore.errors import LocalModelError, TaskCancelled
from cachecore.ports import ClusterClient, Runtime, Task
from cachesim.containers.processes import LocalProcesses
from cachesim.host.service_process import ServiceProcess
from cachesim.localcluster.disks import NodeDisk
from cachesim.localcluster.state import StateDirectory
from cachesim.node.node import Node
from cachesim.node.options import NodeOptions

_REGISTER_SECONDS = 20.0


class LocalNode:
    """Powered on and off as a whole."""

    def __init__(
        self,
        runtime: Runtime,
        client: ClusterClient,
        state: StateDirectory,
        disk: NodeDisk,
        *,
        name: str,
        store_root: Path,
        agent: ServiceProcess | None,
        options: NodeOptions,
    ) -> None:
        self.name = name
        self.disk = disk
        self.agent = agent
        self._runtime = runtime
        self._store_root = store_root
        containers = LocalProcesses(disk.root, state.scratch / name)
        capacity = {"ephemeral-storage": str(disk.size_bytes)} if disk.size_bytes is not None else {}
        self._kubelet = Node(runtime, client, name, containers, capacity=capacity, options=options)
        self._task: Task[None] | None = None

    async def start(self) -> None:
        """Power on. The agent may still need a moment; see its `ready`."""
        await self.disk.attach()
        # As a hostPath volume of type DirectoryOrCreate makes it for the DaemonSet.
        self._store_root.mkdir(parents=True, exist_ok=True)
        if self.agent is not None:
            await self.agent.start()
        self._task = self._runtime.spawn(self._kubelet.run(), name=f"node {self.name}")
        try:
            async with asyncio.timeout(_REGISTER_SECONDS):
                await self._kubelet.wait_registered()
        except TimeoutError as error:
            raise LocalModelError(f"{self.name} did not register with the API server") from error

    async def stop(self, *, agent_grace_seconds: float = 5.0) -> None:
        """Power off: the containers end at once, the agent is given its grace."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(TaskCancelled):
                await self._task.join()
            self._task = None
        if self.agent is not None:
            await self.agent.stop(agent_grace_seconds)
