"""The local cluster as the demo drives it: nodes and agents that come and go, pods that run."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import yaml

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.errors import NotFound
from cachecore.resources.core import Node, Pod
from cachesim.localcluster import LocalCluster, LocalClusterOptions

PATIENCE_SECONDS = 30.0


def run(test: Callable[[LocalCluster], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        async with LocalCluster(LocalClusterOptions(**options)) as cluster:
            return await test(cluster)

    return asyncio.run(main())


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():
            await AsyncioRuntime().sleep(0.02)


def pod(name: str, *command: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "any", "command": list(command)}]},
    }


async def log(cluster: LocalCluster, name: str, query: str) -> str:
    """A pod's log, as somebody who has the kubeconfig gets it."""
    content = yaml.safe_load(cluster.kubeconfig.read_text())
    server = content["clusters"][0]["cluster"]
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    headers = {"authorization": f"Bearer {content['users'][0]['user']['token']}"}
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority))
    async with (
        aiohttp.ClientSession(server["server"], connector=connector, headers=headers) as session,
        session.get(f"/api/v1/namespaces/default/pods/{name}/log?{query}") as response,
    ):
        return await response.text()


def test_a_killed_agent_comes_back() -> None:
    async def test(cluster: LocalCluster) -> tuple[int, int]:
        agent = cluster.agent("node-1")
        killed = await agent.kill()
        await agent.ready()
        return killed, agent.pid

    killed, pid = run(test, nodes=1)
    assert killed not in (0, pid)


def test_a_deleted_node_goes_and_comes_back_with_its_disk() -> None:
    async def test(cluster: LocalCluster) -> str:
        uid = (await cluster.client.get(Node, "node-1")).uid
        (cluster.node_root("node-1") / "kept").write_text("kept")
        await cluster.delete_node("node-1")
        with pytest.raises(NotFound):
            await cluster.client.get(Node, "node-1")
        await cluster.add_node("node-1")
        assert (await cluster.client.get(Node, "node-1")).uid != uid
        return (cluster.node_root("node-1") / "kept").read_text()

    assert run(test, nodes=1, disk_bytes=64 * 1024 * 1024) == "kept"


def test_a_wiped_node_comes_back_empty() -> None:
    async def test(cluster: LocalCluster) -> bool:
        kept = cluster.node_root("node-1") / "kept"
        kept.write_text("kept")
        await cluster.delete_node("node-1", wipe_disk=True)
        await cluster.add_node("node-1")
        return kept.exists()

    assert not run(test, nodes=1, services=False, disk_bytes=64 * 1024 * 1024)


def test_a_pod_runs_and_its_log_is_served() -> None:
    async def test(cluster: LocalCluster) -> str:
        await cluster.apply(pod("speaker", "sh", "-c", "echo first; echo second"))

        async def ended() -> bool:
            return (await cluster.client.get(Pod, "speaker", "default")).terminal

        await until(ended)
        return await log(cluster, "speaker", "tailLines=1")

    assert run(test, nodes=1, services=False) == "second\n"


def test_a_log_is_followed_to_its_end() -> None:
    async def test(cluster: LocalCluster) -> str:
        await cluster.apply(pod("speaker", "sh", "-c", "echo first; sleep 0.5; echo second"))

        async def started() -> bool:
            return (await cluster.client.get(Pod, "speaker", "default")).status.phase == "Running"

        await until(started)
        return await log(cluster, "speaker", "follow=true")

    assert run(test, nodes=1, services=False) == "first\nsecond\n"
