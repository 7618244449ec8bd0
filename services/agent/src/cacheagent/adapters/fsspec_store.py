"""Every other scheme that fsspec has a driver for: listings and ranges, as the driver offers them."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import fsspec

from cacheagent.adapters.source_errors import translate
from cacheagent.adapters.threads import in_thread
from cachecore.errors import SourceNotFound, SourceUnavailable
from cachecore.ports import Checksum, Credentials, ObjectInfo

# What a driver is told of the credentials: its argument, by the name that KServe's secrets have for it.
_ARGUMENTS = {
    "gs": {"GOOGLE_APPLICATION_CREDENTIALS": "token"},
    "hf": {"HF_TOKEN": "token"},
    "abfs": {
        "AZURE_STORAGE_ACCOUNT": "account_name",
        "AZURE_STORAGE_ACCESS_KEY": "account_key",
        "AZURE_CLIENT_ID": "client_id",
        "AZURE_CLIENT_SECRET": "client_secret",
        "AZURE_TENANT_ID": "tenant_id",
    },
}


Objects: TypeAlias = list[ObjectInfo]


class FsspecStore:
    """One driver with one set of credentials. Drivers without an asyncio of their own run in threads."""

    def __init__(self, scheme: str, credentials: Credentials) -> None:
        names = _ARGUMENTS.get(scheme, {})
        arguments: dict[str, Any] = {
            argument: credentials.get(name) for name, argument in names.items() if credentials.get(name)
        }
        self._scheme = scheme
        self._threads = ThreadPoolExecutor(8, thread_name_prefix=f"{scheme}-source")
        driver = fsspec.get_filesystem_class(scheme)
        self._asynchronous = bool(getattr(driver, "async_impl", False))
        if self._asynchronous:
            arguments["asynchronous"] = True
        self._fs = driver(skip_instance_cache=True, use_listings_cache=False, **arguments)
        self._session: Any = None
        self._opening = asyncio.Lock()

    async def list(self, uri: str) -> Objects:
        try:
            found = await self._list_whole(uri)
        except Exception as error:
            raise translate(error, uri) from error
        if not found:
            raise SourceNotFound(f"there is no object below {uri}")
        return sorted(found, key=lambda item: item.path)

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        if length_bytes == 0:
            return b""
        options: dict[str, Any] = {}
        if self._scheme in ("http", "https") and source.etag:
            options["headers"] = {"If-Match": f'"{source.etag}"'}
        try:
            content: bytes = await self._do(
                "cat_file", source.location, start=offset_bytes, end=offset_bytes + length_bytes, **options
            )
        except Exception as error:
            raise translate(error, source.location) from error
        if len(content) != length_bytes:
            raise SourceUnavailable(f"{source.location}: {len(content)} bytes came instead of {length_bytes}")
        return content

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        return source.checksum

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        session, self._session = self._session, None
        closing = getattr(session, "close", None)
        if closing is not None:
            ended = closing()
            if inspect.isawaitable(ended):
                await ended

    async def _list_whole(self, uri: str) -> Objects:
        if self._scheme in ("http", "https"):
            # The web has no folders: a URL is one file.
            info = await self._do("info", uri)
            return [_info(uri, info, uri.split("?", maxsplit=1)[0].rstrip("/").rpartition("/")[2])]
        root = self._fs._strip_protocol(uri).rstrip("/")
        found: dict[str, dict[str, Any]] = await self._do("find", root, detail=True)
        return [
            _info(location, info, location.removeprefix(root).strip("/") or root.rpartition("/")[2])
            for location, info in sorted(found.items())
        ]

    async def _do(self, verb: str, *arguments: Any, **options: Any) -> Any:
        if not self._asynchronous:
            return await in_thread(self._threads, getattr(self._fs, verb), *arguments, **options)
        async with self._opening:
            if self._session is None and hasattr(self._fs, "set_session"):
                self._session = await self._fs.set_session()
        return await getattr(self._fs, f"_{verb}")(*arguments, **options)


def _info(location: str, info: dict[str, Any], path: str) -> ObjectInfo:
    size = info.get("size")
    if size is None:
        raise SourceUnavailable(f"{location}: the server does not tell its size")
    etag = next((str(info[name]) for name in ("ETag", "etag", "generation", "blob_id") if info.get(name)), "")
    # A weak etag pins nothing.
    return ObjectInfo(
        path=path, location=location, size_bytes=int(size), etag="" if etag.startswith("W/") else etag.strip('"')
    )
