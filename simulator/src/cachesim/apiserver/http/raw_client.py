"""`ApiServer`'s own verbs, spoken over HTTP: the contract suite's way to any server that serves Kubernetes' API."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec

from cachecore.errors import ApiError, ApiUnavailable
from cachesim.apiserver.errors import error_of
from cachesim.apiserver.http.content import JSON, decode_json, encode
from cachesim.apiserver.options import Answer, DeleteOptions, WriteOptions
from cachesim.apiserver.resources import JsonObject, ResourceType

# Longer than any webhook of a test may take.
_REQUEST = aiohttp.ClientTimeout(total=20.0)
_ENDLESS = aiohttp.ClientTimeout(total=None, sock_connect=20.0)
_LONGEST_LINE_BYTES = 64 * 1024 * 1024
TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io"
_NO_OPTIONS = WriteOptions()
_NO_DELETE_OPTIONS = DeleteOptions()
# What client-go makes of an answer that is no Status: (reason, message) by code. A real server has such answers, too:
# "404 page not found" in plain text is its word on a group that it does not serve.
_GENERIC = {
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", ""),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    406: ("NotAcceptable", ""),
    409: ("Conflict", "the server reported a conflict"),
    415: ("UnsupportedMediaType", ""),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}


class HttpWatch:
    """An open watch over HTTP."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._closed = False

    async def receive(self) -> JsonObject | None:
        """The next event; None at the end. Raises the ApiError of an ERROR event."""
        if self._closed:
            return None
        try:
            line = await self._response.content.readline()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiUnavailable(f"the watch broke: {error}") from error
        if not line.strip():
            return None
        event: JsonObject = decode_json(line)
        if event["type"] == "ERROR":
            raise status_error(event["object"])
        return event

    async def close(self) -> None:
        self._closed = True
        self._response.close()


