"""The client of the API server against a server on the loopback that answers what a test tells it to."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
from aiohttp import web

from cachecore.adapters.kube import KubeClient, connect
from cachecore.errors import (
    AlreadyExists,
    ApiError,
    ApiUnavailable,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    InvalidInput,
    NotFound,
    TooManyRequests,
)
from cachecore.ports.cluster import Patch, PatchType, WatchEventType
from cachecore.resources.core import Lease, Node, Pod
from cachecore.resources.meta import ObjectMeta

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Scenario: TypeAlias = Callable[[KubeClient], Awaitable[Any]]

NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "a", "resourceVersion": "5", "creationTimestamp": None, "managedFields": [{"manager": "x"}]},
    "spec": {"podCIDR": "10.0.0.0/24"},
}


class Server:
    """Answers with `handler`; remembers the requests as (method, path with query, headers, body)."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.kubeconfig: dict[str, Any] = {}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, str(request.rel_url), dict(request.headers), body))
        return await self.handler(request)

    def run(self, folder: Path, scenario: Scenario, *, token: str = "secret", **options: Any) -> Any:
        """Serve, connect by a kubeconfig, run `scenario`, stop."""

        async def main() -> Any:
            runner = web.ServerRunner(web.Server(self.answer), shutdown_timeout=0.01)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            path = write_kubeconfig(folder, f"http://127.0.0.1:{port}", token)
            client = await connect(str(path), user_agent="tester/1")
            for name, value in options.items():
                setattr(client, name, value)
            try:
                return await scenario(client)
            finally:
                await client.close()
                await runner.cleanup()

        return asyncio.run(main())


def write_kubeconfig(folder: Path, server: str, token: str) -> Path:
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": token}}],
    }
    path.write_text(json.dumps(content))
    return path


def always(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(content, status=status, headers=headers)

    return handler


def refusal(code: int, reason: str = "", message: str = "no") -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def events(*lines: Any, pause_seconds: float = 0.0) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(json.dumps(line).encode() + b"\n")
        await asyncio.sleep(pause_seconds)
        return response

    return handler


def test_get_decodes_an_object_and_sends_the_token_and_the_user_agent(tmp_path: Path) -> None:
    server = Server(always(NODE))
    node = server.run(tmp_path, lambda client: client.get(Node, "a"))
    method, path, headers, _ = server.requests[0]
    assert node == Node(metadata=ObjectMeta(name="a", resource_version="5"))
    assert (method, path) == ("GET", "/api/v1/nodes/a")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["User-Agent"] == "tester/1"


def test_list_sends_its_selectors_and_answers_a_page(tmp_path: Path) -> None:
    server = Server(
        always({"kind": "PodList", "metadata": {"resourceVersion": "7", "continue": "next"}, "items": None})
    )
    page = server.run(
        tmp_path,
        lambda client: client.list(
            Pod, namespace="team", label_selector="a=b,c in (d, e)", field_selector="spec.nodeName=n", limit=10
        ),
    )
    assert (page.items, page.resource_version, page.continue_token) == ((), "7", "next")
    path, _, query = server.requests[0][1].partition("?")
    assert path == "/api/v1/namespaces/team/pods"
    assert "labelSelector=a%3Db" in query
    assert "fieldSelector=spec.nodeName%3Dn" in query
    assert "limit=10" in query


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Forbidden),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (405, "MethodNotAllowed", ApiError),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Gone", Expired),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (500, "InternalError", ApiUnavailable),
        (504, "Timeout", ApiUnavailable),
    ],
)
def test_a_refusal_is_an_error_of_our_tree(tmp_path: Path, code: int, reason: str, expected: type[ApiError]) -> None:
    server = Server(always(refusal(code, reason, "said no"), status=code))
    with pytest.raises(ApiError, match="said no") as caught:
        server.run(tmp_path, lambda client: client.create(Node(metadata=ObjectMeta(name="a"))))
    assert type(caught.value) is expected
    assert caught.value.status_code == code


def test_an_answer_that_is_no_status_is_quoted(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=502, text="<html>bad\n gateway</html>")

    with pytest.raises(ApiUnavailable, match="POST /api/v1/nodes: 502 <html>bad gateway"):
        Server(handler).run(tmp_path, lambda client: client.create(Node(metadata=ObjectMeta(name="a"))))


