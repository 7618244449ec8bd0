"""A cluster of real Kubernetes nodes on one machine, without Docker, from nothing to Ready, and away again.

The control plane and whoever speaks to it live in one network namespace, which `RealCluster` makes; each node, that is
kubelet, containerd, runc and kube-proxy, has namespaces of its own for network, mounts, host name and processes. So
nothing of it is seen from outside, and all of it goes with its processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from cachecore.errors import DeadlineExceeded
from cachesim.apiserver.builtin import NODE
from cachesim.controlplane.arguments import ADDRESS
from cachesim.controlplane.binaries import NODE_PARTS, PARTS, find_binaries
from cachesim.controlplane.control_plane import KubeControlPlane
from cachesim.controlplane.options import KubeOptions
from cachesim.host.loop_thread import LoopThread
from cachesim.localcluster.state import StateDirectory
from realcluster.cgroups import hierarchies, make_cgroup
from realcluster.files import NodeFiles
from realcluster.names import ServiceNames
from realcluster.network import GATEWAY, enter_new_network, make_bridge, node_address, run
from realcluster.node import RealNode

T = TypeVar("T")

_READY_SECONDS = 60.0
_PROXY_USER = "system:kube-proxy"


class ClusterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`images` are OCI archives that each node has from the start."""

    nodes: int = 2
    images: tuple[Path, ...] = ()
    control_plane: KubeOptions = KubeOptions(node_grace_seconds=10.0)


class RealCluster:
    """`with RealCluster(options) as cluster:` all nodes are Ready inside; outside nothing is left of it.

    Coroutines that speak to it run by `run`, on the loop that lives in its network.
    """

    plane: KubeControlPlane
    nodes: dict[str, RealNode]

    def __init__(self, options: ClusterOptions = ClusterOptions()) -> None:
        self.options = options
        self._stack = contextlib.ExitStack()
        # What runs in its network; the last that came goes first.
        self._inside = contextlib.AsyncExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.state = StateDirectory("")
            stack.callback(self.state.close)
            self.state.open()
            self._cgroup = self.state.root.name
            for hierarchy in hierarchies():
                self.state.tell("cgroup", hierarchy / self._cgroup)
            self._loop = LoopThread("cluster", enter=enter_new_network)
            stack.callback(self._loop.stop)
            stack.callback(lambda: self.run(self._inside.aclose()))
            self.run(self._up())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_seconds: float = 110.0) -> T:
        """What the coroutine answers; raises what it raises, and `DeadlineExceeded`."""
        return self._loop.run(coroutine, timeout_seconds)

    @property
    def kubeconfig(self) -> Path:
        """The admin's, for programs inside the cluster's network."""
        return self.state.kubeconfig("admin")

    @property
    def network_pid(self) -> int:
        """A process in the cluster's network, for `nsenter`."""
        return self.plane.part("etcd").pid

    async def kubectl(self, *arguments: str, given: str = "") -> str:
        """As the admin; what it says. Raises `CommandFailed`."""
        return await run("kubectl", f"--kubeconfig={self.kubeconfig}", *arguments, given=given)

    async def ready(self) -> None:
        """Until all nodes are Ready."""
        waiting = set(self.nodes)
        deadline = time.monotonic() + _READY_SECONDS
        while waiting:
            listed = (await self.plane.verbs.list(NODE))["items"]
            waiting -= {node["metadata"]["name"] for node in listed if _is_ready(node)}
            if waiting and time.monotonic() > deadline:
                raise DeadlineExceeded(f"not Ready: {', '.join(sorted(waiting))}; their logs are in {self.state.root}")
            await asyncio.sleep(0.1)

    async def _up(self) -> None:
        self.nodes = {}
        names = [f"node-{chr(ord('a') + number)}" for number in range(self.options.nodes)]
        options = msgspec.structs.replace(
            self.options.control_plane,
            advertised=GATEWAY,
            node_addresses=tuple(node_address(number) for number in range(len(names))),
        )
        await make_bridge()
        users = {_PROXY_USER: _PROXY_USER} | {f"system:node:{name}": f"system:node:{name}" for name in names}
        plane = KubeControlPlane(self.state.root / "control-plane", options, users=users)
        self.plane = await self._inside.enter_async_context(plane)
        self.plane.write_kubeconfig(self.kubeconfig)
        # By its certificate, that is who the API server is to the kubelets.
        rights = ("--clusterrole=system:kubelet-api-admin", f"--user={ADDRESS}")
        await self.kubectl("create", "clusterrolebinding", "api-server-to-kubelets", *rights)
        service_names = ServiceNames(self.plane.verbs)
        await service_names.listen(GATEWAY)
        self._inside.callback(service_names.close)
        binaries = find_binaries(parts=PARTS + NODE_PARTS)
        for number, name in enumerate(names):
            node = self.nodes[name] = self._make_node(number, name, binaries)
            self._inside.push_async_callback(node.power_off)
        async with asyncio.TaskGroup() as group:
            for node in self.nodes.values():
                group.create_task(node.power_on())
        await self.ready()

    def _make_node(self, number: int, name: str, binaries: Path) -> RealNode:
        make_cgroup(self._cgroup, name)
        files = NodeFiles(
            directory=self.state.root / "nodes" / name,
            name=name,
            number=number,
            cgroup=f"/{self._cgroup}/{name}",
            tls=self.plane.files.certificate.parent,
        )
        files.write()
        self.plane.write_kubeconfig(files.kubeconfig, f"system:node:{name}", advertised=True)
        self.plane.write_kubeconfig(files.proxy_kubeconfig, _PROXY_USER, advertised=True)
        settings = files.init(images=list(self.options.images), binaries=binaries, nodes=self.options.nodes)
        return RealNode(files, settings)


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