class HttpVerbs:
    """`async with HttpVerbs(url) as verbs:` has the verbs of `ApiServer`."""

    def __init__(self, url: str, *, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls or True),
            headers=self._headers,
            read_bufsize=_LONGEST_LINE_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            # The transports of TLS connections close in the loop's next turns.
            await asyncio.sleep(0)

    async def get(self, resource_type: ResourceType, name: str, namespace: str = "") -> JsonObject:
        return (await self._send("GET", _path(resource_type, namespace, name))).object

    async def table(
        self, resource_type: ResourceType, *, namespace: str = "", name: str = "", include: str = ""
    ) -> JsonObject:
        """The object, or the list, as `kubectl get` asks for it."""
        path = _path(resource_type, namespace, name)
        return (await self._send("GET", path, {"includeObject": include}, accept=TABLE)).object

    async def list(
        self,
        resource_type: ResourceType,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> JsonObject:
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit or ""),
            "continue": continue_token,
            "resourceVersion": resource_version,
            "resourceVersionMatch": resource_version_match,
        }
        return (await self._send("GET", _path(resource_type, namespace), query)).object

    async def watch(
        self,
        resource_type: ResourceType,
        *,
        resource_version: str = "",
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        allow_bookmarks: bool = True,
        send_initial_events: bool = False,
        timeout_seconds: float = 300.0,
    ) -> HttpWatch:
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "allowWatchBookmarks": "true" if allow_bookmarks else "",
            "sendInitialEvents": "true" if send_initial_events else "",
            "resourceVersionMatch": "NotOlderThan" if send_initial_events else "",
            "timeoutSeconds": str(max(1, round(timeout_seconds))),
        }
        response = await self._request("GET", _path(resource_type, namespace), query, None, JSON, timeout=_ENDLESS)
        if response.status != 200:
            raise await _failure(response)
        return HttpWatch(response)

    async def create(
        self,
        resource_type: ResourceType,
        body: JsonObject,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        options: WriteOptions = _NO_OPTIONS,
    ) -> Answer:
        path = _path(resource_type, namespace, name, subresource)
        return await self._send("POST", path, _write_query(options), body)

    async def update(
        self,
        resource_type: ResourceType,
        name: str,
        body: JsonObject,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = _NO_OPTIONS,
    ) -> Answer:
        path = _path(resource_type, namespace, name, subresource)
        return await self._send("PUT", path, _write_query(options), body)

    async def patch(
        self,
        resource_type: ResourceType,
        name: str,
        patch_type: str,
        body: Any,
        *,
        namespace: str = "",
        subresource: str = "",
        options: WriteOptions = _NO_OPTIONS,
    ) -> Answer:
        path = _path(resource_type, namespace, name, subresource)
        return await self._send("PATCH", path, _write_query(options), body, patch_type)

    async def delete(
        self,
        resource_type: ResourceType,
        name: str,
        *,
        namespace: str = "",
        options: DeleteOptions = _NO_DELETE_OPTIONS,
    ) -> Answer:
        return await self._send("DELETE", _path(resource_type, namespace, name), {}, _delete_body(options))

    async def delete_collection(
        self,
        resource_type: ResourceType,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        options: DeleteOptions = _NO_DELETE_OPTIONS,
    ) -> Answer:
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        return await self._send("DELETE", _path(resource_type, namespace), query, _delete_body(options))

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Answer:
        response = await self._request(method, path, query or {}, body, content_type, accept)
        async with response:
            if response.status >= 400:
                raise await _failure(response)
            try:
                content: JsonObject = decode_json(await response.read())
            except (aiohttp.ClientError, OSError) as error:
                raise ApiUnavailable(f"{method} {path}: {str(error) or type(error).__name__}") from error
            warnings = tuple(_warning(value) for value in response.headers.getall("warning", []))
            return Answer(content, warnings, response.status == 201)

    async def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any,
        content_type: str,
        accept: str = JSON,
        timeout: aiohttp.ClientTimeout = _REQUEST,
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "inside `async with` only"  # noqa: S101 - a mistake of the caller
        try:
            return await self._session.request(
                method,
                self._url + path,
                params={name: value for name, value in query.items() if value},
                data=None if body is None else encode(body),
                headers={"content-type": content_type, "accept": accept},
                timeout=timeout,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise ApiUnavailable(f"{method} {path}: {str(error) or type(error).__name__}") from error


def status_error(status: JsonObject) -> ApiError:
    """The error that a metav1.Status stands for."""
    code, reason = int(status.get("code") or 500), str(status.get("reason") or "")
    error = error_of(code, str(status.get("message") or ""), reason, status.get("details"))
    token = (status.get("metadata") or {}).get("continue")
    if token:
        error.continue_token = token  # type: ignore[attr-defined]
    return error


async def _failure(response: aiohttp.ClientResponse) -> ApiError:
    content = await response.read()
    try:
        status = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.MsgspecError:
        status = {}
    if status.get("kind") == "Status":
        return status_error(status)
    reason, message = _GENERIC.get(response.status, ("InternalError" if response.status >= 500 else "", ""))
    return error_of(response.status, message or content[:200].decode(errors="replace"), reason)


def _warning(header: str) -> str:
    """The text of `299 - "text"`."""
    return header.partition('"')[2].rpartition('"')[0].replace('\\"', '"').replace("\\\\", "\\")


def _path(resource_type: ResourceType, namespace: str, name: str = "", subresource: str = "") -> str:
    root = f"/apis/{resource_type.api_version}" if resource_type.group else f"/api/{resource_type.version}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace and resource_type.namespaced else ""
    parts = (resource_type.plural, quote(name, safe=""), subresource)
    return f"{root}{scope}/" + "/".join(part for part in parts if part)


def _write_query(options: WriteOptions) -> dict[str, str]:
    return {
        "dryRun": "All" if options.dry_run else "",
        "fieldManager": options.field_manager,
        "fieldValidation": options.field_validation,
        "force": "true" if options.force else "",
    }


def _delete_body(options: DeleteOptions) -> JsonObject:
    body: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if options.grace_period_seconds is not None:
        body["gracePeriodSeconds"] = options.grace_period_seconds
    if options.propagation_policy:
        body["propagationPolicy"] = options.propagation_policy
    if options.dry_run:
        body["dryRun"] = ["All"]
    preconditions = {"uid": options.uid, "resourceVersion": options.resource_version}
    if any(preconditions.values()):
        body["preconditions"] = {name: value for name, value in preconditions.items() if value}
    return body
