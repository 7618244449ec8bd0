"""One HTTP request on objects as one call of the API server."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cachecore.errors import ApiError, Invalid
from cachesim.apiserver.errors import bad_request, method_not_supported
from cachesim.apiserver.http.content import APPLY_PATCH, PATCH_TYPES, decode, decode_object, media_type_of
from cachesim.apiserver.http.negotiation import Presenter, negotiate
from cachesim.apiserver.http.targets import Target
from cachesim.apiserver.http.watching import FailedWatchResponse, WatchResponse
from cachesim.apiserver.option_rules import (
    check_delete_options,
    check_dry_run,
    check_list_options,
    check_watch_options,
    check_write_options,
)
from cachesim.apiserver.options import Answer, DeleteOptions, WriteOptions
from cachesim.apiserver.resources import JsonObject
from cachesim.apiserver.server import ApiServer

# A watch without timeoutSeconds ends by itself after this long, as the real server ends it after 30 to 60 minutes.
_WATCH_SECONDS = 1800.0
_OPTIONS_OF = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}


class Caller(msgspec.Struct, frozen=True):
    """Who sends the request."""

    user: str
    user_agent: str


class ObjectVerbs:
    """GET, POST, PUT, PATCH and DELETE on collections, objects and the subresources that are objects."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    async def answer(self, request: Request, target: Target, caller: Caller, body: bytes) -> Response:
        presenter = Presenter(
            negotiate(request.headers.get("accept", "")),
            target.resource_type,
            request.query_params,
            self._server.runtime.now,
        )
        if request.method == "GET":
            return await self._read(request.query_params, target, presenter)
        content_type = request.headers.get("content-type", "")
        answer = await self._write(request.method, request.query_params, target, caller, body, content_type)
        return _present(answer, presenter)

    async def _read(self, query: Mapping[str, str], target: Target, presenter: Presenter) -> Response:
        resource_type = target.resource_type
        if flag(query, "watch"):
            return await self._watch(query, target, presenter)
        if target.name:
            if target.subresource and target.subresource != "status":
                raise method_not_supported(resource_type, "get")
            found = await self._server.get(resource_type, target.name, target.namespace)
            return _response(presenter.of_object(found), presenter)
        version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
        check_list_options(version, match, query.get("continue", ""), query.get("sendInitialEvents", ""))
        content = await self._server.list(
            resource_type,
            namespace=target.namespace,
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
            limit=number(query, "limit") or 0,
            continue_token=query.get("continue", ""),
            resource_version=version,
            resource_version_match=match,
        )
        return _response(presenter.of_list(content), presenter)

    async def _watch(self, query: Mapping[str, str], target: Target, presenter: Presenter) -> Response:
        selectors = [query.get("fieldSelector", ""), f"metadata.name={target.name}" if target.name else ""]
        seconds = number(query, "timeoutSeconds")
        check_watch_options(query.get("resourceVersionMatch", ""), query.get("sendInitialEvents", ""))
        version = query.get("resourceVersion", "")
        if version in ("", "0") and "sendInitialEvents" in query and not flag(query, "sendInitialEvents"):
            version = str(self._server.revision)
        try:
            watch = await self._server.watch(
                target.resource_type,
                resource_version=version,
                namespace=target.namespace,
                label_selector=query.get("labelSelector", ""),
                field_selector=",".join(filter(None, selectors)),
                allow_bookmarks=flag(query, "allowWatchBookmarks"),
                send_initial_events=flag(query, "sendInitialEvents"),
                timeout_seconds=float(seconds) if seconds else _WATCH_SECONDS,
            )
        except ApiError as error:
            if error.status_code not in (410, 504):
                raise
            return FailedWatchResponse(error)
        return WatchResponse(watch, presenter)

    async def _write(
        self, method: str, query: Mapping[str, str], target: Target, caller: Caller, body: bytes, content_type: str
    ) -> Answer:
        if method == "DELETE":
            return await self._delete(query, target, caller, body, content_type)
        if method == "PATCH":
            return await self._patch(query, target, caller, body, content_type)
        if method == "POST" and (not target.name or target.subresource):
            return await self._server.create(
                target.resource_type,
                _typed(target, decode_object(body, content_type)),
                namespace=target.namespace,
                name=target.name,
                subresource=target.subresource,
                options=write_options(query, caller, method),
            )
        if method == "PUT" and target.name:
            return await self._server.update(
                target.resource_type,
                target.name,
                _typed(target, decode_object(body, content_type)),
                namespace=target.namespace,
                subresource=target.subresource,
                options=write_options(query, caller, method),
            )
        raise method_not_supported(target.resource_type, method.lower())

    async def _patch(
        self, query: Mapping[str, str], target: Target, caller: Caller, body: bytes, content_type: str
    ) -> Answer:
        media_type = media_type_of(content_type)
        if media_type not in PATCH_TYPES:
            raise Invalid(
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(PATCH_TYPES),
                status_code=415,
                reason="UnsupportedMediaType",
            )
        if not target.name:
            raise method_not_supported(target.resource_type, "patch")
        options = write_options(query, caller, "PATCH")
        if media_type == APPLY_PATCH:
            # An applier has to name itself.
            options = msgspec.structs.replace(options, field_manager=query.get("fieldManager", ""))
        return await self._server.patch(
            target.resource_type,
            target.name,
            media_type,
            decode(body, content_type),
            namespace=target.namespace,
            subresource=target.subresource,
            options=options,
        )

    async def _delete(
        self, query: Mapping[str, str], target: Target, caller: Caller, body: bytes, content_type: str
    ) -> Answer:
        if target.subresource:
            raise method_not_supported(target.resource_type, "delete")
        options = delete_options(query, caller, decode_object(body, content_type) if body else {})
        if target.name:
            return await self._server.delete(
                target.resource_type, target.name, namespace=target.namespace, options=options
            )
        return await self._server.delete_collection(
            target.resource_type,
            namespace=target.namespace,
            label_selector=query.get("labelSelector", ""),
            field_selector=query.get("fieldSelector", ""),
            options=options,
        )


