"""Webhooks are called over TLS, by what their configuration says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cachesim.apiserver import WebhookFailure
from cachesim.apiserver.http import HttpsAdmissionCaller, ServiceAddress
from cachesim.host.certificates import ServerCertificate, make_certificate

REVIEW = {"kind": "AdmissionReview", "request": {"uid": "1"}}
NAMES = ("127.0.0.1", "webhook.system.svc")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ServerCertificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), NAMES, now=datetime.datetime.now(datetime.UTC))


@contextlib.asynccontextmanager
async def webhook(certificate: ServerCertificate, answer: Any = None, status: int = 200) -> AsyncIterator[int]:
    """A webhook that sends back what it was sent, or `answer`; yields its port."""

    async def review(request: web.Request) -> web.Response:
        return web.json_response(await request.json() if answer is None else answer, status=status)

    application = web.Application()
    application.router.add_post("/review", review)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.private_key)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def bundle(certificate: ServerCertificate) -> str:
    return base64.b64encode(certificate.authority).decode()


def call(certificate: ServerCertificate, configuration: dict[str, Any], **behaviour: Any) -> Any:
    async def main() -> Any:
        async with webhook(certificate, **behaviour) as port:
            filled = {
                **configuration,
                **({"url": f"https://127.0.0.1:{port}/review"} if "service" not in configuration else {}),
            }
            found = ServiceAddress(host="127.0.0.1", port=port)
            services = {("system", "webhook", 443): found}
            async with HttpsAdmissionCaller(lambda *service: services.get(service)) as caller:
                return await caller.call({"name": "w", "clientConfig": filled}, REVIEW)

    return asyncio.run(main())


def test_a_url_is_called(certificate: ServerCertificate) -> None:
    assert call(certificate, {"caBundle": bundle(certificate)}) == REVIEW


def test_a_service_is_found_and_its_name_checked(certificate: ServerCertificate) -> None:
    service = {"namespace": "system", "name": "webhook", "path": "/review"}
    assert call(certificate, {"caBundle": bundle(certificate), "service": service}) == REVIEW


def test_a_service_that_nobody_serves_is_a_failure(certificate: ServerCertificate) -> None:
    with pytest.raises(WebhookFailure, match='no endpoints available for service "system/other"'):
        call(certificate, {"caBundle": bundle(certificate), "service": {"namespace": "system", "name": "other"}})


def test_an_authority_that_is_not_trusted_is_a_failure(certificate: ServerCertificate, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, NAMES, now=datetime.datetime.now(datetime.UTC))
    with pytest.raises(WebhookFailure, match="certificate verify failed"):
        call(certificate, {"caBundle": bundle(other)})


def test_a_bundle_that_is_none_is_a_failure(certificate: ServerCertificate) -> None:
    with pytest.raises(WebhookFailure):
        call(certificate, {"caBundle": "not base64!"})


@pytest.mark.parametrize("behaviour", [{"status": 500}, {"answer": ["no", "review"]}])
def test_an_answer_that_is_no_review_is_a_failure(certificate: ServerCertificate, behaviour: dict[str, Any]) -> None:
    with pytest.raises(WebhookFailure):
        call(certificate, {"caBundle": bundle(certificate)}, **behaviour)


def test_nobody_listening_is_a_failure() -> None:
    async def main() -> None:
        async with HttpsAdmissionCaller() as caller:
            await caller.call({"name": "w", "clientConfig": {"url": "https://127.0.0.1:1/review"}}, REVIEW)

    with pytest.raises(WebhookFailure, match=r"127\.0\.0\.1"):
        asyncio.run(main())
