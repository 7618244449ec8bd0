"""The controller runtime over real HTTP: the client of the API server against the front of the in-memory one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cachecore.adapters.asyncio_runtime import AsyncioRuntime
from cachecore.adapters.kube import KubeClient, connect
from cachecore.controller.informer import Informer
from cachecore.controller.lease import LeaderElection
from cachecore.errors import AlreadyExists, Conflict, NotFound
from cachecore.events import EventRecorder
from cachecore.ports.cluster import Patch, PatchType
from cachecore.resources.core import Event, Lease, Namespace, Node
from cachecore.resources.meta import ObjectMeta
from cachecore.testing.scripted_api import write_kubeconfig
from cachesim.apiserver.http.server import HttpFront
from cachesim.apiserver.server import ApiServer

Scenario = Callable[[AsyncioRuntime, KubeClient, ApiServer], Awaitable[Any]]


def run(folder: Path, scenario: Scenario) -> Any:
    async def main() -> Any:
        runtime = AsyncioRuntime(seed=0)
        server = ApiServer(runtime)
        async with HttpFront(server) as front:
            path = write_kubeconfig(folder, front.url, "secret")
            client = await connect(str(path), user_agent="tester/1")
            try:
                return await scenario(runtime, client, server)
            finally:
                await client.close()

    return asyncio.run(main())


async def until(runtime: AsyncioRuntime, holds: Callable[[], bool]) -> None:
    """Wait, at most five seconds, for what the other side of a socket will do."""
    deadline = runtime.monotonic() + 5.0
    while not holds():
        assert runtime.monotonic() < deadline
        await runtime.sleep(0.005)


def node(name: str, **labels: str) -> Node:
    return Node(metadata=ObjectMeta(name=name, labels=labels))


def test_an_informer_follows_what_others_write(tmp_path: Path) -> None:
    async def scenario(runtime: AsyncioRuntime, client: KubeClient, server: ApiServer) -> list[tuple[str, str]]:
        told: list[tuple[str, str]] = []
        informer = Informer(runtime, client, Node, page_size=2)
        informer.add_listener(lambda old, new: told.append((old.name if old else "", new.name if new else "")))
        for name in ("a", "b", "c"):
            await client.create(node(name))
        task = runtime.spawn(informer.run(), name="informer")
        await informer.wait_synced()
        await client.patch(Node, "a", Patch(body={"metadata": {"labels": {"zone": "1"}}}))
        await client.delete(Node, "b")
        await until(runtime, lambda: len(told) == 5)
        task.cancel()
        return told

    assert run(tmp_path, scenario) == [("", "a"), ("", "b"), ("", "c"), ("a", "a"), ("b", "")]


def test_an_informer_survives_the_end_of_its_connections(tmp_path: Path) -> None:
    async def scenario(runtime: AsyncioRuntime, client: KubeClient, server: ApiServer) -> list[str]:
        informer = Informer(runtime, client, Node)
        task = runtime.spawn(informer.run(), name="informer")
        await informer.wait_synced()
        await client.create(node("a"))
        await until(runtime, lambda: informer.get("a") is not None)
        server.disconnect_watches()
        await client.create(node("b"))
        await until(runtime, lambda: informer.get("b") is not None)
        task.cancel()
        return [found.name for found in informer.list()]

    assert run(tmp_path, scenario) == ["a", "b"]


def test_refusals_arrive_as_errors_of_our_tree(tmp_path: Path) -> None:
    async def scenario(runtime: AsyncioRuntime, client: KubeClient, server: ApiServer) -> None:
        with pytest.raises(NotFound):
            await client.get(Node, "a")
        await client.create(node("a"))
        with pytest.raises(AlreadyExists):
            await client.create(node("a"))
        with pytest.raises(Conflict):
            await client.patch(Node, "a", Patch(body={"metadata": {"resourceVersion": "1", "labels": {"x": "y"}}}))
        with pytest.raises(Conflict):
            await client.delete(Node, "a", uid="00000000-0000-4000-8000-000000000000")

    run(tmp_path, scenario)


def test_each_kind_of_patch_is_understood(tmp_path: Path) -> None:
    async def scenario(runtime: AsyncioRuntime, client: KubeClient, server: ApiServer) -> dict[str, str]:
        await client.create(node("a", x="1", y="2"))
        apply = {"metadata": {"name": "a", "labels": {"z": "3"}}}
        await client.patch(Node, "a", Patch(type=PatchType.APPLY, body=apply, field_manager="tester"))
        await client.patch(Node, "a", Patch(body={"metadata": {"labels": {"x": None}}}))
        operations = [{"op": "replace", "path": "/metadata/labels/y", "value": "4"}]
        patched = await client.patch(Node, "a", Patch(type=PatchType.JSON, body=operations))
        return patched.metadata.labels

    assert run(tmp_path, scenario) == {"y": "4", "z": "3"}


def test_a_leader_renews_and_releases_its_lease(tmp_path: Path) -> None:
    async def scenario(runtime: AsyncioRuntime, client: KubeClient, server: ApiServer) -> tuple[str | None, str | None]:
        await client.create(Namespace(metadata=ObjectMeta(name="system")))
        election = LeaderElection(
            runtime,
            client,
            namespace="system",
            name="lease",
            identity="me",
            lease_duration_seconds=1.0,
            renew_deadline_seconds=0.5,
            retry_period_seconds=0.05,
        )
        leading = runtime.signal()

        async def lead() -> None:
            leading.set()
            await runtime.signal().wait()

        task = runtime.spawn(election.run(lead), name="election")
        assert await leading.wait(5.0)
        first = await client.get(Lease, "lease", "system")
        held = first
        while held.spec.renew_time == first.spec.renew_time:
            held = await client.get(Lease, "lease", "system")
        task.cancel()
        await until(runtime, task.done)
        released = await client.get(Lease, "lease", "system")
        return held.spec.holder_identity, released.spec.holder_identity

    assert run(tmp_path, scenario) == ("me", "")


def test_events_are_written_and_counted(tmp_path: Path) -> None:
    async def scenario(runtime: AsyncioRuntime, client: KubeClient, server: ApiServer) -> list[int]:
        recorder = EventRecorder(runtime, client, component="tester")
        task = runtime.spawn(recorder.run(), name="recorder")
        about = await client.create(node("a"))
        counts: list[int] = []
        for expected in (1, 2):
            recorder.record(about, type="Normal", reason="Tested", message="m")
            while expected not in counts:
                await runtime.sleep(0.005)
                counts = [event.count for event in (await client.list(Event)).items]
        task.cancel()
        return counts

    assert run(tmp_path, scenario) == [2]
