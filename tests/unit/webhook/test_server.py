"""The HTTPS front, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import ssl
import time
from collections.abc import AsyncIterator, Coroutine
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from cachecore.errors import InvalidInput
from cachewebhook.certificates import Certificates, make_certificates
from cachewebhook.metrics import WebhookMetrics
from cachewebhook.review import MalformedReview
from cachewebhook.server import (
    MAX_BODY_BYTES,
    AdmissionServer,
    CertificateFiles,
    TlsIdentity,
    admission_app,
)
from cachewebhook.webhook import MUTATE_PATH

NAMES = ("localhost", "127.0.0.1")
JSON = {"content-type": "application/json"}


class Answer(NamedTuple):
    code: int
    body: bytes


class Front:
    """A running server, and a client that trusts it."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.port = port
        self._session = session

    async def post(
        self, body: Any = b"{}", *, path: str = MUTATE_PATH, headers: dict[str, str] | None = None
    ) -> Answer:
        url = f"https://127.0.0.1:{self.port}{path}"
        async with self._session.post(url, data=body, headers=JSON if headers is None else headers) as response:
            return Answer(response.status, await response.read())


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return make_certificates(NAMES, now=time.time())


async def echo(path: str, body: bytes) -> bytes:
    """Stands for the webhook: answers what it was asked."""
    if body == b"malformed":
        raise MalformedReview("the body is no AdmissionReview: nothing fits")
    return msgspec.json.encode({"path": path, "size": len(body)})


@contextlib.asynccontextmanager
async def running(certificates: Certificates) -> AsyncIterator[Front]:
    identity = TlsIdentity()
    identity.load(certificates.certificate, certificates.private_key)
    app = admission_app(echo, WebhookMetrics(CollectorRegistry()))
    server = AdmissionServer(app, identity, address="127.0.0.1", port=0)
    serving = asyncio.get_running_loop().create_task(server.run())
    trusting = ssl.create_default_context(cadata=certificates.authority.decode())
    connector = aiohttp.TCPConnector(ssl=trusting)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Front(server.port, session)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def ask(certificates: Certificates, *arguments: Any, **options: Any) -> Answer:
    async def main() -> Answer:
        async with running(certificates) as front:
            return await front.post(*arguments, **options)

    return asyncio.run(main())


def test_a_review_is_answered_over_tls(certificates: Certificates) -> None:
    answer = ask(certificates, b'{"a": 1}')
    assert answer.code == HTTPStatus.OK
    assert msgspec.json.decode(answer.body) == {"path": MUTATE_PATH, "size": 8}


def test_a_parameter_of_the_content_type_is_no_matter(certificates: Certificates) -> None:
    assert ask(certificates, headers={"content-type": "Application/JSON; charset=utf-8"}).code == HTTPStatus.OK


def test_the_api_server_adds_a_timeout_to_the_path(certificates: Certificates) -> None:
    assert ask(certificates, path=f"{MUTATE_PATH}?timeout=5s").code == HTTPStatus.OK


def test_a_malformed_review_is_a_bad_request(certificates: Certificates) -> None:
    answer = ask(certificates, b"malformed")
    assert answer.code == HTTPStatus.BAD_REQUEST
    assert msgspec.json.decode(answer.body) == {"error": "the body is no AdmissionReview: nothing fits"}


def test_another_content_type(certificates: Certificates) -> None:
    answer = ask(certificates, headers={"content-type": "text/plain"})
    assert answer.code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert msgspec.json.decode(answer.body) == {"error": "content type text/plain is not read: send application/json"}


def test_a_huge_body(certificates: Certificates) -> None:
    answer = ask(certificates, io.BytesIO(b" " * (MAX_BODY_BYTES + 1)))
    assert answer.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert msgspec.json.decode(answer.body) == {"error": f"the body is larger than {MAX_BODY_BYTES} bytes"}


def test_a_huge_body_of_unknown_length(certificates: Certificates) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 2**20 + 1):
            yield b" " * 2**20

    async def main() -> Answer:
        async with running(certificates) as front:
            return await front.post(chunks())

    assert asyncio.run(main()).code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_the_largest_body_is_read(certificates: Certificates) -> None:
    assert ask(certificates, io.BytesIO(b" " * MAX_BODY_BYTES)).code == HTTPStatus.OK


def test_an_unknown_path(certificates: Certificates) -> None:
    assert ask(certificates, path="/other").code == HTTPStatus.NOT_FOUND


def test_nothing_is_served_without_tls(certificates: Certificates) -> None:
    async def main() -> None:
        async with running(certificates) as front, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"http://127.0.0.1:{front.port}{MUTATE_PATH}", data=b"{}", headers=JSON)

    asyncio.run(main())


def serial_number(port: int) -> bytes:
    """Of the certificate that a new connection gets."""
    return ssl.get_server_certificate(("127.0.0.1", port)).encode()


def run_with_files(folder: Path, first: Certificates, main: Any) -> Any:
    """Serve a pair of files in `folder`; `main(files, port)` runs beside."""

    async def whole() -> Any:
        write(folder, first)
        identity = TlsIdentity()
        files = CertificateFiles(identity, folder / "tls.crt", folder / "tls.key")
        files.load()
        server = AdmissionServer(
            admission_app(echo, WebhookMetrics(CollectorRegistry())), identity, address="127.0.0.1", port=0
        )
        serving = asyncio.get_running_loop().create_task(server.run())
        try:
            coroutine: Coroutine[Any, Any, Any] = main(files, server.port)
            return await coroutine
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    return asyncio.run(whole())


def write(folder: Path, certificates: Certificates) -> None:
    (folder / "tls.crt").write_bytes(certificates.certificate)
    (folder / "tls.key").write_bytes(certificates.private_key)


def test_changed_files_are_served_to_new_connections(tmp_path: Path, certificates: Certificates) -> None:
    renewed = make_certificates(NAMES, now=time.time())

    async def main(files: CertificateFiles, port: int) -> tuple[bytes, bytes]:
        before = await asyncio.to_thread(serial_number, port)
        write(tmp_path, renewed)
        files.load()
        return before, await asyncio.to_thread(serial_number, port)

    before, after = run_with_files(tmp_path, certificates, main)
    assert (before, after) == (certificates.certificate, renewed.certificate)


def test_a_pair_that_does_not_fit_leaves_the_old_one(tmp_path: Path, certificates: Certificates) -> None:
    other = make_certificates(NAMES, now=time.time())

    async def main(files: CertificateFiles, port: int) -> bytes:
        (tmp_path / "tls.crt").write_bytes(other.certificate)
        with pytest.raises(InvalidInput, match="can't be used together"):
            files.load()
        return await asyncio.to_thread(serial_number, port)

    assert run_with_files(tmp_path, certificates, main) == certificates.certificate


def test_files_that_are_not_there(tmp_path: Path) -> None:
    files = CertificateFiles(TlsIdentity(), tmp_path / "tls.crt", tmp_path / "tls.key")
    with pytest.raises(InvalidInput, match=r"cannot read .*tls.crt: No such file"):
        files.load()


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        app = admission_app(echo, WebhookMetrics(CollectorRegistry()))
        with pytest.raises(InvalidInput, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use"):
            AdmissionServer(app, TlsIdentity(), address="127.0.0.1", port=port)
