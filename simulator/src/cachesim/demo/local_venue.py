"""The story's cluster on this machine: it is started for the story, and stopped after it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from cachecore.errors import InvalidInput
from cachecore.ports import ClusterClient
from cachecore.quantity import format_bytes
from cachecore.resources.core import Pod
from cachecore.resources.meta import JsonObject
from cachesim.demo.manifests import Sizes
from cachesim.demo.models import Model
from cachesim.demo.venue import Scene
from cachesim.kserve.predictor import SERVING_CONTAINER, KServeOptions
from cachesim.localcluster import LocalCluster, LocalClusterOptions, LocalS3
from cachesim.localcluster.objects import STORAGE_KEY, namespace
from cachesim.node.options import NodeOptions

_NAMESPACE = "demo"
_LEAST_NODES = 2


class LocalVenue:
    """See `Venue`. `cluster` is what it is about."""

    opening = "Start a cluster on this machine"
    closing = "Stop the cluster"
    loses_nodes = True
    slow_seconds = 4

    def __init__(self, options: LocalClusterOptions) -> None:
        self.cluster = LocalCluster(options)
        self.kind: str = options.control_plane
        self.scene = Scene(
            namespace=_NAMESPACE,
            node_group="workers",
            group_path=options.group_path,
            storage_key=STORAGE_KEY,
            service_account="default",
            images=KServeOptions(),
        )
        self._starts_before: dict[str, int] = {}

    @property
    def client(self) -> ClusterClient:
        return self.cluster.client

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.cluster.nodes

    @property
    def s3(self) -> LocalS3:
        return self.cluster.s3

    def check_size(self, model_bytes: int | None) -> None:
        nodes = self.cluster.options.nodes
        if nodes < _LEAST_NODES:
            raise InvalidInput(f"--nodes {nodes}: the demo loses a node, so it needs {_LEAST_NODES} at least")
        if model_bytes is not None:
            _check_space(model_bytes, nodes)

    def check_model(self, model: Model) -> None:
        disk_bytes = self.cluster.options.disk_bytes
        needed = Sizes(model_bytes=model.bytes_total).disk_bytes
        if disk_bytes is not None and disk_bytes < needed:
            raise InvalidInput(
                f"--disk {format_bytes(disk_bytes)} is too small: with a model of {format_bytes(model.bytes_total)} "
                f"the demo needs {format_bytes(needed)} per node"
            )

    def describe(self, model_size: str) -> str:
        options = self.cluster.options
        rate = options.s3_bytes_per_second
        network = f", S3 at {format_bytes(rate)}/s as over a network" if rate else ""
        plane = ", Kubernetes' own control plane" if options.control_plane == "kube" else ""
        return f"{options.nodes} nodes, a model of {model_size}{network}{plane}"

    async def open(self) -> str:
        await self.cluster.__aenter__()
        return f"API server {self.cluster.api_url}, S3 {self.s3.endpoint_url}"

    async def close(self) -> str:
        await self.cluster.__aexit__(None, None, None)
        return "every process and every mount is gone"

    async def keep(self) -> None:
        sys.stdout.write(f"The cluster is still there:  export KUBECONFIG={self.cluster.kubeconfig}\nCtrl-C ends it.\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    async def apply(self, content: JsonObject) -> None:
        await self.cluster.apply(content)

    async def prepare_namespace(self) -> None:
        await self.apply(namespace(_NAMESPACE))
        await self.cluster.add_credentials(_NAMESPACE)

    async def reader_report(self, pod: Pod) -> dict[str, Any] | None:
        path = NodeOptions().log_path(pod.namespace, pod.name, pod.uid, SERVING_CONTAINER, 0)
        log = self.cluster.node_root(pod.spec.node_name) / path.lstrip("/")
        try:
            return last_report(log.read_text())
        except FileNotFoundError:
            return None

    async def kill_agent(self, node: str) -> str:
        agent = self.cluster.agent(node)
        self._starts_before[node] = agent.starts
        return f"process {await agent.kill()}"

    async def agent_back(self, node: str, timeout_seconds: float) -> None:
        agent, starts = self.cluster.agent(node), self._starts_before[node]
        runtime = self.cluster.runtime
        deadline = runtime.monotonic() + timeout_seconds
        while agent.starts <= starts and runtime.monotonic() < deadline:
            await runtime.sleep(0.02)
        await agent.ready(timeout_seconds)

    async def lose_node(self, node: str) -> None:
        await self.cluster.delete_node(node)

    async def return_node(self, node: str) -> None:
        await self.cluster.add_node(node)

    async def left_files(self, keys: list[str]) -> list[str]:
        roots = [self.cluster.store_root(node) for node in self.nodes]
        return [str(path) for root in roots for path in _model_paths(root, keys)]

    async def service_logs(self, lines: int) -> dict[str, str]:
        names = ("manager", "webhook", *(f"agent-{node}" for node in self.nodes))
        return {name: self.cluster.logs(name, lines=lines) for name in names}

    @property
    def hint(self) -> str:
        return f"logs: {self.cluster.state}/logs; --state DIR keeps them, --keep keeps the cluster"


def last_report(log: str) -> dict[str, Any] | None:
    """The reader's report, once its line is complete."""
    for line in log.splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n"):
            report: dict[str, Any] = json.loads(line)
            return report
    return None


def _model_paths(root: Path, keys: list[str]) -> list[Path]:
    if not root.exists():
        return []
    return [path for path in root.rglob("*") if any(key in path.name for key in keys)]


def _check_space(model_bytes: int, nodes: int) -> None:
    """Before this machine's disk is full: the models lie in a folder, in S3, and on each node with its uncached pod."""
    needed = model_bytes * (4 + 3 * nodes)
    directory = tempfile.gettempdir()
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise InvalidInput(
            f"--model-size {format_bytes(model_bytes)} is too large: with {nodes} nodes the "
            f"demo writes up to {format_bytes(needed)}, {directory} has {format_bytes(free)} free"
        )
