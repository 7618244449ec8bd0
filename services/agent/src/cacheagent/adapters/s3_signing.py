"""URLs for S3, signed as s3fs signs them, at a tenth of its cost.

s3fs (botocore) resolves the endpoint's rules for each URL, which costs half a millisecond: too much for thousands of
small objects. Here it signs one URL of each bucket; its like for every other object is made by botocore's own signer.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

import msgspec
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest

# Stands for the key in the URL that s3fs signs.
_PLACE = "localmodel-key"
_HEADERS = {"ChecksumMode": "x-amz-checksum-mode", "RequestPayer": "x-amz-request-payer"}
_SIGNED_BY_US = "AWS4-HMAC-SHA256"


class _Pattern(msgspec.Struct, frozen=True):
    """What the URLs of a bucket have in common. `region` is "" when they are not signed at all."""

    before_key: str
    query: str
    region: str


class S3Signer:
    """Signs GETs with the credentials of a connected s3fs file system, for `seconds`."""

    def __init__(self, fs: Any, *, seconds: int, arguments: dict[str, str]) -> None:
        """`arguments` are those of GetObject that every URL is signed for; `headers` must come with it then."""
        self._fs = fs
        self._seconds = seconds
        self._arguments = arguments
        self.headers = {_HEADERS[name]: value for name, value in arguments.items()}
        self._patterns: dict[str, _Pattern | None] = {}

    async def url(self, bucket: str, key: str) -> str:
        """Raises what s3fs and botocore raise."""
        if bucket not in self._patterns:
            self._patterns[bucket] = _pattern(await self._signed_by_s3fs(bucket, _PLACE))
        pattern = self._patterns[bucket]
        if pattern is None:
            return await self._signed_by_s3fs(bucket, key)
        # As botocore quotes a key.
        url = f"{pattern.before_key}{urllib.parse.quote(key, safe='/~')}"
        if not pattern.region:
            return f"{url}?{pattern.query}" if pattern.query else url
        credentials = await self._fs._s3._request_signer._credentials.get_frozen_credentials()
        request = AWSRequest(method="GET", url=f"{url}?{pattern.query}", headers=self.headers)
        S3SigV4QueryAuth(credentials, "s3", pattern.region, expires=self._seconds).add_auth(request)
        return str(request.url)

    async def _signed_by_s3fs(self, bucket: str, key: str) -> str:
        url: str = await self._fs._url(
            f"{bucket}/{key}", expires=self._seconds, client_method="get_object", **self._arguments
        )
        return url


def _pattern(url: str) -> _Pattern | None:
    """None for a signature that we don't know how to make: then s3fs makes each."""
    parsed = urllib.parse.urlsplit(url)
    before, place, after = parsed.path.rpartition(_PLACE)
    if not place or after:
        return None
    before_key = urllib.parse.urlunsplit((parsed.scheme, parsed.netloc, before, "", ""))
    fields = urllib.parse.parse_qsl(parsed.query, keep_blank_values=True)
    values = dict(fields)
    # What the signer adds itself.
    kept = [(name, value) for name, value in fields if not name.startswith("X-Amz-")]
    query = urllib.parse.urlencode(kept)
    if "X-Amz-Signature" not in values:
        return _Pattern(before_key, query, "") if "Signature" not in values else None
    scope = values.get("X-Amz-Credential", "").split("/")
    if values.get("X-Amz-Algorithm") != _SIGNED_BY_US or len(scope) < 5 or scope[-2] != "s3":
        return None
    return _Pattern(before_key, query, scope[-3])