def write_options(query: Mapping[str, str], caller: Caller, method: str = "POST") -> WriteOptions:
    kind = _OPTIONS_OF[method]
    options = WriteOptions(
        dry_run=check_dry_run(kind, [query["dryRun"]] if query.get("dryRun") else []),
        # Without a name given, the real server takes the program's from the User-Agent.
        field_manager=query.get("fieldManager") or caller.user_agent.partition("/")[0][:128],
        field_validation=query.get("fieldValidation") or "Warn",
        force=flag(query, "force"),
        user=caller.user,
        user_agent=caller.user_agent,
    )
    check_write_options(kind, options)
    return options


def delete_options(query: Mapping[str, str], caller: Caller, body: JsonObject) -> DeleteOptions:
    """From the query and the body; where both say something, the body does."""
    preconditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds")
    policy = body.get("propagationPolicy") or query.get("propagationPolicy", "")
    orphans = body.get("orphanDependents")
    dry_run = body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    options = DeleteOptions(
        dry_run=check_dry_run("DeleteOptions", dry_run),
        grace_period_seconds=grace if isinstance(grace, int) else number(query, "gracePeriodSeconds"),
        propagation_policy=policy or ("Orphan" if orphans else ""),
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
        user=caller.user,
        user_agent=caller.user_agent,
    )
    check_delete_options(options, orphans=bool(policy) and orphans is not None)
    return options


def flag(query: Mapping[str, str], name: str) -> bool:
    """As Go's conversion of a query reads it: whatever does not say no, says yes."""
    return name in query and query[name].lower() not in ("false", "0")


def number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def _typed(target: Target, content: JsonObject) -> JsonObject:
    """With the kind that the path implies: a built-in one may be left out, as official clients do."""
    resource_type = target.resource_type
    if resource_type.custom or target.subresource not in ("", "status") or content.keys() & {"kind", "apiVersion"}:
        return content
    return {"kind": resource_type.kind, "apiVersion": resource_type.api_version, **content}


def _present(answer: Answer, presenter: Presenter) -> Response:
    response = _response(presenter.of_object(answer.object), presenter, 201 if answer.created else 200)
    for warning in answer.warnings:
        text = " ".join(warning.replace("\\", "\\\\").replace('"', '\\"').split())
        response.headers.append("warning", f'299 - "{text.encode("ascii", "replace").decode()}"')
    return response


def _response(content: JsonObject, presenter: Presenter, status_code: int = 200) -> Response:
    negotiated = presenter.negotiated
    return Response(negotiated.encode(content), status_code, media_type=negotiated.media_type)
