"""Google Cloud Storage: gcsfs finds and renews the credentials, the JSON API is asked for listings and ranges.

What the credentials may have, besides `trust`'s settings:

- `GOOGLE_APPLICATION_CREDENTIALS_JSON`: the content of a key file, of a service account or of a user
- `GS_ENDPOINT_URL`: another server that speaks the JSON API
- `GS_USER_PROJECT`: the project that pays for requests to a bucket whose requester pays
- `GS_ANONYMOUS`: `true` reads without any credentials

A model that names no credentials has those of the agent's own environment: these, or what Google's libraries find there
(`GOOGLE_APPLICATION_CREDENTIALS`, a workload identity, the machine's account). Whoever names any gets none of the
agent's, so that nobody can have the agent's token sent to a server of his own.

Objects are pinned with `ifGenerationMatch` and not with `generation`: of a generation that is gone the latter says 404,
as of an object that is gone.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from cacheagent.adapters.http_ranges import Abort, HttpRanges, refused
from cacheagent.adapters.http_store import HttpStore
from cacheagent.adapters.renewed import Headers, RenewedHeaders
from cacheagent.adapters.signed import SignedRequest
from cacheagent.adapters.trust import trust
from cacheagent.checksums import from_base64
from cachecore.errors import AccessDenied, SourceError, SourceNotFound, SourceUnavailable
from cachecore.ports import Checksum, ChecksumAlgorithm, Credentials, ObjectInfo

KEY_NAME = "GOOGLE_APPLICATION_CREDENTIALS_JSON"
# The other types make Google's library read files, or run commands, of the agent.
KEY_TYPES = ("service_account", "authorized_user")
# Seconds before a token's expiry in which gcsfs renews it: all of them.
ALWAYS = 10**9
PAGE_OBJECTS = 1000
ANSWER_BYTES_MAX = 32 * 2**20

Objects: TypeAlias = list[ObjectInfo]


class _Object(msgspec.Struct, frozen=True, rename="camel"):
    """Of a listing: the API writes 64-bit numbers as texts, and checksums in base64."""

    name: str
    size: str
    generation: str
    crc32c: str = ""
    md5_hash: str = ""
    content_encoding: str = ""


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    items: list[_Object] = []
    next_page_token: str = ""


class GcsStore(HttpStore):
    """One set of credentials."""

    def __init__(
        self, credentials: Credentials, environment: Mapping[str, str], *, http: HttpRanges | None = None
    ) -> None:
        super().__init__("gs", trust(credentials, environment), http)
        own = credentials if credentials.values else Credentials(tuple(environment.items()))
        self._anonymous = own.get("GS_ANONYMOUS").lower() in ("1", "true")
        self._key = own.get(KEY_NAME)
        self._agents_own = own is not credentials
        self._key_file = own.get("GOOGLE_APPLICATION_CREDENTIALS") if self._agents_own else ""
        self._endpoint = (credentials.get("GS_ENDPOINT_URL") or environment.get("GS_ENDPOINT_URL", "")).rstrip("/")
        self._payer = credentials.get("GS_USER_PROJECT") or environment.get("GS_USER_PROJECT", "")
        self._driver: Any = None
        self._authority = RenewedHeaders(
            lambda renew: self._in_thread(lambda abort: self._authorize(renew=renew)),
        )

    async def list(self, uri: str) -> Objects:
        bucket, _, key = uri.removeprefix("gs://").partition("/")
        if not bucket:
            raise SourceNotFound(f"{uri} names no bucket: write it like gs://bucket/model")
        headers = await self._authority.get()
        try:
            found = await self._in_thread(lambda abort: self._list(uri, bucket, key.rstrip("/"), headers, abort))
        except AccessDenied:
            renewed = await self._authority.get(fresh=True) if headers else ()
            if renewed == headers:
                raise
            found = await self._in_thread(lambda abort: self._list(uri, bucket, key.rstrip("/"), renewed, abort))
        if not found:
            raise SourceNotFound(f"there is no object below {uri}: check the bucket and the prefix")
        return sorted(found, key=lambda item: item.path)

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest:
        headers = await self._authority.get(fresh=fresh)
        bucket, _, name = source.location.removeprefix("gs://").partition("/")
        url = self._url(bucket, f"/{urllib.parse.quote(name, safe='')}", alt="media", ifGenerationMatch=source.etag)
        return SignedRequest(
            url=url,
            headers=(("Accept-Encoding", "identity"), *headers),
            version_header="x-goog-generation",
            tls=self._tls,
        )

    def _url(self, bucket: str, path: str, **parameters: str) -> str:
        if self._payer:
            parameters["userProject"] = self._payer
        query = urllib.parse.urlencode({name: value for name, value in parameters.items() if value})
        return f"{self._driver.base}b/{urllib.parse.quote(bucket, safe='')}/o{path}?{query}"

    def _list(self, uri: str, bucket: str, key: str, headers: Headers, abort: Abort) -> Objects:
        prefix = f"{key}/" if key else ""
        found: Objects = []
        token = ""
        while True:
            page = self._page(uri, bucket, headers, abort, prefix=prefix, pageToken=token)
            found += [_info(bucket, item, item.name[len(prefix) :]) for item in page.items]
            token = page.next_page_token
            if not token:
                break
        if found or not key:
            return found
        # The URI may name one object: the first by name of those that begin with it.
        page = self._page(uri, bucket, headers, abort, prefix=key, maxResults="1")
        return [_info(bucket, item, key.rpartition("/")[2]) for item in page.items if item.name == key]

    def _page(self, uri: str, bucket: str, headers: Headers, abort: Abort, **asked: str) -> _Page:
        fields = "items(name,size,generation,crc32c,md5Hash,contentEncoding),nextPageToken"
        url = self._url(bucket, "", **{"fields": fields, "maxResults": str(PAGE_OBJECTS), **asked})
        request = SignedRequest(url=url, headers=(("Accept-Encoding", "identity"), *headers), tls=self._tls)
        with self._http.ask(request, uri, abort) as response:
            if response.status == 404:
                raise SourceNotFound(f"{uri}: there is no bucket {bucket}")
            if response.status in (401, 403) and not headers:
                raise AccessDenied(f"{uri} can't be read without credentials ({response.status})")
            if response.status >= 300:
                raise refused(uri, response)
            content = response.read(ANSWER_BYTES_MAX)
        try:
            return msgspec.json.decode(content, type=_Page)
        except msgspec.DecodeError as error:
            raise SourceUnavailable(f"{uri}: the answer is no listing: {error}") from error

    def _authorize(self, *, renew: bool) -> Headers:
        """In a thread: Google's libraries wait for their servers."""
        try:
            if self._driver is None:
                self._driver = self._connect()
            google = self._driver.credentials
            if google.credentials is None:
                return ()
            google.maybe_refresh(*([ALWAYS] if renew else []))
            headers: dict[str, str] = {}
            google.credentials.apply(headers)
        except Exception as error:  # noqa: BLE001
            # Without its cause: a traceback is no place for what a token's server says.
            raise _no_token(error) from None
        return tuple(headers.items())

    def _connect(self) -> Any:
        # Without it gcsfs loads gRPC, for buckets of another kind: a second, and memory that only they are worth.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        from gcsfs.core import GCSFileSystem

        def connected(token: object) -> Any:
            return GCSFileSystem(
                project="",
                access="read_only",
                token=token,
                endpoint_url=self._endpoint or None,
                asynchronous=True,
                skip_instance_cache=True,
                use_listings_cache=False,
            )

        if self._anonymous:
            return connected("anon")
        if self._key:
            return connected(_key(self._key))
        if not self._agents_own:
            return connected("anon")
        try:
            return connected("google_default")
        except Exception as error:
            if type(error).__name__ != "DefaultCredentialsError" or self._key_file:
                raise
        # As KServe does: what is public can be read without.
        return connected("anon")


