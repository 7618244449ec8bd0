"""Web servers on the loopback interface that answer as a test needs it: files, with all that a server may do wrong."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
import urllib.parse
from types import TracebackType
from typing import Protocol, Self

import msgspec

from cachesim.host.certificates import ServerCertificate

MODIFIED = "Tue, 03 Mar 2026 10:00:00 GMT"


class Asked(msgspec.Struct, frozen=True):
    """A request; the names of headers are lower case, the path is as it came."""

    method: str
    path: str
    headers: dict[str, str]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer; `cut_bytes` of its end are missing when the connection closes, `length` whether it is announced."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""
    cut_bytes: int = 0
    length: bool = True


class Site(Protocol):
    def answer(self, asked: Asked) -> Reply: ...


class WebServer:
    """`with WebServer(site) as server:` its `url` answers; `asked` is what came, in order."""

    def __init__(self, site: Site, certificate: ServerCertificate | None = None) -> None:
        self.site = site
        self.asked: list[Asked] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.web = self
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.private_key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"{'https' if certificate else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="web")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class WebFiles:
    """A site of files, by their unquoted paths.

    - replies: come first, one per request; None for the usual answer
    - wanted: headers without which there is nothing but a 401
    - pinning: "etag", "weak" (etags that pin nothing), "date", or "" for none
    - redirects: where a path is sent
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.replies: list[Reply | None] = []
        self.wanted: dict[str, str] = {}
        self.pinning = "etag"
        self.modified = MODIFIED
        self.ranges = True
        self.lengths = True
        self.headers: dict[str, str] = {}
        self.redirects: dict[str, str] = {}

    def answer(self, asked: Asked) -> Reply:
        told = self.replies.pop(0) if self.replies else None
        path = urllib.parse.unquote(asked.path.partition("?")[0])
        if told is not None:
            return told
        if any(asked.headers.get(name) != value for name, value in self.wanted.items()):
            return Reply(status=401)
        if path in self.redirects:
            return Reply(status=302, headers={"Location": self.redirects[path]})
        if path not in self.files:
            return Reply(status=404)
        content = self.files[path]
        headers = {**self._version(content), **self.headers}
        if not self._holds(asked, headers):
            return Reply(status=412)
        return ranged(asked, content, headers, ranges=self.ranges, length=self.lengths)

    def _version(self, content: bytes) -> dict[str, str]:
        etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        told = {
            "etag": {"ETag": f'"{etag}"'},
            "weak": {"ETag": f'W/"{etag}"'},
            "date": {"Last-Modified": self.modified},
        }
        return told.get(self.pinning, {})

    def _holds(self, asked: Asked, headers: dict[str, str]) -> bool:
        since = asked.headers.get("if-unmodified-since", self.modified)
        return asked.headers.get("if-match", headers.get("ETag")) == headers.get("ETag") and since == self.modified


def ranged(asked: Asked, content: bytes, headers: dict[str, str], *, ranges: bool = True, length: bool = True) -> Reply:
    """The content, or the range of it that was asked for."""
    wanted = asked.headers.get("range", "")
    if not wanted or not ranges:
        return Reply(headers=headers, body=content, length=length)
    first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
    if first >= len(content):
        return Reply(status=416, headers={**headers, "Content-Range": f"bytes */{len(content)}"})
    last = min(last, len(content) - 1)
    shown = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
    return Reply(status=206, headers={**headers, **shown}, body=content[first : last + 1])


class _Server(http.server.ThreadingHTTPServer):
    web: WebServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes in the middle of an answer, or trusts nobody, is what a test wanted."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave at once, not a delayed acknowledgement later.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        self.server.web.asked.append(asked)
        reply = self.server.web.site.answer(asked)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.length:
            self.send_header("Content-Length", str(len(reply.body)))
        if reply.cut_bytes or not reply.length:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[: len(reply.body) - reply.cut_bytes])

    def log_message(self, format: str, *arguments: object) -> None:
        pass
