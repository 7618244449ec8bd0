"""The cluster that the manager is measured on: a real control plane, and nodes that are only objects."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.names import SYSTEM_NAMESPACE
from cachecore.ports import ClusterClient
from cachecore.resources.core import Namespace, Node
from cachecore.resources.meta import ObjectMeta
from cachecore.tasks import TaskGroup
from cachesim.controlplane import KubeControlPlane, KubeOptions
from cachesim.definitions import load_definitions
from cachesim.host.service_process import ServiceFailed
from managerscale import objects

T = TypeVar("T")

MANAGER_USER = "localmodel-manager"
API_SERVER = "kube-apiserver"
AT_ONCE = 32
_OPTIONS = KubeOptions(
    audit=True,
    # Nobody renews the nodes' leases: a thousand heartbeats every ten seconds are no question to the manager.
    node_grace_seconds=86_400,
    flags={
        "kube-controller-manager": (
            # It takes the taint off each new node; at its usual 20 requests a second that alone would be minutes.
            *("--kube-api-qps=300", "--kube-api-burst=600"),
            "--controllers=*,-ttl-controller",
        )
    },
)
_BODY_BYTES = re.compile(r"apiserver_request_body_size_bytes_sum\{(?P<labels>[^}]*)\} (?P<sum>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


async def each(items: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do it for each item, a few at once. The first failure ends it."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    group = TaskGroup(AsyncioRuntime())
    for number in range(AT_ONCE):
        group.spawn(worker(), name=f"load-{number}")
    await group.join()


@contextlib.asynccontextmanager
async def running_plane(directory: Path, died: Callable[[ServiceFailed], None]) -> AsyncIterator[KubeControlPlane]:
    """A control plane that knows our kinds. The manager is a user of its own in it, for the audit log."""
    async with KubeControlPlane(directory, _OPTIONS, users={"manager": MANAGER_USER}, died=died) as plane:
        for definition in load_definitions():
            await plane.apply(definition)
        yield plane


async def add_nodes(client: ClusterClient, numbers: Iterable[int]) -> None:
    """They are ready, and take pods, when this returns."""
    made: list[str] = []

    async def add(number: int) -> None:
        created = await client.create(objects.node(number))
        # Who has created it has no resourceVersion to lose: the controllers may have written their taints meanwhile.
        metadata = ObjectMeta(name=created.name, labels=created.metadata.labels)
        await client.update_status(msgspec.structs.replace(created, metadata=metadata, status=objects.ready_status()))
        made.append(created.name)

    await each(numbers, add)
    while True:
        page = await client.list(Node, resource_version="0")
        usable = {node.name for node in page.items if node.ready and not node.spec.taints}
        if usable.issuperset(made):
            return
        await asyncio.sleep(0.2)


async def arrange(client: ClusterClient, nodes: int) -> None:
    """The nodes and their group."""
    await client.create(Namespace(metadata=ObjectMeta(name=SYSTEM_NAMESPACE)))
    await add_nodes(client, range(nodes))
    await client.create(objects.group())


async def request_bytes(plane: KubeControlPlane) -> dict[tuple[str, str], int]:
    """The bodies that the API server has taken, by verb and resource, over all users."""
    headers = {"Authorization": f"Bearer {plane.token()}"}
    connector = aiohttp.TCPConnector(ssl=plane.tls)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.get(f"{plane.url}/metrics") as response,
    ):
        response.raise_for_status()
        text = await response.text()
    found: dict[tuple[str, str], int] = {}
    for match in _BODY_BYTES.finditer(text):
        labels = dict(_LABEL.findall(match["labels"]))
        key = (labels.get("verb", "").lower(), labels.get("resource", "").partition(".")[0])
        found[key] = found.get(key, 0) + int(float(match["sum"]))
    return found
