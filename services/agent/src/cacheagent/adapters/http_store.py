"""What the stores have in common that plain HTTP serves: answers are read in threads, which a cancellation ends."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cacheagent.adapters.http_ranges import Abort, HttpRanges
from cacheagent.adapters.signed import SignedRequest
from cacheagent.adapters.threads import in_stoppable_thread
from cachecore.ports import Checksum, ObjectInfo, Part

THREADS = 8

T = TypeVar("T")


class HttpStore:
    """Subclasses list, and say of an object where it is (`sign`)."""

    def __init__(self, name: str, tls: ssl.SSLContext, http: HttpRanges | None = None) -> None:
        self._tls = tls
        self._http = http or HttpRanges()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"{name}-source")

    async def sign(self, source: ObjectInfo, *, fresh: bool = False) -> SignedRequest:
        raise NotImplementedError

    async def read(self, source: ObjectInfo, offset_bytes: int, length_bytes: int) -> bytes:
        if length_bytes == 0:
            return b""
        signed = await self.sign(source)
        part = Part(source=source, offset_bytes=offset_bytes, length_bytes=length_bytes, path="")

        def work(abort: Abort) -> bytes:
            content = bytearray(length_bytes)
            with self._http.get(signed, part, abort) as answer:
                answer.read_into(memoryview(content))
            return bytes(content)

        return await self._in_thread(work)

    async def checksum(self, source: ObjectInfo) -> Checksum | None:
        """What the listing told, unless a store can ask for more."""
        return source.checksum

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    async def _in_thread(self, work: Callable[[Abort], T]) -> T:
        abort = Abort()
        return await in_stoppable_thread(self._threads, lambda: work(abort), abort.abort)


def headers_of(response: http.client.HTTPResponse) -> dict[str, str]:
    """With lower-case names; of one that comes twice, all values."""
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        before = found.get(name.lower())
        found[name.lower()] = value if before is None else f"{before}, {value}"
    return found
