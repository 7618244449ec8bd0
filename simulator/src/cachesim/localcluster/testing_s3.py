"""An S3 that goes wrong on demand, and counts what it is asked for: for tests of who reads it.

It lists, answers HEADs and GETs with If-Match and Range, and tells the checksums that a test gives it. It lets in
everybody: credentials are moto's and its door's matter.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import msgspec

from cachesim.host.ports import ADDRESS

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_BLOCK_BYTES = 256 * 1024
_TRICKLE_SECONDS = 0.02


class S3Fault(enum.Enum):
    """What goes wrong with the GET of one range."""

    UNAVAILABLE = "503"
    SLOW_DOWN = "503 SlowDown"
    REFUSED = "403"
    MISSING = "404"
    RESET = "the connection breaks half-way"
    STALL = "silence from half-way on"
    TRICKLE = "a byte now and then"
    TRUNCATED = "the connection ends half-way"
    CORRUPT = "one bit is another"
    WHOLE = "200 and the whole object"
    SHIFTED = "206 and another range, as the answer says"
    SHORT = "206 and half of the range, as the answer says"


_ERRORS = {
    S3Fault.UNAVAILABLE: (503, "ServiceUnavailable"),
    S3Fault.SLOW_DOWN: (503, "SlowDown"),
    S3Fault.REFUSED: (403, "AccessDenied"),
    S3Fault.MISSING: (404, "NoSuchKey"),
}


class S3Object(msgspec.Struct, frozen=True, kw_only=True):
    """`headers` go with each answer about the whole object; `upload_parts` are the sizes of its upload's parts."""

    content: bytes
    etag: str
    headers: tuple[tuple[str, str], ...] = ()
    upload_parts: tuple[int, ...] = ()


class _Planned(msgspec.Struct):
    fault: S3Fault | S3Object
    key: str
    offset_bytes: int
    times: int | None