def _key(text: str) -> dict[str, Any]:
    try:
        key = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        key = {}
    if key.get("type") not in KEY_TYPES:
        raise AccessDenied(f"{KEY_NAME} is not the JSON of one of {', '.join(KEY_TYPES)}")
    return key


def _no_token(error: Exception) -> SourceError:
    """Why there is none, in words of ours: the library's could quote the key."""
    if isinstance(error, SourceError):
        return error
    cause: BaseException | None = error
    while cause is not None:
        names = {kind.__name__ for kind in type(cause).__mro__}
        if getattr(cause, "retryable", False) or names & {"TransportError", "RequestException"}:
            return SourceUnavailable("Google's server of tokens can't be reached, or gives none now")
        cause = cause.__cause__
    return AccessDenied(
        f"the Google credentials give no token ({type(error).__name__}): check the key in {KEY_NAME}, "
        "or the file that the agent's GOOGLE_APPLICATION_CREDENTIALS names"
    )


def _info(bucket: str, item: _Object, path: str) -> ObjectInfo:
    if item.content_encoding == "gzip":
        # Its size and its checksum are those of the compressed bytes, and no range leads into it.
        raise SourceUnavailable(
            f"gs://{bucket}/{item.name} is stored compressed (Content-Encoding: gzip): upload it as it is"
        )
    return ObjectInfo(
        path=path,
        location=f"gs://{bucket}/{item.name}",
        size_bytes=int(item.size),
        etag=item.generation,
        checksum=_checksum(item),
    )


def _checksum(item: _Object) -> Checksum | None:
    """A composed object has no MD5."""
    told = ((ChecksumAlgorithm.CRC32C, item.crc32c), (ChecksumAlgorithm.MD5, item.md5_hash))
    found = (from_base64(algorithm, text) for algorithm, text in told if text)
    return next((checksum for checksum in found if checksum is not None), None)
