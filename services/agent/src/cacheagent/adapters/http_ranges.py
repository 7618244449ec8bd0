"""GETs of signed URLs over kept-alive connections, for threads: plain `http.client`, read straight into a buffer."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

from cacheagent.adapters.redirections import REDIRECTS_MAX, STATUSES, Hop, Redirections
from cacheagent.adapters.signed import SignedRequest
from cacheagent.adapters.source_errors import refusal, translate
from cachecore.errors import AccessDenied, CorruptTransfer, SourceChanged, SourceError, SourceUnavailable
from cachecore.ports import Part

CONNECT_TIMEOUT_SECONDS = 15.0
READ_TIMEOUT_SECONDS = 60.0
# A part that trickles in more slowly than this is a stall with a pulse.
SLOWEST_BYTES_PER_SECOND = 64 * 1024
ERROR_BODY_BYTES = 64 * 1024
# Metadata services whose addresses are not link-local: AWS' in IPv6, and Alibaba's.
_METADATA = ("fd00:ec2::254", "100.100.100.200")
# What a remembered redirection's target answers when its own signature has expired, or when it has moved.
_STALE = (400, 401, 403, 404, 410)

Place = tuple[str, str, int, ssl.SSLContext | None]
Asked = tuple[Place, http.client.HTTPConnection, http.client.HTTPResponse]


class Aborted(Exception):
    """Whoever asked for the bytes no longer wants them."""


class Unreachable(ConnectionError):
    """There is no connection to the server, or none that can be trusted."""


class Abort:
    """Ends, from another thread, what a thread reads from the network."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.aborted = False

    def abort(self) -> None:
        with self._lock:
            self.aborted = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def watch(self, connected: socket.socket | None) -> None:
        """The socket that is read now; None for none. Raises `Aborted` when it was aborted before."""
        with self._lock:
            self._socket = connected
            if self.aborted and connected is not None:
                raise Aborted


class _Request(NamedTuple):
    signed: SignedRequest
    subject: str
    abort: Abort
    method: str
    headers: dict[str, str]


