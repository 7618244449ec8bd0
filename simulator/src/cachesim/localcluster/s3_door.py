"""The door before moto: lets in who has the access key, counts, and serves objects straight from disk."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

Environment = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environment, StartResponse], Iterable[bytes]]

COUNTERS_PATH = "/_localmodel/s3"
_BLOCK_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_SIGNATURES = frozenset({"x-id", "signature", "expires", "awsaccesskeyid"})
_TOLD = frozenset({"content-type", "content-encoding", "cache-control"})
_HEADER_CREDENTIAL = re.compile(r"Credential=([^/]+)/")
_ACCESS_DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message><RequestId>0</RequestId></Error>'
)


class Counters:
    """What has been served; shared by the threads of the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = dict.fromkeys(
            ("get_requests", "list_requests", "head_requests", "put_requests", "bytes_served"), 0
        )

    def add(self, name: str, count: int = 1) -> None:
        with self._lock:
            self._values[name] += count

    def encode(self) -> bytes:
        with self._lock:
            return msgspec.json.encode(self._values)


class Pace:
    """Lets blocks of all threads go one after the other, no faster than so many bytes per second; 0 is no limit."""

    def __init__(self, bytes_per_second: int = 0) -> None:
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._free_at_seconds = 0.0

    def wait(self, count_bytes: int) -> None:
        if self._bytes_per_second <= 0:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at_seconds = max(now, self._free_at_seconds) + count_bytes / self._bytes_per_second
            wait_seconds = self._free_at_seconds - now
        time.sleep(wait_seconds)


class Door:
    """A WSGI application around another one."""

    def __init__(self, application: Application, access_key: str, *, bytes_per_second: int = 0) -> None:
        self._application = application
        self._pace = Pace(bytes_per_second)
        self._access_key = access_key
        self._counters = Counters()

    def __call__(self, environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        if environment["PATH_INFO"] == COUNTERS_PATH:
            body = self._counters.encode()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]
        refusal = self._refusal(environment)
        if refusal:
            return _refuse(environment, start_response, refusal)
        counted = _counted_as(environment)
        if counted:
            self._counters.add(counted)
        answer = None
        if counted == "get_requests":
            answer = read_object(environment, start_response)
        if answer is None:
            answer = self._application(environment, start_response)
        return self._count_bytes(answer) if counted == "get_requests" else answer

    def _refusal(self, environment: Environment) -> str:
        """Why the request may not pass, as S3's error code; "" when it may."""
        given = _access_key(environment)
        if given == self._access_key:
            return ""
        return "InvalidAccessKeyId" if given else "AccessDenied"

    def _count_bytes(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for block in blocks:
                self._pace.wait(len(block))
                self._counters.add("bytes_served", len(block))
                yield block
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()


def read_object(environment: Environment, start_response: StartResponse) -> Iterable[bytes] | None:
    """Answer a plain GET of an object, or of one range of it; None leaves it to moto.

    moto copies the whole object for each request: a large model in many parts would take for ever.
    """
    if not _is_plain(environment):
        return None
    found = _find_object(environment["PATH_INFO"])
    if found is None:
        return None
    first, last = _bounds(environment.get("HTTP_RANGE", ""), found.size)
    wanted_etag = environment.get("HTTP_IF_MATCH", "")
    if last < first or (wanted_etag and wanted_etag.strip('"') != found.etag.strip('"')):
        os.close(found.descriptor)
        return None
    headers = [("Content-Length", str(last + 1 - first)), ("Accept-Ranges", "bytes"), *found.headers]
    status = "200 OK"
    if "HTTP_RANGE" in environment:
        status = "206 Partial Content"
        headers.append(("Content-Range", f"bytes {first}-{last}/{found.size}"))
    start_response(status, headers)
    return _blocks(found.descriptor, first, last + 1 - first)


def _is_plain(environment: Environment) -> bool:
    """Whether it asks for nothing but bytes: no other version, no subresource, no condition but If-Match."""
    names = [pair.partition("=")[0].lower() for pair in environment.get("QUERY_STRING", "").split("&") if pair]
    conditions = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE")
    return all(name.startswith("x-amz-") or name in _SIGNATURES for name in names) and not any(
        condition in environment for condition in conditions
    )


def _bounds(asked: str, size: int) -> tuple[int, int]:
    """The first and the last byte; an empty interval (last < first) when moto should say what is wrong with it."""
    if not asked:
        return 0, size - 1
    found = _RANGE.fullmatch(asked)
    if found is None:
        return 0, -1
    return int(found[1]), min(int(found[2]), size - 1) if found[2] else size - 1


class _Found(msgspec.Struct, frozen=True):
    """An object's content, open as a file of its own, and what is told of it."""

    descriptor: int
    size: int
    etag: str
    headers: tuple[tuple[str, str], ...]


def _find_object(path: str) -> _Found | None:
    """The object at `/bucket/key`; None when moto should say what is wrong."""
    from moto.core.exceptions import ServiceException
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    bucket, _, key = path.lstrip("/").partition("/")
    try:
        # PATH_INFO comes as latin-1 text of UTF-8 bytes.
        stored: Any = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(
            bucket, unquote(key.encode("latin-1").decode("utf-8"))
        )
    except (ServiceException, UnicodeError):
        return None
    if stored is None or not hasattr(stored, "_value_buffer"):
        return None
    with stored.lock:
        stored._value_buffer.flush()
        # Rolls the content over to a file if it still is in memory; the duplicate outlives a deletion of the object.
        descriptor = os.dup(stored._value_buffer.fileno())
    told = {name: str(value) for name, value in stored.metadata.items() if name.lower() in _TOLD}
    headers = {
        "Content-Type": "binary/octet-stream",
        **told,
        "ETag": str(stored.etag),
        "Last-Modified": str(stored.last_modified_RFC1123),
    }
    return _Found(descriptor, os.fstat(descriptor).st_size, str(stored.etag), tuple(headers.items()))


def _blocks(descriptor: int, offset: int, length: int) -> Iterator[bytes]:
    try:
        while length > 0:
            block = os.pread(descriptor, min(length, _BLOCK_BYTES), offset)
            if not block:
                return
            offset += len(block)
            length -= len(block)
            yield block
    finally:
        os.close(descriptor)


def _counted_as(environment: Environment) -> str:
    method = environment["REQUEST_METHOD"]
    is_object = bool(environment["PATH_INFO"].strip("/").partition("/")[2])
    if method == "GET":
        return "get_requests" if is_object else "list_requests"
    return {"HEAD": "head_requests", "PUT": "put_requests"}.get(method, "")


def _access_key(environment: Environment) -> str:
    signed = _HEADER_CREDENTIAL.search(environment.get("HTTP_AUTHORIZATION", ""))
    if signed is not None:
        return signed[1]
    query = parse_qs(environment.get("QUERY_STRING", ""))
    presigned = (query.get("X-Amz-Credential") or query.get("AWSAccessKeyId") or [""])[0]
    return str(presigned).partition("/")[0]


def _refuse(environment: Environment, start_response: StartResponse, code: str) -> Iterable[bytes]:
    # What the client still sends must be read, or it sees a reset instead of the answer.
    remaining = int(environment.get("CONTENT_LENGTH") or 0)
    while remaining > 0 and (block := environment["wsgi.input"].read(min(remaining, _BLOCK_BYTES))):
        remaining -= len(block)
    message = b"Access Denied" if code == "AccessDenied" else b"The access key does not exist in our records."
    body = _ACCESS_DENIED % (code.encode(), message)
    start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [b"" if environment["REQUEST_METHOD"] == "HEAD" else body]
