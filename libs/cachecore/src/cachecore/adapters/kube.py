"""The `ClusterClient` port over the official asyncio client, kubernetes.aio.

Of that client it takes the configuration (kubeconfig, client certificates, tokens, in-cluster credentials) and the
connection pool. The bytes of an answer are decoded straight into our own types: the client's models are several times
slower.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from cachecore.adapters.kube_errors import error_of_answer
from cachecore.adapters.kube_guard import Check, trace_config, writing
from cachecore.adapters.kube_watch import KubeWatch
from cachecore.errors import ApiError, ApiUnavailable, InvalidInput, TooManyRequests
from cachecore.ports.cluster import BeforeWrite, Patch, PatchType, ResourceList, Watch
from cachecore.resources.meta import Resource, to_object

R = TypeVar("R", bound=Resource)

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 60.0
# A watch on which nothing came for so long is opened anew: an API server sends a bookmark about every minute, so a
# silence as long as this may be a dead connection.
WATCH_IDLE_SECONDS = 120.0
READ_ATTEMPTS = 4
LONGEST_RETRY_AFTER_SECONDS = 30.0
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct, Generic[R], frozen=True):
    items: tuple[R, ...] | None = None
    metadata: _ListMeta = _ListMeta()


class KubeClient:
    """Made by `connect`; `close` it in the end."""

    def __init__(
        self,
        configuration: Any,
        *,
        user_agent: str,
        reload: Callable[[], Awaitable[None]] | None = None,
        request_seconds: float = REQUEST_SECONDS,
        watch_idle_seconds: float = WATCH_IDLE_SECONDS,
    ) -> None:
        from kubernetes.aio.client.rest import RESTClientObject

        self._configuration = configuration
        configuration.trace_configs = [trace_config()]
        self._rest: Any = RESTClientObject(configuration)
        self._user_agent = user_agent
        self._reload = reload
        self._timeout = aiohttp.ClientTimeout(total=request_seconds, sock_connect=CONNECT_SECONDS)
        self._watch_timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=watch_idle_seconds
        )
        self._decoders: dict[type, msgspec.json.Decoder[Any]] = {}
        self._before_write: BeforeWrite | None = None

    @property
    def host(self) -> str:
        """The URL of the API server."""
        return str(self._configuration.host)

    async def close(self) -> None:
        await self._rest.close()

    def guarded(self, before_write: BeforeWrite) -> KubeClient:
        """This client, over the same connections; it asks once more when a write's connection stands."""
        client = copy.copy(self)
        client._before_write = before_write
        return client

    async def get(self, kind: type[R], name: str, namespace: str = "") -> R:
        found: R = self._decode(kind, await self._read(_path(kind, namespace, name)))
        return found

    async def list(
        self,
        kind: type[R],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> ResourceList[R]:
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": limit or "",
            "continue": continue_token,
            "resourceVersion": resource_version,
        }
        content = await self._read(_path(kind, namespace), query)
        page: _List[R] = self._decode(_List[kind], content)  # type: ignore[valid-type]
        return ResourceList(
            items=page.items or (),
            resource_version=page.metadata.resource_version,
            continue_token=page.metadata.continue_,
        )

    async def watch(
        self,
        kind: type[R],
        *,
        resource_version: str,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float = 300.0,
    ) -> Watch[R]:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": max(1, int(timeout_seconds)),
        }
        path = _path(kind, namespace)
        response = await self._send("GET", path, query, timeout=self._watch_timeout)
        return KubeWatch(kind, response)

    async def create(self, resource: R) -> R:
        path = _path(type(resource), resource.namespace)
        return await self._write("POST", path, type(resource), to_object(resource))

    async def update(self, resource: R) -> R:
        path = _path(type(resource), resource.namespace, resource.name)
        return await self._write("PUT", path, type(resource), to_object(resource))

    async def update_status(self, resource: R) -> R:
        path = _path(type(resource), resource.namespace, resource.name, "status")
        return await self._write("PUT", path, type(resource), to_object(resource), subresource="status")

    async def patch(self, kind: type[R], name: str, patch: Patch, *, namespace: str = "", subresource: str = "") -> R:
        body = patch.body
        query: dict[str, Any] = {"fieldManager": patch.field_manager}
        if patch.type is PatchType.APPLY:
            resource_type = kind.resource_type
            body = {"apiVersion": resource_type.api_version, "kind": resource_type.kind, **body}
            query = {"fieldManager": patch.field_manager or "localmodel", "force": "true" if patch.force else ""}
        path = _path(kind, namespace, name, subresource)
        return await self._write(
            "PATCH", path, kind, body, subresource=subresource, query=query, content_type=patch.type.value
        )

    async def delete(
        self,
        kind: type[R],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {name: value for name, value in preconditions.items() if value}
        if preconditions:
            options["preconditions"] = preconditions
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        path = _path(kind, namespace, name)
        await self._exchange("DELETE", path, body=options, check=self._check("delete", kind, ""))

    # Inside.

    async def _write(
        self,
        method: str,
        path: str,
        kind: type[R],
        body: Any,
        *,
        subresource: str = "",
        query: dict[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> R:
        check = self._check(_VERBS[method], kind, subresource)
        content = await self._exchange(method, path, query, body=body, content_type=content_type, check=check)
        written: R = self._decode(kind, content)
        return written

    def _check(self, verb: str, kind: type[Resource], subresource: str) -> Check | None:
        return None if self._before_write is None else partial(self._before_write, verb, kind, subresource)

    async def _read(self, path: str, query: dict[str, Any] | None = None) -> bytes:
        """A GET, tried a few times: reading twice does no harm."""
        for attempt in range(1, READ_ATTEMPTS):
            try:
                return await self._exchange("GET", path, query)
            except (TooManyRequests, ApiUnavailable) as error:
                hinted_seconds = min(error.retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS)
                await asyncio.sleep(hinted_seconds + _jitter(0.2 * 2**attempt))
        return await self._exchange("GET", path, query)

    async def _exchange(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
        check: Check | None = None,
    ) -> bytes:
        response = await self._send(
            method, path, query, body=body, content_type=content_type, timeout=self._timeout, check=check
        )
        try:
            return await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unanswered(method, path, error) from error
        finally:
            response.release()

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None,
        *,
        body: Any = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout,
        check: Check | None = None,
    ) -> aiohttp.ClientResponse:
        """The answer's head, when it is a success; its body is still to be read. Raises `ApiError`."""
        text = urlencode({name: value for name, value in (query or {}).items() if value != ""})
        url = f"{self.host}{path}{'?' if text else ''}{text}"
        for last in (False, True):
            headers = await self._headers(content_type)
            try:
                with writing(check) if method != "GET" else nullcontext():
                    answer = await self._rest.request(method, url, headers=headers, body=body, _request_timeout=timeout)
                response: aiohttp.ClientResponse = answer.response
                if response.status < 300:
                    return response
                content = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _unanswered(method, path, error) from error
            if last or response.status != 401 or self._reload is None:
                raise error_of_answer(f"{method} {path}", response.status, content, response.headers.get("Retry-After"))
            # A token that expired: read the credentials again, once.
            await self._reload()
        raise AssertionError("the second attempt returns or raises")

    async def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": self._user_agent}
        for setting in (await self._configuration.auth_settings()).values():
            if setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers

    def _decode(self, kind: Any, content: bytes) -> Any:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.json.Decoder(kind)
        try:
            return decoder.decode(content)
        except msgspec.MsgspecError as error:
            name = getattr(kind, "__name__", str(kind))
            raise ApiError(f"cannot read the API server's {name}: {error}", reason="InvalidAnswer") from error


async def connect(kubeconfig: str | None, *, user_agent: str) -> KubeClient:
    """A client for the kubeconfig's current context, or (None or "") for the cluster that this pod runs in.

    Raises `InvalidInput` when the credentials can't be had. The API server itself is not asked yet.
    """
    from kubernetes.aio.client import Configuration

    configuration = Configuration()
    path = _existing(kubeconfig) if kubeconfig else ""

    async def load() -> None:
        await _load_credentials(configuration, path)

    await load()
    try:
        return KubeClient(configuration, user_agent=user_agent, reload=load)
    except OSError as error:
        # The TLS context reads the certificates.
        raise InvalidInput(f"{path or 'in-cluster credentials'}: cannot read the certificates: {error}") from error


def _existing(kubeconfig: str) -> str:
    path = Path(kubeconfig).expanduser()
    if not path.is_file():
        raise InvalidInput(f"kubeconfig {path}: no such file")
    return str(path)


async def _load_credentials(configuration: Any, path: str) -> None:
    from kubernetes.aio import config as loading

    config: Any = loading

    try:
        if path:
            # Not persisted: a service has no business writing to its user's file.
            await config.load_kube_config(config_file=path, client_configuration=configuration, persist_config=False)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except Exception as error:
        # The loader answers a malformed file with errors of many kinds: YAML's, base64's, its own, AttributeError.
        text = " ".join(str(error).split())
        if path:
            raise InvalidInput(f"kubeconfig {path} is not usable: {text}") from error
        raise InvalidInput(f"no credentials of a pod in a cluster ({text}): name a kubeconfig") from error


def _path(kind: type[Resource], namespace: str = "", name: str = "", subresource: str = "") -> str:
    return kind.resource_type.path(quote(namespace, safe=""), quote(name, safe=""), subresource)


def _jitter(seconds: float) -> float:
    return seconds * (0.5 + random.random())


def _unanswered(method: str, path: str, error: Exception) -> ApiUnavailable:
    text = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return ApiUnavailable(f"{method} {path}: {text}", status_code=0, reason="NoAnswer")