class Answer:
    """The body of one answer, which is exactly the part that was asked for."""

    def __init__(self, signed: SignedRequest, part: Part, response: http.client.HTTPResponse) -> None:
        headers = {name.lower(): value for name, value in response.getheaders()}
        self.told = signed.checksum_of(headers) if part.length_bytes == part.source.size_bytes else None
        self._source = part.source
        self._response = response
        self._left_bytes = part.length_bytes

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer, or as much of it as is left of the part: 0 at its end. Raises `SourceUnavailable`."""
        wanted = min(len(buffer), self._left_bytes)
        filled = 0
        while filled < wanted:
            try:
                count = self._response.readinto(buffer[filled:wanted])
            except (OSError, http.client.HTTPException) as error:
                # Here already: where the bytes are written it would pass for an error of the disk.
                raise translate(error, self._source.location) from error
            if not count:
                raise SourceUnavailable(
                    f"{self._source.location}: the connection ended {self._left_bytes - filled} bytes too early"
                )
            filled += count
        self._left_bytes -= filled
        return filled

    def end(self) -> None:
        """Of a body whose length nothing has announced: it must end with the part. Raises `CorruptTransfer`."""
        if not self._left_bytes and self._response.length is None and self._response.read(1):
            raise CorruptTransfer(f"{self._source.location}: more bytes came than it has")


class HttpRanges:
    """Connections that are kept for the next range, by where they lead to."""

    def __init__(
        self,
        *,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        slowest_bytes_per_second: int = SLOWEST_BYTES_PER_SECOND,
    ) -> None:
        self._connect_timeout_seconds = connect_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._slowest_bytes_per_second = slowest_bytes_per_second
        self._lock = threading.Lock()
        self._idle: dict[Place, list[http.client.HTTPConnection]] = {}
        self._redirections = Redirections()
        self._proxies = urllib.request.getproxies()

    def patience_seconds(self, parts: Sequence[Part]) -> float:
        """How long the parts, one after the other, may take: a server that sends a byte now and then is no better than
        a silent one, which the timeout of a read finds.
        """
        slowest_seconds = sum(part.length_bytes for part in parts) / self._slowest_bytes_per_second
        return self._read_timeout_seconds + slowest_seconds

    @contextmanager
    def get(self, signed: SignedRequest, part: Part, abort: Abort) -> Iterator[Answer]:
        """The answer to a GET of the part. Raises the `SourceError` branch, and `Aborted`."""
        whole = part.length_bytes == part.source.size_bytes
        last = part.offset_bytes + part.length_bytes - 1
        wanted = {} if whole else {"Range": f"bytes={part.offset_bytes}-{last}"}
        with self.ask(signed, part.source.location, abort, headers=wanted) as response:
            _check(part, whole, signed, response)
            answer = Answer(signed, part, response)
            yield answer
            answer.end()

    @contextmanager
    def ask(
        self,
        signed: SignedRequest,
        subject: str,
        abort: Abort,
        *,
        method: str = "GET",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer at the end of all redirections, whatever its status.

        Raises `SourceUnavailable` when there is none, and `Aborted`.
        """
        try:
            request = _Request(signed, subject, abort, method, {**dict(signed.headers), **headers})
            place, connection, response = self._ask(request)
            try:
                yield response
            except BaseException:
                _drop(connection, response)
                raise
            finally:
                abort.watch(None)
            self._keep(place, connection, response)
        except (OSError, http.client.HTTPException) as error:
            if abort.aborted:
                raise Aborted from error
            raise translate(error, subject) from error

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _ask(self, request: _Request) -> Asked:
        known = self._redirections.find(request.signed)
        if known is not None:
            try:
                place, connection, response = self._follow(request, known)
            except (OSError, http.client.HTTPException):
                self._redirections.forget(request.signed)
                raise
            if response.status not in _STALE:
                return place, connection, response
            _drop(connection, response)
            self._redirections.forget(request.signed)
        return self._follow(request, Hop(request.signed.url))

    def _follow(self, request: _Request, hop: Hop) -> Asked:
        for _ in range(REDIRECTS_MAX + 1):
            place = self._place(urllib.parse.urlsplit(hop.url), request.signed.tls)
            connection, response = self._answered(place, request, hop)
            location = response.getheader("Location")
            if response.status not in STATUSES or not location:
                return place, connection, response
            try:
                response.read(ERROR_BODY_BYTES)
            except BaseException:
                _drop(connection, response)
                raise
            self._keep(place, connection, response)
            hop = hop.next(location, request.subject)
            self._redirections.remember(request.signed, hop)
        raise SourceUnavailable(f"{request.subject}: more than {REDIRECTS_MAX} redirections")

    def _answered(
        self, place: Place, request: _Request, hop: Hop
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """An idle connection may have been closed by the server meanwhile: then a new one is asked, once."""
        kept = self._take(place)
        if kept is not None:
            try:
                return kept, _sent(kept, request, hop)
            except (ConnectionError, http.client.BadStatusLine):
                kept.close()
                if request.abort.aborted:
                    raise
        connection = self._connect(place)
        try:
            return connection, _sent(connection, request, hop)
        except BaseException:
            connection.close()
            raise

    def _place(self, parsed: urllib.parse.SplitResult, tls: ssl.SSLContext | None) -> Place:
        if parsed.hostname is None or parsed.scheme not in ("http", "https"):
            raise SourceUnavailable(f"{parsed.scheme}://{parsed.netloc} is no address to read from")
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        return parsed.scheme, parsed.hostname, port, tls

    def _connect(self, place: Place) -> http.client.HTTPConnection:
        scheme, host, port, tls = place
        proxy = None if urllib.request.proxy_bypass(host) else self._proxies.get(scheme)
        to_host, to_port = host, port
        if proxy:
            parsed = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            to_host, to_port = parsed.hostname or "", parsed.port or 80
        connection: http.client.HTTPConnection
        if scheme == "https":
            context = tls or ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                to_host, to_port, timeout=self._connect_timeout_seconds, context=context
            )
        else:
            connection = http.client.HTTPConnection(to_host, to_port, timeout=self._connect_timeout_seconds)
        if proxy:
            # Also for plain HTTP: then a request looks the same with and without a proxy.
            connection.set_tunnel(host, port)
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(f"{to_host}:{to_port}: {error.strerror or error}") from error
        if not proxy and is_of_the_node(connection.sock.getpeername()[0]):
            connection.close()
            raise AccessDenied(f"{host} is an address of the node itself (link-local): no model comes from there")
        connection.sock.settimeout(self._read_timeout_seconds)
        return connection

    def _take(self, place: Place) -> http.client.HTTPConnection | None:
        with self._lock:
            idle = self._idle.get(place)
            return idle.pop() if idle else None

    def _keep(self, place: Place, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        if response.will_close or not response.isclosed():
            _drop(connection, response)
            return
        with self._lock:
            self._idle.setdefault(place, []).append(connection)


def _sent(connection: http.client.HTTPConnection, request: _Request, hop: Hop) -> http.client.HTTPResponse:
    request.abort.watch(connection.sock)
    parsed = urllib.parse.urlsplit(hop.url)
    target = urllib.parse.urlunsplit(("", "", parsed.path or "/", parsed.query, ""))
    connection.putrequest(request.method, target, skip_accept_encoding=True)
    for name, value in hop.headers(request.headers).items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def is_of_the_node(address: str) -> bool:
    """Whether a cloud's metadata service may be there, which tells the node's own credentials to whoever is on it.

    Who may write a cache's URI is none of those, and would read the answer as a model.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or found
    return bool(mapped.is_link_local) or str(mapped) in _METADATA


def _drop(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
    connection.close()
    # It has the socket to itself when the server wants the connection to end.
    response.close()


def _check(part: Part, whole: bool, signed: SignedRequest, response: http.client.HTTPResponse) -> None:
    """The answer is the range that was asked for, of the version that was listed."""
    source = part.source
    if response.status >= 300:
        raise refused(source.location, response)
    version = (response.getheader(signed.version_header) or "").strip('"')
    if source.etag and version and version != source.etag:
        raise SourceChanged(f"{source.location} is the version {version} now, it was listed as {source.etag}")
    expected = f"bytes {part.offset_bytes}-{part.offset_bytes + part.length_bytes - 1}/{source.size_bytes}"
    shown = response.getheader("Content-Range")
    if shown is None and not whole:
        raise CorruptTransfer(f"{source.location}: the whole object came instead of {expected}")
    if shown is not None and shown != expected:
        raise CorruptTransfer(f"{source.location}: {shown} came instead of {expected}")
    length = response.getheader("Content-Length")
    if length is not None and length.strip() != str(part.length_bytes):
        raise CorruptTransfer(f"{source.location}: {length} bytes are announced instead of {part.length_bytes}")


def refused(subject: str, response: http.client.HTTPResponse) -> SourceError:
    body = response.read(ERROR_BODY_BYTES)
    return refusal(
        response.status,
        body,
        subject,
        retry_after=response.getheader("Retry-After") or "",
        rate_limit=response.getheader("RateLimit") or "",
    )
