"""The HTTPS front: FastAPI with one plain route for the reviews, since only raw bytes are fast; TLS that can change."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvicorn
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cachecore.adapters.status_server import bind_socket, serve
from cachecore.errors import InvalidInput
from cachewebhook.metrics import WebhookMetrics
from cachewebhook.review import MalformedReview
from cachewebhook.webhook import MUTATE_PATH, VALIDATE_PATH

# The API server sends an object and its old state, each below 3 MiB by its own rules.
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_DISCARDED_BYTES = 64 * 1024 * 1024
RELOAD_PERIOD_SECONDS = 10.0
# Longer than the 90 s after which the API server closes an idle connection: were it closed on this side, a review could
# be on its way into it, and a pod would be admitted without its model.
KEEP_ALIVE_SECONDS = 120
_JSON = "application/json"

logger = logging.getLogger(__name__)


class _Refused(InvalidInput):
    """An HTTP request that is no review: answered with its status code and one line of JSON."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def admission_app(review: Callable[[str, bytes], Awaitable[bytes]], metrics: WebhookMetrics) -> FastAPI:
    """POST of an AdmissionReview to either path; `review` answers it or raises `MalformedReview`."""
    app = FastAPI(title="localmodel webhook", openapi_url=None, docs_url=None, redoc_url=None)

    async def answer(request: Request) -> Response:
        try:
            body = await _read(request)
            return Response(await review(request.url.path, body), media_type=_JSON)
        except MalformedReview as error:
            return refuse(400, str(error))
        except _Refused as error:
            return refuse(error.code, str(error))
        except ClientDisconnect:
            # Nobody is left to read this.
            return refuse(400, "the client went away")

    def refuse(code: int, message: str) -> Response:
        metrics.refused_requests.labels(str(code)).inc()
        logger.warning("refused a request: %s", message, extra={"code": code})
        # What is left of a body that was not read would be taken for the next request.
        headers = {"connection": "close"} if code == 413 else None
        return Response(msgspec.json.encode({"error": message}), status_code=code, media_type=_JSON, headers=headers)

    for path in (MUTATE_PATH, VALIDATE_PATH):
        app.router.routes.append(Route(path, answer, methods=["POST"]))
    return app


async def _read(request: Request) -> bytes:
    """The whole body, within limits. Raises `_Refused`."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != _JSON:
        raise _Refused(415, f"content type {content_type or '(none)'} is not read: send {_JSON}")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_DISCARDED_BYTES:
            break
        # The rest is read and dropped: a client that is still sending would not see the answer.
        if size <= MAX_BODY_BYTES:
            parts.append(part)
    if size > MAX_BODY_BYTES:
        raise _Refused(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return b"".join(parts)


class TlsIdentity:
    """The certificate that new connections get. It may change at any time; open connections keep theirs."""

    def __init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loaded: tuple[bytes, bytes] | None = None

    @property
    def loaded(self) -> bool:
        return self._loaded is not None

    def load(self, certificate: bytes, private_key: bytes) -> bool:
        """Whether the pair was a new one. Raises `InvalidInput` and keeps the old pair when the new one is no good."""
        if (certificate, private_key) == self._loaded:
            return False
        # ssl reads key pairs from files alone.
        with tempfile.TemporaryDirectory(prefix="localmodel-webhook-") as directory:
            pair = Path(directory, "pair.pem")
            pair.touch(mode=0o600)
            pair.write_bytes(private_key + b"\n" + certificate)
            try:
                # First on the side: a pair that does not fit would spoil the context in use.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair)
                self.context.load_cert_chain(pair)
            except (ssl.SSLError, ValueError) as error:
                raise InvalidInput(f"certificate and private key can't be used together: {error}") from error
        self._loaded = (certificate, private_key)
        return True


class CertificateFiles:
    """A pair of files, such as a mounted Secret that cert-manager renews."""

    def __init__(self, identity: TlsIdentity, certificate: Path, private_key: Path) -> None:
        self._identity = identity
        self._certificate = certificate
        self._private_key = private_key

    def load(self) -> None:
        """Raises `InvalidInput` when the files can't be read or used."""
        try:
            certificate, private_key = self._certificate.read_bytes(), self._private_key.read_bytes()
        except OSError as error:
            raise InvalidInput(f"cannot read {error.filename}: {error.strerror}") from error
        if self._identity.load(certificate, private_key):
            logger.info("serving the certificate of %s", self._certificate)

    async def watch(self, period_seconds: float = RELOAD_PERIOD_SECONDS) -> None:
        """Load the files again whenever they change, until cancelled."""
        while True:
            await asyncio.sleep(period_seconds)
            try:
                await asyncio.to_thread(self.load)
            except InvalidInput as error:
                # The old certificate goes on; the new one may be half written.
                logger.warning("the certificate is not renewed: %s", error)


class AdmissionServer:
    """Serves an application over TLS until cancelled."""

    def __init__(self, app: FastAPI, identity: TlsIdentity, *, address: str, port: int) -> None:
        self._app = app
        self._identity = identity
        self._address = address
        self._socket = bind_socket(address, port)
        self.port: int = self._socket.getsockname()[1]

    async def run(self) -> None:
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            backlog=512,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        config.load()
        config.ssl = self._identity.context
        logger.info("reviews on https://%s:%d", self._address, self.port, extra={"port": self.port})
        await serve(config, self._socket)
