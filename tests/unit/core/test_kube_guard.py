"""A write is sent once; a guarded client asks before it, at its call and once more before its bytes are sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cachecore.adapters.kube import KubeClient
from cachecore.errors import ApiUnavailable, LeaseLost
from cachecore.ports.cluster import Patch
from cachecore.resources.core import Node
from cachecore.resources.meta import ObjectMeta, Resource
from cachecore.testing.scripted_api import NODE, ScriptedApiServer, always

A = Node(metadata=ObjectMeta(name="a"))


class Guard:
    """Says yes so often; remembers what it was asked for."""

    def __init__(self, yes: int) -> None:
        self.yes = yes
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, verb: str, kind: type[Resource], subresource: str) -> None:
        self.asked.append((verb, kind.resource_type.kind, subresource))
        if len(self.asked) > self.yes:
            raise LeaseLost("too late")


WRITES: dict[tuple[str, str], Callable[[KubeClient], Any]] = {
    ("create", ""): lambda client: client.create(A),
    ("update", ""): lambda client: client.update(A),
    ("update", "status"): lambda client: client.update_status(A),
    ("patch", ""): lambda client: client.patch(Node, "a", Patch(body={})),
    ("patch", "status"): lambda client: client.patch(Node, "a", Patch(body={}), subresource="status"),
    ("delete", ""): lambda client: client.delete(Node, "a"),
}


@pytest.mark.parametrize("yes", [0, 1])
@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_is_refused_at_its_call_or_when_its_connection_stands_is_not_sent(
    tmp_path: Path, write: tuple[str, str], yes: int
) -> None:
    server, guard = ScriptedApiServer(always(NODE)), Guard(yes)
    with pytest.raises(LeaseLost, match="too late"):
        server.run(tmp_path, lambda client: WRITES[write](client.guarded(guard)))
    assert server.requests == []
    assert guard.asked == [(write[0], "Node", write[1])] * (yes + 1)


def test_a_write_that_is_allowed_is_sent_and_reads_are_not_asked_for(tmp_path: Path) -> None:
    server, guard = ScriptedApiServer(always(NODE)), Guard(100)

    async def scenario(client: KubeClient) -> None:
        await client.guarded(guard).get(Node, "a")
        assert guard.asked == []
        await client.guarded(guard).create(A)

    server.run(tmp_path, scenario)
    assert [method for method, *_ in server.requests] == ["GET", "POST"]
    assert set(guard.asked) == {("create", "Node", "")}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_whose_connection_breaks_is_not_sent_again(tmp_path: Path, write: tuple[str, str]) -> None:
    async def answer_reads_only(request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET" and request.transport is not None:
            request.transport.abort()
        return web.json_response(NODE)

    async def scenario(client: KubeClient) -> None:
        # The connection has been used before: that is when aiohttp would try again.
        await client.get(Node, "a")
        with pytest.raises(ApiUnavailable):
            await WRITES[write](client)

    server = ScriptedApiServer(answer_reads_only)
    server.run(tmp_path, scenario)
    assert len(server.requests) == 2


def test_the_client_that_was_guarded_goes_on_unguarded(tmp_path: Path) -> None:
    server = ScriptedApiServer(always(NODE))

    async def scenario(client: KubeClient) -> None:
        guarded = client.guarded(Guard(1))
        with pytest.raises(LeaseLost):
            await guarded.create(A)
        await client.create(A)

    server.run(tmp_path, scenario)
    assert [method for method, *_ in server.requests] == ["POST"]