class TestingS3:
    """`with TestingS3() as s3:` serves at `s3.url`. Keys are `bucket/name`; set it up from any thread.

    - asked: how often the range that begins there was asked for, by (key, offset)
    - sent_bytes: of bodies of GETs, by key
    - bytes_per_second: of all connections together; 0 is as fast as it goes
    """

    __test__ = False

    def __init__(self) -> None:
        self.objects: dict[str, S3Object] = {}
        self.asked: Counter[tuple[str, int]] = Counter()
        self.heads: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()
        self.bytes_per_second = 0
        self.checks_etag = True
        self._planned: list[_Planned] = []
        self._lock = threading.Lock()
        self._free_at_seconds = 0.0
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="testing-s3")
        self.url = f"http://{ADDRESS}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What tells every S3 client where it is."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(
        self,
        key: str,
        content: bytes,
        *,
        etag: str | None = None,
        headers: Mapping[str, str] | None = None,
        upload_parts: tuple[int, ...] = (),
    ) -> S3Object:
        """Without an `etag` it is the MD5 of the content, as for an upload in one piece."""
        made = S3Object(
            content=content,
            etag=hashlib.md5(content, usedforsecurity=False).hexdigest() if etag is None else etag,
            headers=tuple((headers or {}).items()),
            upload_parts=upload_parts,
        )
        self.objects[key] = made
        return made

    def fail(self, fault: S3Fault, key: str, offset_bytes: int = 0, *, times: int | None = 1) -> None:
        """The next `times` GETs of the range that begins there go wrong; None: all of them."""
        with self._lock:
            self._planned.append(_Planned(fault, key, offset_bytes, times))

    def replace(self, key: str, content: bytes, offset_bytes: int = 0) -> None:
        """At the next GET of the range that begins there, before it is answered, the object becomes another."""
        before = self.objects[key]
        made = self.put(key, content)
        self.objects[key] = before
        with self._lock:
            self._planned.append(_Planned(made, key, offset_bytes, 1))

    def heal(self) -> None:
        """Nothing goes wrong any more, and nothing has been counted."""
        with self._lock:
            self._planned.clear()
            self.forget()

    def forget(self) -> None:
        """Count from zero."""
        for counter in (self.asked, self.heads, self.sent_bytes):
            counter.clear()

    def total_sent_bytes(self) -> int:
        with self._lock:
            return self.sent_bytes.total()

    def fault_of(self, key: str, offset_bytes: int) -> S3Fault | None:
        """Count a GET, and say what goes wrong with it."""
        with self._lock:
            self.asked[key, offset_bytes] += 1
            for planned in self._planned:
                if (planned.key, planned.offset_bytes) != (key, offset_bytes) or planned.times == 0:
                    continue
                if planned.times is not None:
                    planned.times -= 1
                if isinstance(planned.fault, S3Fault):
                    return planned.fault
                self.objects[key] = planned.fault
        return None

    def count_head(self, key: str) -> None:
        with self._lock:
            self.heads[key] += 1

    def pace(self, key: str, count: int) -> None:
        """Count what is about to be sent, and wait until it may."""
        with self._lock:
            self.sent_bytes[key] += count
            if not self.bytes_per_second:
                return
            now = time.monotonic()
            self._free_at_seconds = max(now, self._free_at_seconds) + count / self.bytes_per_second
            wait_seconds = self._free_at_seconds - now
        time.sleep(wait_seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, owner: TestingS3) -> None:
        self.owner = owner
        self._open: dict[socket.socket, None] = {}
        super().__init__((ADDRESS, 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        # Without the orderly goodbye of the base class: a reset must be one.
        self._open.pop(request, None)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has hung up is nobody's error here."""

    def hang_up(self) -> None:
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""

    def do_HEAD(self) -> None:
        key, query = self._asked()
        self.server.owner.count_head(key)
        found = self._found(key)
        if found is None:
            return
        length = len(found.content)
        if "partNumber" in query and found.upload_parts:
            length = found.upload_parts[int(query["partNumber"][0]) - 1]
        self._begin(206 if "partNumber" in query else 200, length, found, whole=True)

    def do_GET(self) -> None:
        key, query = self._asked()
        if "list-type" in query:
            self._list(key, query.get("prefix", [""])[0])
            return
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        fault = self.server.owner.fault_of(key, first)
        if fault in _ERRORS:
            self._error(*_ERRORS[fault])
            return
        found = self._found(key)
        if found is not None:
            last = int(asked[2]) if asked else len(found.content) - 1
            self._answer(key, found, first, last, ranged=asked is not None, fault=fault)

    def _answer(self, key: str, found: S3Object, first: int, last: int, *, ranged: bool, fault: S3Fault | None) -> None:
        if fault is S3Fault.WHOLE:
            first, last, ranged = 0, len(found.content) - 1, False
        elif fault is S3Fault.SHIFTED:
            ranged = True
            first, last = (first - 1, last - 1) if first else (first + 1, last)
        elif fault is S3Fault.SHORT:
            ranged = True
            last = first + (last - first) // 2
        body = bytearray(found.content[first : last + 1])
        if fault is S3Fault.CORRUPT:
            body[len(body) // 2] ^= 1
        shown = {"Content-Range": f"bytes {first}-{last}/{len(found.content)}"} if ranged else {}
        self._begin(206 if ranged else 200, len(body), found, whole=not ranged, **shown)
        cut = len(body) // 2 if fault in (S3Fault.RESET, S3Fault.STALL, S3Fault.TRICKLE, S3Fault.TRUNCATED) else None
        self._send(key, memoryview(body)[:cut])
        if cut is not None:
            self._end_badly(fault)

    def _end_badly(self, fault: S3Fault | None) -> None:
        self.close_connection = True
        if fault is S3Fault.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        elif fault is S3Fault.STALL:
            # Until the client has had enough.
            self.connection.recv(1)
        elif fault is S3Fault.TRICKLE:
            while True:
                self.wfile.write(b"\0")
                time.sleep(_TRICKLE_SECONDS)

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parsed = urlsplit(self.path)
        return unquote(parsed.path).strip("/"), parse_qs(parsed.query)

    def _found(self, key: str) -> S3Object | None:
        """The object; None when the request has been refused."""
        owner = self.server.owner
        found = owner.objects.get(key)
        wanted = self.headers.get("If-Match", "").strip('"')
        if found is None:
            self._error(404, "NoSuchKey")
        elif owner.checks_etag and wanted and wanted != found.etag:
            self._error(412, "PreconditionFailed")
        else:
            return found
        return None

    def _begin(self, status: int, length: int, found: S3Object, *, whole: bool, **headers: str) -> None:
        self.send_response(status)
        told = found.headers if whole and self.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED" else ()
        for name, value in (("Content-Length", str(length)), ("ETag", f'"{found.etag}"'), *headers.items(), *told):
            self.send_header(name, value)
        self.end_headers()

    def _send(self, key: str, body: memoryview) -> None:
        for offset in range(0, len(body), _BLOCK_BYTES):
            block = body[offset : offset + _BLOCK_BYTES]
            self.server.owner.pace(key, len(block))
            self.wfile.write(block)

    def _error(self, status: int, code: str) -> None:
        body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _list(self, bucket: str, prefix: str) -> None:
        body = "".join(_listed(self.server.owner.objects, f"{bucket}/", prefix)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _listed(objects: Mapping[str, S3Object], bucket: str, prefix: str) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    for key, found in sorted(objects.items()):
        name = key.removeprefix(bucket)
        if key.startswith(bucket) and name.startswith(prefix):
            yield (
                f"<Contents><Key>{escape(name)}</Key><Size>{len(found.content)}</Size>"
                f"<ETag>&quot;{found.etag}&quot;</ETag></Contents>"
            )
    yield "<IsTruncated>false</IsTruncated></ListBucketResult>"
