"""`https://` and `http://`: the web has no folders, so a URL is one file.

What the credentials may have, besides `trust`'s settings, as KServe's secrets for https have it:

- `HTTPS_HOST`: the only host that is told them, with or without a port
- `HTTPS_HEADERS`: a JSON object of headers

A model that names no credentials has those of the agent's own environment.
"""

from __future__ import annotations

import http.client
import re
import urllib.parse
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from cacheagent.adapters.http_ranges import Abort, HttpRanges, refused
from cacheagent.adapters.http_store import HttpStore, headers_of
from cacheagent.adapters.signed import SignedRequest
from cacheagent.adapters.trust import trust
from cacheagent.adapters.web_checksums import file_checksum, told_checksum
from cacheagent.credential_names import host_of, same_host
from cachecore.errors import AccessDenied, SourceNotFound, SourceUnavailable, UnsupportedArchive
from cachecore.ports import Checksum, Credentials, ObjectInfo
from cachecore.store.digest import PART_BYTES

Objects: TypeAlias = list[ObjectInfo]

# What KServe's storage-initializer unpacks or clones: a pod that mounted it as it is would not find its model.
UNPACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".git")
PIECE_BYTES = 256 * 1024

# How HTTP writes a date: what pins a file that has no strong ETag, for want of better.
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
_STRONG = re.compile(r'"([^"]+)"')
_TOTAL = re.compile(r"bytes (?:\*|0-0)/(\d+)")


class WebStore(HttpStore):
    """One set of credentials."""

    def __init__(
        self, credentials: Credentials, environment: Mapping[str, str], *, http: HttpRanges | None = None
    ) -> None:
        super().__init__("web", trust(credentials, environment), http)
        own = credentials if credentials.values else Credentials(tuple(environment.items()))
        self._host = host_of(own.get("HTTPS_HOST"))
        self._secret_headers = _secret_headers(own.get("HTTPS_HEADERS")) if self._host else ()

    async def list(self, uri: str) -> Objects:
        name = _file_name(uri)
        return [await self._in_thread(lambda abort: self._look(uri, name, abort))]

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest:
        if _DATE.fullmatch(source.etag):
            return self._request(source.location, ("If-Unmodified-Since", source.etag), version_header="last-modified")
        return self._request(source.location, *([("If-Match", f'"{source.etag}"')] if source.etag else []))

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        if source.checksum is not None:
            return source.checksum
        signed = await self.sign(source)

        def work(abort: Abort) -> Checksum | None:
            with self._http.ask(signed, source.location, abort, method="HEAD") as response:
                # Not every server answers a HEAD, and none has to.
                return told_checksum(headers_of(response)) if response.status == 200 else None

        return await self._in_thread(work)

    def _request(self, uri: str, *headers: tuple[str, str], version_header: str = "etag") -> SignedRequest:
        url = ascii_url(uri)
        if self._host and same_host(self._host, url):
            headers = (*self._secret_headers, *headers)
        # What is compressed on the way has neither the file's length nor its ranges.
        headers = (("Accept-Encoding", "identity"), *headers)
        return SignedRequest(
            url=url, headers=headers, version_header=version_header, checksum_of=told_checksum, tls=self._tls
        )

    def _look(self, uri: str, name: str, abort: Abort) -> ObjectInfo:
        """Ask for one byte: servers that sign URLs refuse a HEAD, and the answer shows whether there are ranges."""
        with self._http.ask(self._request(uri), uri, abort, headers={"Range": "bytes=0-0"}) as response:
            size_bytes = _size_bytes(response, uri)
            headers = headers_of(response)
        return ObjectInfo(
            path=name, location=uri, size_bytes=size_bytes, etag=_version(headers), checksum=file_checksum(headers)
        )


def ascii_url(uri: str) -> str:
    """The URI as HTTP writes it; what is quoted already stays so."""
    try:
        parsed = urllib.parse.urlsplit(uri)
        host = parsed.netloc.encode("ascii" if parsed.netloc.isascii() else "idna").decode()
    except ValueError as error:
        raise SourceNotFound(f"{uri} is no address: check the host") from error
    if parsed.username is not None:
        # Without the URI: whoever reads the status need not know it.
        raise AccessDenied("the URI holds a user or a password: put a header into a secret instead")
    if not host:
        raise SourceNotFound(f"{uri} is no address: check the host")
    path = urllib.parse.quote(parsed.path, safe="/%:@!$&'()*+,;=~")
    query = urllib.parse.quote(parsed.query, safe="/%:@!$&'()*+,;=~?")
    return urllib.parse.urlunsplit((parsed.scheme, host, path, query, ""))


def _file_name(uri: str) -> str:
    """As KServe calls the file: the end of the URL's path, as it is spelt there."""
    ascii_url(uri)
    name = urllib.parse.urlsplit(uri).path.rpartition("/")[2]
    if not name:
        raise SourceNotFound(f"{uri} names no file: the web has no folders")
    if name.lower().endswith(UNPACKED):
        raise UnsupportedArchive(
            f"{uri}: KServe unpacks it, a cache holds files as they are; put the unpacked files into an object store"
        )
    return name


def _secret_headers(text: str) -> tuple[tuple[str, str], ...]:
    """Errors quote nothing of it."""
    try:
        headers = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        raise AccessDenied("the headers of the secret for https are not a JSON object of texts") from None
    pairs = tuple((name.strip(), value.strip()) for name, value in headers.items())
    if not all(name.isascii() and name.isprintable() and name and ":" not in name for name, _ in pairs):
        raise AccessDenied("the secret for https has a header whose name is none")
    if not all(value.isascii() and value.isprintable() for _, value in pairs):
        raise AccessDenied("the secret for https has a header whose value no header may have")
    return pairs


def _size_bytes(response: http.client.HTTPResponse, uri: str) -> int:
    """What the answer to a request for the first byte tells of the whole."""
    total = _TOTAL.fullmatch(response.getheader("Content-Range") or "")
    if response.status == 206 and total:
        return int(total[1])
    if response.status == 416 and total and total[1] == "0":
        return 0
    if response.status >= 300:
        raise refused(uri, response)
    if response.status != 200:
        raise SourceUnavailable(f"{uri}: the server does not tell its size")
    size_bytes = response.length if response.length is not None else _counted(response, uri)
    if size_bytes > PART_BYTES:
        raise SourceUnavailable(
            f"{uri}: its {size_bytes} bytes come in parts, and the server has no ranges (Accept-Ranges: bytes)"
        )
    return size_bytes


def _counted(response: http.client.HTTPResponse, uri: str) -> int:
    """A file that is made on the fly is as long as what comes."""
    counted_bytes = 0
    while piece := response.read(PIECE_BYTES):
        counted_bytes += len(piece)
        if counted_bytes > PART_BYTES:
            raise SourceUnavailable(f"{uri}: the server does not tell its size (Content-Length)")
    return counted_bytes


def _version(headers: Mapping[str, str]) -> str:
    """A weak etag pins nothing, a date to the second."""
    etag = _STRONG.fullmatch(headers.get("etag", "").strip())
    if etag:
        return etag[1]
    modified = headers.get("last-modified", "").strip()
    return modified if _DATE.fullmatch(modified) else ""
