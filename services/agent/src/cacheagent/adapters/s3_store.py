"""S3 through s3fs, on our own event loop: credentials, endpoints, sessions and signatures are its work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeAlias

import fsspec

from cacheagent.adapters.s3_checksums import is_composite, parts_of_upload, told_checksum
from cacheagent.adapters.s3_options import S3Options
from cacheagent.adapters.s3_signing import S3Signer
from cacheagent.adapters.signed import SignedRequest
from cacheagent.adapters.source_errors import translate
from cachecore.errors import CorruptTransfer, SourceChanged, SourceNotFound, SourceUnavailable
from cachecore.ports import Checksum, Credentials, ObjectInfo

CONNECT_TIMEOUT_SECONDS = 15
READ_TIMEOUT_SECONDS = 60
CONNECTIONS = 64
# The transfer has retries of its own, which know what they are about: here only one for a stale connection.
ATTEMPTS = 2
# Of a URL; it is signed for one part, and used at once.
SIGNED_SECONDS = 900


Objects: TypeAlias = list[ObjectInfo]


class S3Store:
    """One set of credentials."""

    def __init__(self, credentials: Credentials, environment: Mapping[str, str]) -> None:
        self._options = S3Options(credentials, environment)
        self._fs = fsspec.get_filesystem_class("s3")(
            asynchronous=True,
            skip_instance_cache=True,
            use_listings_cache=False,
            config_kwargs={
                # Without it botocore signs URLs with the old version 2, which newer regions and KMS refuse.
                "signature_version": "s3v4",
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "read_timeout": READ_TIMEOUT_SECONDS,
                "max_pool_connections": CONNECTIONS,
                "retries": {"max_attempts": ATTEMPTS, "mode": "standard"},
                "s3": self._options.addressing(),
            },
            **self._options.arguments(),
        )
        self._fs.retries = 1
        self._payer: dict[str, str] = {"RequestPayer": "requester"} if self._options.requester_pays else {}
        self._tls = self._options.tls()
        self._signer = S3Signer(self._fs, seconds=SIGNED_SECONDS, arguments={"ChecksumMode": "ENABLED", **self._payer})
        self._opening = asyncio.Lock()
        self._open = False

    async def list(self, uri: str) -> Objects:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        prefix = key.rstrip("/")
        try:
            found = await self._list_below(bucket, f"{prefix}/" if prefix else "")
            if not found and prefix:
                found = await self._list_one(bucket, prefix)
        except Exception as error:
            raise translate(error, uri) from error
        if not found:
            raise SourceNotFound(f"there is no object below {uri}: check the bucket and the prefix")
        return sorted(found, key=lambda item: item.path)

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        if length_bytes == 0:
            return b""
        bucket, key = _place(source)
        last = offset_bytes + length_bytes - 1
        pinned = {"IfMatch": f'"{source.etag}"'} if source.etag else {}
        try:
            response = await self._call(
                "get_object", Bucket=bucket, Key=key, Range=f"bytes={offset_bytes}-{last}", **pinned, **self._payer
            )
            async with response["Body"] as body:
                content: bytes = await body.read()
        except Exception as error:
            raise translate(error, source.location) from error
        _check(response, source, offset_bytes, length_bytes, len(content))
        return content

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest:
        """s3fs' own credentials are as fresh as they can be: it renews those that expire."""
        try:
            await self._connect()
            url = await self._signer.url(*_place(source))
        except Exception as error:
            raise translate(error, source.location) from error
        headers = dict(self._signer.headers)
        if source.etag:
            headers["If-Match"] = f'"{source.etag}"'
        return SignedRequest(url=url, headers=tuple(headers.items()), checksum_of=told_checksum, tls=self._tls)

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        bucket, key = _place(source)
        pinned = {"IfMatch": f'"{source.etag}"'} if source.etag else {}
        asked = {"Bucket": bucket, "Key": key, "ChecksumMode": "ENABLED", **self._payer}
        try:
            headers = _headers(await self._call("head_object", **asked, **pinned))
            if not is_composite(headers):
                return told_checksum(headers)
            part_bytes = await self._part_bytes(asked, source.size_bytes, parts_of_upload(headers))
        except Exception as error:
            raise translate(error, source.location) from error
        return told_checksum(headers, part_bytes) if part_bytes else None

    async def _part_bytes(self, asked: dict[str, Any], size_bytes: int, parts: int) -> int:
        """The size of the upload's parts; 0 when it is not one size, or when the server ignores the part number.

        Not pinned: some servers have an etag for each part.
        """
        first = await self._call("head_object", **asked, PartNumber=1)
        part_bytes = int(first["ContentLength"])
        if not part_bytes or -(-size_bytes // part_bytes) != parts:
            return 0
        if parts > 2:
            last = await self._call("head_object", **asked, PartNumber=parts)
            if int(last["ContentLength"]) != size_bytes - (parts - 1) * part_bytes:
                return 0
        return part_bytes

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._fs._s3creator.__aexit__(None, None, None)

    async def _list_below(self, bucket: str, prefix: str) -> Objects:
        found: Objects = []
        more: dict[str, str] = {}
        while True:
            page = await self._call("list_objects_v2", Bucket=bucket, Prefix=prefix, **more, **self._payer)
            found += [
                _info(bucket, item["Key"], item["Key"][len(prefix) :], item["Size"], item.get("ETag", ""))
                for item in page.get("Contents", ())
            ]
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def _list_one(self, bucket: str, key: str) -> Objects:
        """The URI may name one object instead of a folder."""
        try:
            head = await self._call("head_object", Bucket=bucket, Key=key, **self._payer)
        except FileNotFoundError:
            return []
        return [_info(bucket, key, key.rpartition("/")[2], head["ContentLength"], head.get("ETag", ""))]

    async def _connect(self) -> None:
        async with self._opening:
            if not self._open:
                await self._fs.set_session()
                self._open = True

    async def _call(self, method: str, **arguments: Any) -> Any:
        await self._connect()
        return await self._fs._call_s3(method, **arguments)


def _place(source: ObjectInfo) -> tuple[str, str]:
    """The bucket and the key."""
    bucket, _, key = source.location.removeprefix("s3://").partition("/")
    return bucket, key


def _info(bucket: str, key: str, path: str, size_bytes: int, etag: str) -> ObjectInfo:
    etag = etag.strip('"')
    # Of an upload in parts. What is told of it says nothing without their size.
    apart = parts_of_upload({"etag": etag}) > 1
    location = f"s3://{bucket}/{key}"
    return ObjectInfo(path=path, location=location, size_bytes=size_bytes, etag=etag, checksum_apart=apart)


def _check(response: dict[str, Any], source: ObjectInfo, offset_bytes: int, length_bytes: int, came: int) -> None:
    """The answer is the range that was asked for, of the version that was listed, and whole."""
    etag = str(response.get("ETag", "")).strip('"')
    if source.etag and etag and etag != source.etag:
        raise SourceChanged(f"{source.location} has the etag {etag}, it was listed with {source.etag}")
    expected = f"bytes {offset_bytes}-{offset_bytes + length_bytes - 1}/{source.size_bytes}"
    shown = response.get("ContentRange")
    if shown is None and (offset_bytes, length_bytes) != (0, source.size_bytes):
        raise CorruptTransfer(f"{source.location}: the whole object came instead of {expected}")
    if shown is not None and shown != expected:
        raise CorruptTransfer(f"{source.location}: {shown} came instead of {expected}")
    if came < length_bytes:
        raise SourceUnavailable(f"{source.location}: the connection ended after {came} of {length_bytes} bytes")
    if came > length_bytes:
        raise CorruptTransfer(f"{source.location}: {came} bytes came instead of {length_bytes}")


def _headers(response: dict[str, Any]) -> dict[str, str]:
    """The headers of an answer, lower case."""
    return {name.lower(): str(value) for name, value in response["ResponseMetadata"]["HTTPHeaders"].items()}
