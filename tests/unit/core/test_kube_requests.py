"""The client of the API server: one request, one answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

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
    NotFound,
    TooManyRequests,
)
from cachecore.ports.cluster import Patch, PatchType
from cachecore.resources.core import Lease, Node, Pod
from cachecore.resources.meta import ObjectMeta
from cachecore.testing.scripted_api import NODE, ScriptedApiServer, always, refusal, write_kubeconfig


def test_get_decodes_an_object_and_sends_the_token_and_the_user_agent(tmp_path: Path) -> None:
    server = ScriptedApiServer(always(NODE))
    node = server.run(tmp_path, lambda client: client.get(Node, "a"))
    method, path, headers, _ = server.requests[0]
    assert node == Node(metadata=ObjectMeta(name="a", resource_version="5"))
    assert (method, path) == ("GET", "/api/v1/nodes/a")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["User-Agent"] == "tester/1"


def test_list_sends_its_selectors_and_answers_a_page(tmp_path: Path) -> None:
    server = ScriptedApiServer(
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
    server = ScriptedApiServer(always(refusal(code, reason, "said no"), status=code))
    with pytest.raises(ApiError, match="said no") as caught:
        server.run(tmp_path, lambda client: client.create(Node(metadata=ObjectMeta(name="a"))))
    assert type(caught.value) is expected
    assert caught.value.status_code == code


def test_an_answer_that_is_no_status_is_quoted(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=502, text="<html>bad\n gateway</html>")

    with pytest.raises(ApiUnavailable, match="POST /api/v1/nodes: 502 <html>bad gateway"):
        ScriptedApiServer(handler).run(tmp_path, lambda client: client.create(Node(metadata=ObjectMeta(name="a"))))


def test_a_429_carries_how_long_to_wait(tmp_path: Path) -> None:
    server = ScriptedApiServer(always(refusal(429), status=429, headers={"Retry-After": "17"}))
    with pytest.raises(TooManyRequests) as caught:
        server.run(tmp_path, lambda client: client.update(Node(metadata=ObjectMeta(name="a"))))
    assert caught.value.retry_after_seconds == 17


def test_a_read_is_tried_again_and_a_write_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachecore.adapters.kube._jitter", lambda seconds: 0.0)
    answers = [web.json_response(refusal(503), status=503), web.json_response(NODE)]

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return answers.pop(0) if request.method == "GET" else web.json_response(refusal(503), status=503)

    server = ScriptedApiServer(handler)

    async def scenario(client: KubeClient) -> None:
        await client.get(Node, "a")
        with pytest.raises(ApiUnavailable):
            await client.update(Node(metadata=ObjectMeta(name="a")))

    server.run(tmp_path, scenario)
    assert [request[0] for request in server.requests] == ["GET", "GET", "PUT"]


def test_a_read_waits_as_long_as_the_server_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachecore.adapters.kube._jitter", lambda seconds: 0.0)
    monkeypatch.setattr("cachecore.adapters.kube.LONGEST_RETRY_AFTER_SECONDS", 0.05)
    times: list[float] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            return web.json_response(refusal(503), status=503, headers={"Retry-After": "60"})
        return web.json_response(NODE)

    ScriptedApiServer(handler).run(tmp_path, lambda client: client.get(Node, "a"))
    assert times[1] - times[0] >= 0.045


def test_an_expired_token_is_read_again_once(tmp_path: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer fresh":
            return web.json_response(NODE)
        write_kubeconfig(tmp_path, f"http://{request.host}", "fresh")
        return web.json_response(refusal(401), status=401)

    server = ScriptedApiServer(handler)
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
    server = ScriptedApiServer(always({"metadata": {"name": "l", "namespace": "n", "resourceVersion": "6"}}))
    lease = Lease(metadata=ObjectMeta(name="l", namespace="n", resource_version="5"))
    updated = server.run(tmp_path, lambda client: client.update(lease))
    method, path, _, body = server.requests[0]
    assert (method, path) == ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/l")
    sent = json.loads(body)
    assert (sent["apiVersion"], sent["kind"]) == ("coordination.k8s.io/v1", "Lease")
    assert sent["metadata"]["resourceVersion"] == "5"
    assert updated.metadata.resource_version == "6"


def test_a_status_goes_to_its_subresource(tmp_path: Path) -> None:
    server = ScriptedApiServer(always(NODE))
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
    server = ScriptedApiServer(always(NODE))
    server.run(tmp_path, lambda client: client.patch(Node, "a", patch, subresource="status"))
    _, path, headers, body = server.requests[0]
    assert path.partition("?")[0] == "/api/v1/nodes/a/status"
    assert headers["Content-Type"] == content_type
    assert json.loads(body) == sent


def test_an_apply_names_its_manager_and_forces_when_asked(tmp_path: Path) -> None:
    server = ScriptedApiServer(always(NODE))
    patch = Patch(type=PatchType.APPLY, body={}, field_manager="me", force=True)
    server.run(tmp_path, lambda client: client.patch(Node, "a", patch))
    assert server.requests[0][1] == "/api/v1/nodes/a?fieldManager=me&force=true"


def test_a_deletion_carries_its_preconditions(tmp_path: Path) -> None:
    server = ScriptedApiServer(always(refusal(200)))
    server.run(
        tmp_path,
        lambda client: client.delete(Pod, "p", namespace="n", uid="u", resource_version="5", grace_period_seconds=0),
    )
    method, path, _, body = server.requests[0]
    options = json.loads(body)
    assert (method, path) == ("DELETE", "/api/v1/namespaces/n/pods/p")
    assert options["preconditions"] == {"uid": "u", "resourceVersion": "5"}
    assert (options["propagationPolicy"], options["gracePeriodSeconds"]) == ("Background", 0)


def test_an_object_that_cannot_be_read_names_the_field(tmp_path: Path) -> None:
    server = ScriptedApiServer(always({"metadata": {"name": 5}}))
    with pytest.raises(ApiError, match=r"metadata\.name"):
        server.run(tmp_path, lambda client: client.get(Node, "a"))
