"""The client of the API server: watches."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cachecore.adapters.kube import KubeClient
from cachecore.errors import (
    ApiUnavailable,
    Expired,
)
from cachecore.ports.cluster import WatchEventType
from cachecore.resources.core import Node
from cachecore.testing.scripted_api import NODE, ScriptedApiServer, events, refusal


def test_a_watch_delivers_events_and_bookmarks_and_ends(tmp_path: Path) -> None:
    bookmark = {"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "9", "creationTimestamp": None}}
    server = ScriptedApiServer(events({"type": "ADDED", "object": NODE}, {"type": "BOOKMARK", "object": bookmark}))

    async def scenario(client: KubeClient) -> list[Any]:
        watch = await client.watch(Node, resource_version="4", label_selector="a", timeout_seconds=33.3)
        return [await watch.receive() for _ in range(3)]

    first, second, end = server.run(tmp_path, scenario)
    assert (first.type, first.resource.name) == (WatchEventType.ADDED, "a")
    assert (second.type, second.resource_version) == (WatchEventType.BOOKMARK, "9")
    assert end is None
    query = server.requests[0][1].partition("?")[2]
    assert sorted(query.split("&")) == [
        "allowWatchBookmarks=true",
        "labelSelector=a",
        "resourceVersion=4",
        "timeoutSeconds=33",
        "watch=1",
    ]


def test_a_watch_takes_a_line_of_several_megabytes(tmp_path: Path) -> None:
    annotations = {"large": "x" * 5_000_000}
    large = {**NODE, "metadata": {"name": "large", "annotations": annotations}}
    server = ScriptedApiServer(events({"type": "ADDED", "object": large}, {"type": "MODIFIED", "object": NODE}))

    async def scenario(client: KubeClient) -> list[Any]:
        watch = await client.watch(Node, resource_version="4")
        return [await watch.receive(), await watch.receive()]

    first, second = server.run(tmp_path, scenario)
    assert len(first.resource.metadata.annotations["large"]) == 5_000_000
    assert second.resource.name == "a"


def test_an_error_event_of_410_is_expired(tmp_path: Path) -> None:
    server = ScriptedApiServer(events({"type": "ERROR", "object": refusal(410, "Expired", "too old resource version")}))

    async def scenario(client: KubeClient) -> None:
        await (await client.watch(Node, resource_version="1")).receive()

    with pytest.raises(Expired, match="too old"):
        server.run(tmp_path, scenario)


def test_a_silent_watch_ends_as_if_in_good_order(tmp_path: Path) -> None:
    server = ScriptedApiServer(events({"type": "ADDED", "object": NODE}, pause_seconds=0.2))

    async def scenario(client: KubeClient) -> Any:
        client._watch_timeout = client._watch_timeout.__class__(total=None, sock_read=0.05)
        watch = await client.watch(Node, resource_version="1")
        return await watch.receive(), await watch.receive()

    event, end = server.run(tmp_path, scenario)
    assert event.resource.name == "a"
    assert end is None


def test_a_broken_watch_is_api_unavailable(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "ADDED", ')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def scenario(client: KubeClient) -> None:
        await (await client.watch(Node, resource_version="1")).receive()

    with pytest.raises(ApiUnavailable, match="watch of nodes broke"):
        ScriptedApiServer(handler).run(tmp_path, scenario)


def test_a_watch_can_be_closed_while_nothing_comes(tmp_path: Path) -> None:
    server = ScriptedApiServer(events(pause_seconds=30.0))

    async def scenario(client: KubeClient) -> bool:
        watch = await client.watch(Node, resource_version="1")
        receiving = asyncio.create_task(watch.receive())
        await asyncio.sleep(0.01)
        receiving.cancel()
        await asyncio.wait([receiving])
        await watch.close()
        return receiving.cancelled()

    assert server.run(tmp_path, scenario)
