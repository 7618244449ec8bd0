"""The official asyncio client, and the port over it, against the front: TLS, token, verbs, watch."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kubernetes import aio

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.kube import KubeClient, connect
from cachecore.ports import WatchEventType
from cachecore.resources.core import Namespace
from cachecore.resources.meta import ObjectMeta
from cachesim.apiserver import ApiServer
from cachesim.apiserver.http import HttpFront
from cachesim.host.certificates import make_certificate
from cachesim.host.kubeconfig import write_kubeconfig


def with_kubeconfig(directory: Path, test: Callable[[str], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        now = datetime.datetime.now(datetime.UTC)
        certificate = make_certificate(directory / "tls", ("127.0.0.1",), now=now)
        server = ApiServer(AsyncioRuntime())
        server.spawn_controllers()
        tls = (certificate.certificate, certificate.private_key)
        async with HttpFront(server, users_by_token={"secret": "ada"}, tls=tls) as front:
            path = directory / "kubeconfig"
            write_kubeconfig(path, url=front.url, authority=certificate.authority, user="ada", token="secret")
            return await test(str(path))

    return asyncio.run(main())


def test_the_official_client_makes_lists_and_deletes(tmp_path: Path) -> None:
    async def test(kubeconfig: str) -> list[str]:
        # The client's own annotations ask for models where it takes, and gives, plain objects too.
        load: Any = aio.config.load_kube_config
        await load(config_file=kubeconfig)
        async with aio.client.ApiClient() as client:
            core: Any = aio.client.CoreV1Api(client)
            await core.create_namespace({"metadata": {"name": "one"}})
            await core.patch_namespace("one", {"metadata": {"labels": {"a": "b"}}})
            listed = await core.list_namespace(label_selector="a=b")
            await core.delete_namespace("one")
            return [item.metadata.name for item in listed.items]

    assert with_kubeconfig(tmp_path, test) == ["one"]


def test_the_port_sees_its_own_writes_in_a_watch(tmp_path: Path) -> None:
    async def test(kubeconfig: str) -> list[tuple[WatchEventType, str]]:
        client: KubeClient = await connect(kubeconfig, user_agent="test")
        try:
            listed = await client.list(Namespace)
            watch = await client.watch(Namespace, resource_version=listed.resource_version)
            await client.create(Namespace(metadata=ObjectMeta(name="one")))
            event = await watch.receive()
            await watch.close()
        finally:
            await client.close()
        assert event is not None
        return [(event.type, event.resource.name)]

    assert with_kubeconfig(tmp_path, test) == [(WatchEventType.ADDED, "one")]