def test_a_429_carries_how_long_to_wait(tmp_path: Path) -> None:
    server = Server(always(refusal(429), status=429, headers={"Retry-After": "17"}))
    with pytest.raises(TooManyRequests) as caught:
        server.run(tmp_path, lambda client: client.update(Node(metadata=ObjectMeta(name="a"))))
    assert caught.value.retry_after_seconds == 17


def test_a_read_is_tried_again_and_a_write_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachecore.adapters.kube._jitter", lambda seconds: 0.0)
    answers = [web.json_response(refusal(503), status=503), web.json_response(NODE)]

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return answers.pop(0) if request.method == "GET" else web.json_response(refusal(503), status=503)

    server = Server(handler)

    async def scenario(client: KubeClient) -> None:
        await client.get(Node, "a")
        with pytest.raises(ApiUnavailable):
            await client.update(Node(metadata=ObjectMeta(name="a")))

    server.run(tmp_path, scenario)
    assert [request[0] for request in server.requests] == ["GET", "GET", "PUT"]


def test_an_expired_token_is_read_again_once(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer fresh":
            return web.json_response(NODE)
        write_kubeconfig(tmp_path, f"http://{request.host}", "fresh")
        return web.json_response(refusal(401), status=401)

    server = Server(handler)
    node = server.run(tmp_path, lambda client: client.get(Node, "a"), token="stale")
    assert node.name == "a"
    assert len(server.requests) == 2


def test_no_connection_is_api_unavailable(tmp_path: Path) -> None:
    async def main() -> None:
        path = write_kubeconfig(tmp_path, "http://127.0.0.1:1", "secret")
        client = await connect(str(path), user_agent="tester/1")
        try:
            await client.create(Node(metadata=ObjectMeta(name="a")))
        finally:
            await client.close()

    with pytest.raises(ApiUnavailable, match="POST /api/v1/nodes") as caught:
        asyncio.run(main())
    assert caught.value.status_code == 0


def test_a_write_names_its_type_and_keeps_its_version(tmp_path: Path) -> None:
    server = Server(always({"metadata": {"name": "l", "namespace": "n", "resourceVersion": "6"}}))
    lease = Lease(metadata=ObjectMeta(name="l", namespace="n", resource_version="5"))
    updated = server.run(tmp_path, lambda client: client.update(lease))
    method, path, _, body = server.requests[0]
    assert (method, path) == ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/l")
    sent = json.loads(body)
    assert (sent["apiVersion"], sent["kind"]) == ("coordination.k8s.io/v1", "Lease")
    assert sent["metadata"]["resourceVersion"] == "5"
    assert updated.metadata.resource_version == "6"


def test_a_status_goes_to_its_subresource(tmp_path: Path) -> None:
    server = Server(always(NODE))
    server.run(tmp_path, lambda client: client.update_status(Node(metadata=ObjectMeta(name="a"))))
    assert server.requests[0][:2] == ("PUT", "/api/v1/nodes/a/status")


@pytest.mark.parametrize(
    ("patch", "content_type", "sent"),
    [
        (Patch(body={"a": None}), "application/merge-patch+json", {"a": None}),
        (
            Patch(type=PatchType.JSON, body=[{"op": "remove", "path": "/a"}]),
            "application/json-patch+json",
            [{"op": "remove", "path": "/a"}],
        ),
        (
            Patch(type=PatchType.APPLY, body={"spec": {}}),
            "application/apply-patch+yaml",
            {"apiVersion": "v1", "kind": "Node", "spec": {}},
        ),
    ],
)
def test_each_patch_has_its_content_type(tmp_path: Path, patch: Patch, content_type: str, sent: Any) -> None:
    server = Server(always(NODE))
    server.run(tmp_path, lambda client: client.patch(Node, "a", patch, subresource="status"))
    _, path, headers, body = server.requests[0]
    assert path.partition("?")[0] == "/api/v1/nodes/a/status"
    assert headers["Content-Type"] == content_type
    assert json.loads(body) == sent


def test_an_apply_names_its_manager_and_forces_when_asked(tmp_path: Path) -> None:
    server = Server(always(NODE))
    patch = Patch(type=PatchType.APPLY, body={}, field_manager="me", force=True)
    server.run(tmp_path, lambda client: client.patch(Node, "a", patch))
    assert server.requests[0][1] == "/api/v1/nodes/a?fieldManager=me&force=true"


def test_a_deletion_carries_its_preconditions(tmp_path: Path) -> None:
    server = Server(always(refusal(200)))
    server.run(
        tmp_path,
        lambda client: client.delete(Pod, "p", namespace="n", uid="u", resource_version="5", grace_period_seconds=0),
    )
    method, path, _, body = server.requests[0]
    options = json.loads(body)
    assert (method, path) == ("DELETE", "/api/v1/namespaces/n/pods/p")
    assert options["preconditions"] == {"uid": "u", "resourceVersion": "5"}
    assert (options["propagationPolicy"], options["gracePeriodSeconds"]) == ("Background", 0)


def test_a_watch_delivers_events_and_bookmarks_and_ends(tmp_path: Path) -> None:
    bookmark = {"kind": "Node", "apiVersion": "v1", "metadata": {"resourceVersion": "9", "creationTimestamp": None}}
    server = Server(events({"type": "ADDED", "object": NODE}, {"type": "BOOKMARK", "object": bookmark}))

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
    server = Server(events({"type": "ADDED", "object": large}, {"type": "MODIFIED", "object": NODE}))

    async def scenario(client: KubeClient) -> list[Any]:
        watch = await client.watch(Node, resource_version="4")
        return [await watch.receive(), await watch.receive()]

    first, second = server.run(tmp_path, scenario)
    assert len(first.resource.metadata.annotations["large"]) == 5_000_000
    assert second.resource.name == "a"


def test_an_error_event_of_410_is_expired(tmp_path: Path) -> None:
    server = Server(events({"type": "ERROR", "object": refusal(410, "Expired", "too old resource version")}))

    async def scenario(client: KubeClient) -> None:
        await (await client.watch(Node, resource_version="1")).receive()

    with pytest.raises(Expired, match="too old"):
        server.run(tmp_path, scenario)


def test_a_silent_watch_ends_as_if_in_good_order(tmp_path: Path) -> None:
    server = Server(events({"type": "ADDED", "object": NODE}, pause_seconds=0.2))

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
        Server(handler).run(tmp_path, scenario)


def test_a_watch_can_be_closed_while_nothing_comes(tmp_path: Path) -> None:
    server = Server(events(pause_seconds=30.0))

    async def scenario(client: KubeClient) -> bool:
        watch = await client.watch(Node, resource_version="1")
        receiving = asyncio.create_task(watch.receive())
        await asyncio.sleep(0.01)
        receiving.cancel()
        await asyncio.wait([receiving])
        await watch.close()
        return receiving.cancelled()

    assert server.run(tmp_path, scenario)


def test_an_object_that_cannot_be_read_names_the_field(tmp_path: Path) -> None:
    server = Server(always({"metadata": {"name": 5}}))
    with pytest.raises(ApiError, match=r"metadata\.name"):
        server.run(tmp_path, lambda client: client.get(Node, "a"))


@pytest.mark.parametrize("content", ["", "{}", "- a\n", "a: [", "users: 5"])
def test_a_useless_kubeconfig_is_one_clear_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(InvalidInput, match="config is not usable: ") as caught:
        asyncio.run(connect(str(path), user_agent="tester/1"))
    assert "\n" not in str(caught.value)


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="absent: no such file"):
        asyncio.run(connect(str(tmp_path / "absent"), user_agent="tester/1"))


def test_outside_a_cluster_a_kubeconfig_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInput, match="name a kubeconfig"):
        asyncio.run(connect("", user_agent="tester/1"))


def test_a_broken_certificate_is_one_clear_line(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path, "https://127.0.0.1:1", "secret")
    content = msgspec.json.decode(path.read_bytes())
    content["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(b"no certificate").decode()
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(InvalidInput, match="certificate"):
        asyncio.run(connect(str(path), user_agent="tester/1"))
