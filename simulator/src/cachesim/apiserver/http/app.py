"""The server's paths, as a Starlette application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cachecore.errors import ApiError, NotFound, TooManyRequests
from cachesim.apiserver.builtin import BUILTIN_GROUPS
from cachesim.apiserver.errors import bad_request, resource_not_found, status_body
from cachesim.apiserver.http.content import JSON, check_size, decode_object, encode, parse_media_types
from cachesim.apiserver.http.discovery import Discovery
from cachesim.apiserver.http.openapi import OpenApi
from cachesim.apiserver.http.reviews import Authenticator, answer_review, review_kind
from cachesim.apiserver.http.targets import Target, parse_target
from cachesim.apiserver.http.verbs import Caller, ObjectVerbs, flag, number
from cachesim.apiserver.left_out import not_implemented, refuse_path
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.server import ApiServer

logger = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# The version that the rules of this server follow. Clients compare it with their own.
_VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.3+localmodel",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "cpython",
    "platform": "linux/amd64",
}


class PodLogs(Protocol):
    """Where the logs of containers are: the nodes know."""

    def read(
        self, pod: JsonObject, container: str, *, follow: bool, tail_lines: int | None, previous: bool
    ) -> AsyncIterator[bytes]:
        """The log in pieces of any size. Raises an ApiError before the first piece when there is none."""
        ...


class Front:
    """The endpoints."""

    def __init__(self, server: ApiServer, authenticator: Authenticator, pod_logs: PodLogs | None) -> None:
        self._server = server
        self._authenticator = authenticator
        self._pod_logs = pod_logs
        self._discovery = Discovery(server.registry)
        self._openapi = OpenApi(server.registry)
        self._verbs = ObjectVerbs(server)

    def routes(self) -> list[Route]:
        open_ = [Route(path, self._answering(self._healthy)) for path in ("/healthz", "/livez", "/readyz")]
        open_.append(Route("/version", self._answering(self._version)))
        documents: list[tuple[str, Endpoint]] = [
            ("/api", self._api),
            ("/apis", self._apis),
            ("/api/{version}", self._resources),
            ("/apis/{group}", self._group),
            ("/apis/{group}/{version}", self._resources),
            ("/openapi/v3", self._openapi_root),
            ("/openapi/v3/{path:path}", self._openapi_document),
        ]
        closed = [Route(path, self._answering(self._known(each)), methods=["GET"]) for path, each in documents]
        roots = ("/api/{_:path}", "/apis/{_:path}")
        objects = [Route(path, self._answering(self._objects), methods=_METHODS) for path in roots]
        return [*open_, *closed, *objects]

    def _answering(self, endpoint: Endpoint) -> Endpoint:
        """Every error becomes a Status; one that nobody meant is logged."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except ApiError as error:
                return _failure(error)
            except ClientDisconnect:
                return Response(status_code=499)
            except Exception as error:
                logger.exception("%s %s failed", request.method, request.url.path)
                return _failure(ApiError(f"Internal error occurred: {type(error).__name__}: {error}"))

        return answer

    def _known(self, endpoint: Endpoint) -> Endpoint:
        async def authenticated(request: Request) -> Response:
            self._authenticator.user(request.headers.get("authorization", ""))
            return await endpoint(request)

        return authenticated

    async def _healthy(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _version(self, _request: Request) -> Response:
        return _json(_VERSION)

    async def _api(self, request: Request) -> Response:
        return self._aggregated(request, core=True) or _json(self._discovery.api_versions())

    async def _apis(self, request: Request) -> Response:
        return self._aggregated(request, core=False) or _json(self._discovery.group_list())

    def _aggregated(self, request: Request, *, core: bool) -> Response | None:
        """Aggregated discovery when the client asks for it first, else None."""
        for accepted in parse_media_types(request.headers.get("accept", "")):
            version = accepted.parameter("v")
            if (
                accepted.type == JSON
                and accepted.parameter("as") == "APIGroupDiscoveryList"
                and version in ("v2", "v2beta1")
            ):
                content = self._discovery.aggregated(core=core, version=version)
                return _json(content, f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
            if accepted.type in (JSON, "*/*") and not accepted.parameters:
                return None
        return None

    async def _group(self, request: Request) -> Response:
        return _json(_found(self._discovery.group(request.path_params["group"])))

    async def _resources(self, request: Request) -> Response:
        group, version = request.path_params.get("group", ""), request.path_params["version"]
        return _json(_found(self._discovery.resource_list(group, version)))

    async def _openapi_root(self, _request: Request) -> Response:
        return _json(self._openapi.root())

    async def _openapi_document(self, request: Request) -> Response:
        return _json(_found(self._openapi.document(request.path_params["path"])))

    async def _objects(self, request: Request) -> Response:
        user = self._authenticator.user(request.headers.get("authorization", ""))
        caller = Caller(user, request.headers.get("user-agent", ""))
        if "impersonate-user" in request.headers:
            raise not_implemented("impersonation")
        body = await _body(request)
        review = await self._review(request, caller, body)
        if review is not None:
            return review
        path = request.scope["path"]
        log_path = path.removesuffix("/log")
        if path != log_path and request.method == "GET":
            target = parse_target(self._server.registry, log_path)
            if (target.resource_type.group, target.resource_type.plural) == ("", "pods") and target.name:
                return await self._log(request, target)
        try:
            target = parse_target(self._server.registry, path)
        except NotFound:
            if _has_handler(path):
                raise
            return _unknown_path()
        return await self._verbs.answer(request, target, caller, body)

    async def _review(self, request: Request, caller: Caller, body: bytes) -> Response | None:
        parts = request.scope["path"].strip("/").split("/")
        if request.method != "POST" or len(parts) < 4 or parts[0] != "apis":
            return None
        kind = review_kind(parts[1], parts[2], parts[-1])
        if not kind:
            return None
        given = decode_object(body, request.headers.get("content-type", ""))
        return _json(answer_review(kind, given, caller.user, self._authenticator), status_code=201)

    async def _log(self, request: Request, target: Target) -> Response:
        if self._pod_logs is None:
            raise not_implemented("pods/log, for want of nodes that keep them")
        query = request.query_params
        pod = await self._server.get(target.resource_type, target.name, target.namespace)
        pieces = self._pod_logs.read(
            pod,
            _container(pod, query),
            follow=flag(query, "follow"),
            tail_lines=number(query, "tailLines"),
            previous=flag(query, "previous"),
        )
        # The first piece is awaited here, so that an error still becomes a Status.
        first = await anext(pieces, b"")
        return StreamingResponse(_chained(first, pieces), media_type="text/plain")


def create_app(
    server: ApiServer, *, users_by_token: Mapping[str, str] | None = None, pod_logs: PodLogs | None = None
) -> Starlette:
    """The application. `users_by_token` None lets everybody in as the admin."""
    front = Front(server, Authenticator(users_by_token), pod_logs)
    return Starlette(routes=front.routes(), exception_handlers={404: _no_such_path, 405: _no_such_method})


async def _body(request: Request) -> bytes:
    received = bytearray()
    async for piece in request.stream():
        received += piece
        check_size(len(received))
    return bytes(received)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _container(pod: JsonObject, query: Mapping[str, str]) -> str:
    names = [each["name"] for each in pod["spec"].get("containers") or []]
    known = [*names, *(each["name"] for each in pod["spec"].get("initContainers") or [])]
    pod_name = pod["metadata"]["name"]
    wanted = query.get("container", "")
    if wanted in known:
        return wanted
    if wanted:
        raise bad_request(f"container {wanted} is not valid for pod {pod_name}")
    if len(names) == 1:
        return str(names[0])
    raise bad_request(f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(known)}]")


def _found(content: JsonObject | None) -> JsonObject:
    if content is None:
        raise resource_not_found()
    return content


def _json(content: Any, media_type: str = JSON, status_code: int = 200) -> Response:
    return Response(encode(content), status_code, media_type=media_type)


def _failure(error: ApiError) -> Response:
    response = _json(status_body(error), status_code=error.status_code or 500)
    if isinstance(error, TooManyRequests):
        response.headers["retry-after"] = str(max(1, round(error.retry_after_seconds)))
    return response


async def _no_such_path(request: Request, _error: Exception) -> Response:
    try:
        refuse_path(request.url.path)
    except ApiError as error:
        return _failure(error)
    return _unknown_path()


def _has_handler(path: str) -> bool:
    """Whether a part of the real server listens there: groups that definitions make are found one kind at a time."""
    root, group, *_ = (*path.strip("/").split("/"), "")
    return root == "api" or group in BUILTIN_GROUPS


def _unknown_path() -> Response:
    """What the real server says where no part of it listens: of all its answers this one is no Status."""
    return PlainTextResponse("404 page not found\n", status_code=404)


async def _no_such_method(_request: Request, _error: Exception) -> Response:
    message = "the server does not allow this method on the requested resource"
    return _failure(ApiError(message, status_code=405, reason="MethodNotAllowed"))
