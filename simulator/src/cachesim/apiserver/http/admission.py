"""Calls admission webhooks over HTTPS, as the API server of a real cluster does."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections.abc import Callable
from typing import Self

import aiohttp
import msgspec

from cachesim.apiserver.admission import WebhookFailure
from cachesim.apiserver.http.content import JSON, encode
from cachesim.apiserver.resources import JsonObject

_DEFAULT_TIMEOUT_SECONDS = 10


class ServiceAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a Service of the cluster is reached on this machine."""

    host: str
    port: int


ServiceLookup = Callable[[str, str, int], ServiceAddress | None]
"""(namespace, name, port) of a Service to where it is, or None when nobody serves it here."""


class HttpsAdmissionCaller:
    """Posts reviews to `clientConfig.url`, or to where `services` finds `clientConfig.service`.

    Raises WebhookFailure when the webhook can't be asked or does not answer with a review; what that means for the
    request (failurePolicy) is for the caller to decide.
    """

    def __init__(self, services: ServiceLookup | None = None) -> None:
        self._services = services
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def call(self, webhook: JsonObject, review: JsonObject) -> JsonObject:
        configuration = webhook.get("clientConfig") or {}
        url, server_name = self._address(configuration)
        seconds = webhook.get("timeoutSeconds") or _DEFAULT_TIMEOUT_SECONDS
        try:
            answer = await self._post(url, server_name, configuration.get("caBundle", ""), encode(review), seconds)
        except TimeoutError as error:
            raise WebhookFailure(f'failed to call webhook: Post "{url}": no answer within {seconds} s') from error
        except (aiohttp.ClientError, OSError, ssl.SSLError, binascii.Error, ValueError) as error:
            raise WebhookFailure(f'failed to call webhook: Post "{url}": {error}') from error
        if not isinstance(answer, dict):
            raise WebhookFailure(f'failed to call webhook: Post "{url}": the answer is no AdmissionReview')
        return answer

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _address(self, configuration: JsonObject) -> tuple[str, str]:
        """The URL to post to, and the name that the certificate must carry ("" is the URL's host)."""
        if configuration.get("url"):
            return str(configuration["url"]), ""
        service = configuration.get("service") or {}
        namespace, name, port = service.get("namespace", ""), service.get("name", ""), service.get("port", 443)
        found = None if self._services is None else self._services(namespace, name, port)
        if found is None:
            raise WebhookFailure(f'failed to call webhook: no endpoints available for service "{namespace}/{name}"')
        path = str(service.get("path") or "/").lstrip("/")
        return f"https://{found.host}:{found.port}/{path}", f"{name}.{namespace}.svc"

    async def _post(self, url: str, server_name: str, bundle: str, body: bytes, seconds: float) -> object:
        session = self._open_session()
        async with (
            asyncio.timeout(seconds),
            session.post(
                url,
                data=body,
                ssl=self._context(bundle),
                server_hostname=server_name or None,
                headers={"content-type": JSON, "accept": JSON},
            ) as response,
        ):
            content = await response.read()
            if response.status != 200:
                raise ValueError(f"the webhook answered {response.status}: {content[:200].decode(errors='replace')}")
        return msgspec.json.decode(content)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Loopback only: proxies of the environment are for the outer world.
            self._session = aiohttp.ClientSession(trust_env=False)
        return self._session

    def _context(self, bundle: str) -> ssl.SSLContext:
        """A context that trusts `bundle` (base64 PEM) alone; without one, what this machine trusts."""
        if bundle not in self._contexts:
            context = ssl.create_default_context()
            if bundle:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(cadata=base64.b64decode(bundle, validate=True).decode("ascii"))
            self._contexts[bundle] = context
        return self._contexts[bundle]
