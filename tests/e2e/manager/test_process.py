"""The manager as a process, over HTTP: it works, tells about itself, and ends in good order."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml

from cachecore import names
from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.errors import NotFound
from cachecore.resources.core import Lease, Node, NodeCondition, NodeStatus
from cachecore.resources.meta import ObjectMeta, from_object
from cachecore.resources.serving import LocalModelCache, LocalModelCacheSpec, LocalModelNode, LocalModelNodeGroup
from cachesim.apiserver import ApiServer, InMemoryClient
from cachesim.apiserver.builtin import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from cachesim.apiserver.http import HttpFront
from cachesim.definitions import load_definitions
from cachesim.host.ports import reserve_port


def write_kubeconfig(path: Path, url: str) -> None:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "manager"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(content))


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(600):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen within 30 seconds")


def answer(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as response:
        content: bytes = response.read()
        return content.decode()


async def start(kubeconfig: Path, *flags: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cachemanager", "--kubeconfig", str(kubeconfig), "--address", "127.0.0.1", *flags),
        stderr=asyncio.subprocess.PIPE,
    )


async def arrange(server: ApiServer) -> InMemoryClient:
    server.spawn_controllers()
    for definition in load_definitions():
        await server.create(CUSTOM_RESOURCE_DEFINITION, definition)
    system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.SYSTEM_NAMESPACE}}
    await server.create(NAMESPACE, system)
    client = InMemoryClient(server)
    node = await client.create(Node(metadata=ObjectMeta(name="n1")))
    # Nobody else takes off the taint that a new node is given.
    untainted = await client.update(Node(metadata=node.metadata))
    ready = NodeStatus(conditions=(NodeCondition(type="Ready", status="True"),))
    await client.update_status(Node(metadata=untainted.metadata, status=ready))
    group = {
        "metadata": {"name": "workers"},
        "spec": {
            "storageLimit": "10Gi",
            "persistentVolumeSpec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "10Gi"},
                "hostPath": {"path": "/var/lib/localmodel"},
            },
            "persistentVolumeClaimSpec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "10Gi"}},
            },
        },
    }
    await client.create(from_object(LocalModelNodeGroup, group))
    spec = LocalModelCacheSpec(source_model_uri="s3://models/iris", model_size="1Gi", node_groups=("workers",))
    await client.create(LocalModelCache(metadata=ObjectMeta(name="iris"), spec=spec))
    return client


def test_it_assigns_models_tells_about_itself_and_ends_in_good_order(tmp_path: Path) -> None:
    async def test(port: int) -> None:
        server = ApiServer(AsyncioRuntime())
        client = await arrange(server)
        async with HttpFront(server) as front:
            write_kubeconfig(tmp_path / "config", front.url)
            process = await start(tmp_path / "config", "--port", str(port), "--identity", "me")

            async def assigned() -> bool:
                try:
                    local = await client.get(LocalModelNode, "n1")
                except NotFound:
                    return False
                return [entry.model_name for entry in local.spec.local_models] == ["iris"]

            try:
                await eventually(assigned)
                lease = await client.get(Lease, names.MANAGER_LEASE, names.SYSTEM_NAMESPACE)
                assert lease.spec.holder_identity == "me"
                assert await asyncio.to_thread(answer, port, "/healthz") == "healthy\n"
                assert await asyncio.to_thread(answer, port, "/readyz") == "ready\n"
                metrics = await asyncio.to_thread(answer, port, "/metrics")
                assert 'localmodel_manager_writes_total{kind="LocalModelNode",verb="create"} 1.0' in metrics
            finally:
                process.send_signal(signal.SIGTERM)
                _, errors = await process.communicate()
            assert process.returncode == 0
            lines: list[dict[str, Any]] = [json.loads(line) for line in errors.splitlines()]
            assert {line["service"] for line in lines} == {"manager"}
            lease = await client.get(Lease, names.MANAGER_LEASE, names.SYSTEM_NAMESPACE)
            assert not lease.spec.holder_identity

    # Kept until the end: what runs beside this test is not given the same port.
    with reserve_port() as reserved:
        asyncio.run(test(reserved.getsockname()[1]))


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    async def test() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            write_kubeconfig(tmp_path / "config", "http://127.0.0.1:9")
            process = await start(tmp_path / "config", "--port", str(port), "--log-level", "error")
            _, errors = await process.communicate()
        assert process.returncode == 1
        assert f"error: cannot listen on 127.0.0.1:{port}" in errors.decode()

    asyncio.run(test())
