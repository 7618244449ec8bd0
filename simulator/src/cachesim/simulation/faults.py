"""What goes wrong in a scenario, and how it heals."""

from __future__ import annotations

import contextlib
from typing import Protocol

from cachecore.errors import NotFound
from cachecore.ports import ClusterClient, Runtime
from cachecore.resources.core import Node
from cachesim.simulation.scenario import Fault, duration_seconds


class Faultable(Protocol):
    """What a fault does to a cluster."""

    def crash_host(self, name: str) -> None: ...

    def start_host(self, name: str) -> None: ...

    def wipe_disk(self, name: str) -> None: ...

    def crash_agent(self, name: str) -> None: ...

    def start_agent(self, name: str) -> None: ...

    def crash_manager(self) -> None: ...

    def start_manager(self) -> None: ...


async def inject(runtime: Runtime, client: ClusterClient, cluster: Faultable, fault: Fault) -> None:
    """Wait for the fault's time, break what it says, and heal it `after` that time."""
    await runtime.sleep(duration_seconds(fault.at))
    match fault.what:
        case "manager-crash":
            cluster.crash_manager()
        case "agent-crash":
            cluster.crash_agent(fault.node)
        case "node-lost" | "node-deleted":
            cluster.crash_host(fault.node)
    if fault.what == "node-deleted":
        with contextlib.suppress(NotFound):
            await client.delete(Node, fault.node)
    await runtime.sleep(duration_seconds(fault.after))
    match fault.what:
        case "manager-crash":
            cluster.start_manager()
        case "agent-crash":
            cluster.start_agent(fault.node)
        case "node-lost" | "node-deleted":
            if fault.disk == "wiped":
                cluster.wipe_disk(fault.node)
            cluster.start_host(fault.node)
